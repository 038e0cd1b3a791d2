"""Virtual time shared by client and emulator: it advances when all participants wait, never while one works."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hybridloop.emulator.client_clock import ClockClient, ClockRefused, ClockUnreachable, ServiceClock
from hybridloop.runtime import thread_pool
from hybridloop.runtime.clock import ClockLock
from hybridloop.runtime.thread_pool import ThreadPool
from tests.conftest import Emulator
from tests.session_helpers import open_run_session
from tests.tasks.test_session_closing import ones
from tests.waiting import eventually

MINUTE = 60.0


@pytest.fixture(scope="module")
def service(azure_quantum_emulator: Emulator) -> Emulator:
    """An emulator in virtual time; each test leaves its time before it ends."""
    return azure_quantum_emulator


@pytest.fixture
def clock(service: Emulator) -> Iterator[ServiceClock]:
    with clock_of(service) as joined:
        yield joined


def clock_of(service: Emulator, name: str = "test") -> ServiceClock:
    return ServiceClock(service.endpoint, service.admin_key, name=name)


def state_of(service: Emulator, name: str) -> str:
    (busy,) = [entry["busy"] for entry in service.admin("clock")["participants"] if entry["name"] == name]
    return "works" if busy else "waits"


def never() -> threading.Event:
    return threading.Event()


def test_time_stands_still_while_a_job_is_computed(service: Emulator, clock: ServiceClock) -> None:
    start = clock.now()
    with open_run_session(service.workspace("computing"), clock=clock) as session:
        round_ = session.rounds.start([ones()])
        eventually(lambda: bool(service.workspace("computing").list_session_jobs(session.id)))
        clock.wait(never(), 8 * MINUTE)
        (job,) = service.workspace("computing").list_session_jobs(session.id)
        assert job.details.end_execution_time.timestamp() - start < MINUTE
        session.rounds.collect(round_)


def test_two_clients_share_one_time(service: Emulator, clock: ServiceClock) -> None:
    woken: list[tuple[str, float]] = []
    start = clock.now()
    done = threading.Event()

    def wait_thrice(other: ServiceClock) -> None:
        with other:
            for _ in range(3):
                other.wait(never(), 30.0)
                woken.append(("other", other.now() - start))
            done.set()

    other = threading.Thread(target=wait_thrice, args=[clock_of(service, "other")])
    other.start()  # it has joined and does not wait yet: time stands still until it runs
    clock.wait(never(), 80.0)
    woken.append(("first", clock.now() - start))
    assert clock.wait(done, 60.0)
    other.join()
    assert woken == [("other", 30.0), ("other", 60.0), ("first", 80.0), ("other", 90.0)]


def test_time_advances_while_threads_wait_for_a_lock_whose_holder_waits(clock: ServiceClock) -> None:
    lock = ClockLock(clock)
    is_held, done = threading.Event(), threading.Event()
    held, entered = clock.hold(), []

    def hold_lock() -> None:
        with held, lock:
            is_held.set()
            with lock:  # again, by the same thread
                clock.wait(never(), 30.0)
            entered.append("first")

    def wait_for_lock() -> None:
        with following, lock:
            entered.append("second")
            done.set()

    following = clock.hold()
    first = threading.Thread(target=hold_lock, daemon=True)
    first.start()
    assert is_held.wait(30)
    second = threading.Thread(target=wait_for_lock, daemon=True)
    second.start()
    too_long = threading.Timer(30, done.set)  # real seconds: ends a test that would hang
    too_long.start()
    clock.wait(done, MINUTE)
    too_long.cancel()
    first.join(1)
    assert entered == ["first", "second"]


def test_the_wait_for_a_lock_ends_at_its_limit(clock: ServiceClock) -> None:
    lock, is_held = ClockLock(clock), threading.Event()
    start, held = clock.now(), clock.hold()

    def hold_lock() -> None:
        with held, lock:
            is_held.set()
            clock.wait(never(), 30.0)

    holder = threading.Thread(target=hold_lock)
    holder.start()
    assert is_held.wait(30)
    assert not lock.acquire(10.0)
    assert clock.now() - start == 10.0
    assert lock.acquire(100.0)
    assert clock.now() - start == 30.0
    holder.join()


def test_time_waits_for_a_thread_that_was_started_under_a_hold(clock: ServiceClock) -> None:
    start = clock.now()
    woken: list[float] = []
    done = threading.Event()

    def work() -> None:
        with hold:
            clock.wait(never(), 10.0)
            woken.append(clock.now() - start)
            done.set()

    hold = clock.hold()
    threading.Thread(target=work).start()
    clock.wait(never(), 100.0)
    woken.append(clock.now() - start)
    assert woken == [10.0, 100.0]
    assert done.is_set()


def test_an_event_ends_a_wait_before_any_time_passes(clock: ServiceClock) -> None:
    start = clock.now()
    event, woken = threading.Event(), list[float]()

    def wait_for_it() -> None:
        with hold:
            assert clock.wait(event, 1000.0)
            woken.append(clock.now() - start)

    hold = clock.hold()
    thread = threading.Thread(target=wait_for_it)
    thread.start()
    event.set()
    clock.wait(never(), 5.0)  # all threads wait, but the event of one is set
    thread.join()
    assert woken == [0.0]
    assert clock.now() - start == 5.0


def test_an_event_from_outside_virtual_time_ends_a_wait(service: Emulator, clock: ServiceClock) -> None:
    start, event = clock.now(), threading.Event()
    with clock_of(service, "busy"):  # so that time stands still
        threading.Timer(0.05, event.set).start()
        assert clock.wait(event, 1000.0)
        assert clock.now() == start


def test_a_signal_ends_a_wait_and_the_clock_still_works(service: Emulator, clock: ServiceClock) -> None:
    class Alarm(Exception):
        pass

    def raise_alarm(*_: object) -> None:
        raise Alarm

    start, previous = clock.now(), signal.signal(signal.SIGALRM, raise_alarm)
    try:
        with clock_of(service, "busy"):  # so that time stands still
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Alarm):
                clock.wait(never(), 1000.0)
            assert state_of(service, "test") == "works"
    finally:
        signal.signal(signal.SIGALRM, previous)
    clock.wait(never(), 10.0)
    assert clock.now() == start + 10.0


def test_dropped_calls_do_not_stop_time(clock: ServiceClock, monkeypatch: pytest.MonkeyPatch) -> None:
    start, ran = clock.now(), list[int]()
    monkeypatch.setattr(thread_pool, "start_thread", lambda *_: None)  # threads that have not yet begun
    pool = ThreadPool("test", clock, lambda: 2)
    for number in range(3):
        pool.submit(lambda number=number: ran.append(number))  # type: ignore[misc]
    pool.close()
    clock.wait(never(), 10.0)
    assert (clock.now() - start, ran) == (10.0, [])


def test_a_manual_advance_of_time_is_seen_at_once(service: Emulator, clock: ServiceClock) -> None:
    before = clock.now()
    service.advance(10.0)
    assert clock.now() == before + 10.0


@pytest.mark.parametrize(
    ("doing", "state"), [("clock.wait(threading.Event(), 3.0)", "waits"), ("threading.Event().wait()", "works")]
)
def test_a_killed_process_does_not_stop_time(service: Emulator, clock: ServiceClock, doing: str, state: str) -> None:
    code = f"""
