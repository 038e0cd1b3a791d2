"""Client and service in one virtual time: it passes when all who live in it wait, and never while one works."""

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
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.errors import AccessDenied, InputError, ServiceUnreachable
from hybridloop.sessions.clock import PatientLock
from hybridloop.sessions.clock_calls import ClockCalls
from hybridloop.sessions.idle import IdleRule, KeepAliveMode
from hybridloop.sessions.keeping import Keeping
from hybridloop.sessions.poller import SHARE_OF_WAIT
from hybridloop.sessions.service_clock import ServiceClock
from hybridloop.sessions.session import open_session
from hybridloop.sessions.workers import Workers
from hybridloop.stack.processes import wait_until
from tests.conftest import Emulator, running_emulator

MINUTE = 60.0


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    """A service in virtual time; who joins it leaves it before the test ends."""
    with running_emulator("--clock", "virtual") as emulator:
        yield emulator


@pytest.fixture
def clock(service: Emulator) -> Iterator[ServiceClock]:
    with clock_of(service) as joined:
        yield joined


def clock_of(service: Emulator, name: str = "test") -> ServiceClock:
    return ServiceClock(service.endpoint, service.admin_key, name=name)


def state_of(service: Emulator, name: str) -> str:
    (busy,) = [known["busy"] for known in service.admin("clock")["participants"] if known["name"] == name]
    return "works" if busy else "waits"


def never() -> threading.Event:
    return threading.Event()


def one_qubit() -> SamplerPub:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    return SamplerPub.coerce(circuit, 10)


def test_a_session_that_nobody_keeps_has_timed_out_after_34_minutes_and_is_followed_by_another(
    service: Emulator, clock: ServiceClock
) -> None:
    start = clock.now()
    keeping = Keeping(KeepAliveMode.OFF)
    with open_session(service.workspace("idle"), clock=clock, keeping=keeping) as session:
        assert session.run_round([one_qubit()])[0][0].bitstrings() == {"1": 10}  # type: ignore[union-attr]  # not lost
        assert clock.now() - start < MINUTE
        assert not clock.wait(never(), 34 * MINUTE)
        assert 34 * MINUTE <= clock.now() - start < 35 * MINUTE
        assert service.workspace("idle").get_session(session.id).details.status == "TimedOut"
        assert session.run_round([one_qubit()])[0][0].bitstrings() == {"1": 10}  # type: ignore[union-attr]
    assert [row.status for row in session.lineage.rows] == ["TimedOut", "Succeeded"]


@pytest.mark.parametrize("rule", list(IdleRule))
def test_a_session_left_alone_for_34_minutes_is_kept_by_three_pings_that_are_marked(
    service: Emulator, clock: ServiceClock, rule: IdleRule
) -> None:
    at = service.workspace(f"kept-{rule.value}")
    with open_session(at, clock=clock, keeping=Keeping(rule=rule)) as session:
        session.run_round([one_qubit()])
        start = clock.now()
        assert not clock.wait(never(), 34 * MINUTE)
        assert at.get_session(session.id).details.status == "Executing"
        assert session.run_round([one_qubit()])[0][0].bitstrings() == {"1": 10}  # type: ignore[union-attr]
    assert [row.status for row in session.lineage.rows] == ["Succeeded"]
    assert (session.pings, session.jobs) == (3, 2)
    jobs = [job.details for job in at.list_session_jobs(session.id)]
    pings = [job for job in jobs if (job.metadata or {}).get("purpose") == "keep-alive"]
    moments = sorted(job.creation_time.timestamp() - start for job in pings)
    assert moments == pytest.approx([525.0, 1050.0, 1575.0], abs=1.0)
    assert len(jobs) == 5


def test_a_session_that_is_renewed_rather_than_kept_leaves_two_in_line_and_no_ping(
    service: Emulator, clock: ServiceClock
) -> None:
    at = service.workspace("renewed")
    with open_session(at, clock=clock, keeping=Keeping(KeepAliveMode.RENEW)) as session:
        session.run_round([one_qubit()])
        assert not clock.wait(never(), 34 * MINUTE)
        assert session.run_round([one_qubit()])[0][0].bitstrings() == {"1": 10}  # type: ignore[union-attr]
    assert [(row.reason, row.status) for row in session.lineage.rows] == [("", "TimedOut"), ("idle", "Succeeded")]
    assert len(list(at.list_jobs())) == session.jobs == 2


def test_time_stands_while_a_job_is_computed(service: Emulator, clock: ServiceClock) -> None:
    start = clock.now()
    with open_session(service.workspace("computing"), clock=clock) as session:
        round_ = session.start_round([one_qubit()])
        assert wait_until(lambda: bool(service.workspace("computing").list_session_jobs(session.id)), within_s=30)
        clock.wait(never(), 8 * MINUTE)
        (job,) = service.workspace("computing").list_session_jobs(session.id)
        assert job.details.end_execution_time.timestamp() - start < MINUTE
        session.collect(round_)