import threading
from hybridloop.emulator.client_clock import ServiceClock
with ServiceClock({service.endpoint!r}, {service.admin_key!r}, name="doomed") as clock:
    print("joined", flush=True)
    {doing}
"""
    start = clock.now()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as doomed:
        assert doomed.stdout is not None
        assert doomed.stdout.readline() == "joined\n"
        deadline = time.monotonic() + 30
        while state_of(service, "doomed") != state:
            assert time.monotonic() < deadline
        doomed.send_signal(signal.SIGKILL)
    assert not clock.wait(never(), 60.0)
    assert clock.now() == start + 60.0


def test_time_continues_after_a_restart_of_the_emulator(
    tmp_path: Path, start_emulator: Callable[..., Emulator]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    key = "the-same-after-the-restart"
    options = ("--clock", "virtual", "--port", port)
    first = start_emulator(*options, "--admin-key", key, state=tmp_path)
    with ServiceClock(first.endpoint, key) as clock:
        clock.wait(never(), 600.0)
        before = clock.now()
        first.stop(signal.SIGKILL)
        assert clock.now() == before  # no emulator is there to tell another
        second = start_emulator(*options, "--admin-key", key, state=tmp_path)
        assert not clock.wait(never(), 60.0)
        assert clock.now() >= before + 60.0
        second.stop(signal.SIGKILL)
        start_emulator(*options, "--admin-key", "another", state=tmp_path)
        with pytest.raises(ClockRefused, match="key"):
            clock.wait(never(), 60.0)


def test_a_failed_join_is_an_error_with_the_reason(service: Emulator, emulator: Emulator) -> None:
    with pytest.raises(ClockRefused, match="real time"):
        clock_of(emulator)
    with pytest.raises(ClockRefused, match="admin key"):
        ServiceClock(service.endpoint, "wrong-key")
    with pytest.raises(ClockUnreachable):
        ServiceClock("http://127.0.0.1:9/", "k")


def test_a_wait_on_a_closed_clock_fails_and_does_not_hang(service: Emulator) -> None:
    with clock_of(service) as clock:
        pass
    with pytest.raises(ClockUnreachable):
        clock.wait(never(), 1.0)
    assert ClockClient(service.endpoint, service.admin_key).now() >= clock.now()


@pytest.mark.parametrize("_turn", ["first", "second"])
def test_faults_and_states_of_targets_end_with_the_test_that_set_them(_turn: str, service: Emulator) -> None:
    changed = {"availability": "Degraded", "queue_s": 120}
    assert service.admin("targets")["ionq.simulator"] != changed
    assert service.admin("faults")["rules"] == []
    service.admin("targets", {"ionq.simulator": changed})
    service.admin("faults", {"rules": [{"fault": "throttled", "operation": "sas"}]})