def test_a_job_that_waits_120_s_in_a_queue_takes_120_virtual_seconds(service: Emulator, clock: ServiceClock) -> None:
    service.admin("targets", {"ionq.simulator": {"queue_s": 120}})
    with open_session(service.workspace("queue"), "ionq.simulator", clock=clock) as session:
        start = clock.now()
        session.run_round([one_qubit()])
        assert 120.0 <= clock.now() - start <= 120.0 * (1 + 2 * SHARE_OF_WAIT)


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
    other.start()  # it has joined already, and does not wait: time stands until it runs
    clock.wait(never(), 80.0)
    woken.append(("first", clock.now() - start))
    assert clock.wait(done, 60.0)
    other.join()
    assert woken == [("other", 30.0), ("other", 60.0), ("first", 80.0), ("other", 90.0)]


def test_a_lock_that_is_held_over_a_wait_does_not_hold_up_time_by_those_who_wait_for_it(clock: ServiceClock) -> None:
    lock = PatientLock(clock)
    is_held, done = threading.Event(), threading.Event()
    held, entered = clock.hold(), []

    def holds() -> None:
        with held, lock:
            is_held.set()
            with lock:  # once more, by the same thread
                clock.wait(never(), 30.0)
            entered.append("first")

    def follows() -> None:
        with following, lock:
            entered.append("second")
            done.set()

    following = clock.hold()
    first = threading.Thread(target=holds, daemon=True)
    first.start()
    assert is_held.wait(30)
    second = threading.Thread(target=follows, daemon=True)
    second.start()
    too_long = threading.Timer(30, done.set)  # real seconds, in which broken code has not come to anything
    too_long.start()
    clock.wait(done, MINUTE)
    too_long.cancel()
    first.join(1)
    assert entered == ["first", "second"]


def test_a_thread_that_was_started_under_a_hold_is_waited_for(clock: ServiceClock) -> None:
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
    clock.wait(never(), 5.0)  # all would wait, but that one's event is set
    thread.join()
    assert woken == [0.0]
    assert clock.now() - start == 5.0


def test_an_event_from_outside_this_time_ends_a_wait(service: Emulator, clock: ServiceClock) -> None:
    start, event = clock.now(), threading.Event()
    with clock_of(service, "busy"):  # so that time stands
        threading.Timer(0.05, event.set).start()
        assert clock.wait(event, 1000.0)
        assert clock.now() == start


def test_a_signal_ends_a_wait_and_leaves_the_clock_in_order(service: Emulator, clock: ServiceClock) -> None:
    class Told(Exception):
        pass

    def tell(*_: object) -> None:
        raise Told

    start, former = clock.now(), signal.signal(signal.SIGALRM, tell)
    try:
        with clock_of(service, "busy"):  # so that time stands
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Told):
                clock.wait(never(), 1000.0)
            assert state_of(service, "test") == "works"
    finally:
        signal.signal(signal.SIGALRM, former)
    clock.wait(never(), 10.0)
    assert clock.now() == start + 10.0


def test_calls_that_are_dropped_do_not_hold_time_up(clock: ServiceClock) -> None:
    start, ran = clock.now(), list[int]()
    workers = Workers("test", clock, threads=0)
    for number in range(3):
        workers.do(lambda number=number: ran.append(number))  # type: ignore[misc]
    workers.close()
    clock.wait(never(), 10.0)
    assert (clock.now() - start, ran) == (10.0, [])


def test_time_that_was_moved_by_hand_is_seen_at_once(service: Emulator, clock: ServiceClock) -> None:
    before = clock.now()
    service.advance(10.0)
    assert clock.now() == before + 10.0


@pytest.mark.parametrize(
    ("doing", "state"), [("clock.wait(threading.Event(), 3.0)", "waits"), ("threading.Event().wait()", "works")]
)
def test_a_process_that_is_killed_does_not_hold_time_up(
    service: Emulator, clock: ServiceClock, doing: str, state: str
) -> None:
    code = f"""
import threading
from hybridloop.sessions.service_clock import ServiceClock
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


def test_after_a_restart_of_the_service_its_time_goes_on(
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
        assert clock.now() == before  # nobody is there to tell another
        second = start_emulator(*options, "--admin-key", key, state=tmp_path)
        assert not clock.wait(never(), 60.0)
        assert clock.now() >= before + 60.0
        second.stop(signal.SIGKILL)
        start_emulator(*options, "--admin-key", "another", state=tmp_path)
        with pytest.raises(AccessDenied):
            clock.wait(never(), 60.0)


def test_what_can_not_be_joined_says_why(service: Emulator, emulator: Emulator) -> None:
    with pytest.raises(InputError, match="real time"):
        clock_of(emulator)
    with pytest.raises(AccessDenied):
        ServiceClock(service.endpoint, "wrong-key")
    with pytest.raises(ServiceUnreachable):
        ServiceClock("http://127.0.0.1:9/", "k")


def test_a_wait_on_a_closed_clock_fails_and_does_not_hang(service: Emulator) -> None:
    with clock_of(service) as clock:
        pass
    with pytest.raises(ServiceUnreachable):
        clock.wait(never(), 1.0)
    assert ClockCalls(service.endpoint, service.admin_key).now() >= clock.now()
