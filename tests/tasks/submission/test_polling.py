"""The wait for a round: its answer is there at most one tick after the service ended its last job."""

from __future__ import annotations

import threading
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import Batching
from hybridloop.tasks.submission.polling import LONGEST_S, SHARE_OF_WAIT, SHORTEST_S, Poller, poll_interval
from tests.conftest import Emulator, running_emulator
from tests.session_helpers import open_run_session
from tests.tasks.submission.test_service_faults import angled
from tests.waiting import eventually

TARGETS = [("ionq.simulator", Batching.OFF), ("rigetti.sim.qvm", Batching.OFF), ("rigetti.sim.qvm", Batching.ON)]


@given(st.floats(0.0, 1e6))
def test_a_tick_is_a_tenth_of_the_wait_within_bounds(waited_s: float) -> None:
    assert SHORTEST_S <= poll_interval(waited_s) <= max(SHORTEST_S, min(LONGEST_S, SHARE_OF_WAIT * waited_s))


def test_a_round_is_answered_a_tick_after_its_last_job_at_most() -> None:
    waits = []
    with (
        running_emulator("--clock", "virtual", "--latency", "recorded") as service,
        ServiceClock(service.endpoint, service.admin_key) as clock,
    ):
        for target, batching in TARGETS:
            with open_run_session(
                service.workspace(), target, SessionOptions(batching=batching), seed=0, clock=clock
            ) as session:
                began = clock.now()
                session.run_round([SamplerPub.coerce((angled(), [[0.0]] * 5), 100)])
                answered = clock.now()
                entries = service.admin(f"ledger?run={session.run_uid}")["entries"]
                ended = max(datetime.fromisoformat(entry["ended"]).timestamp() for entry in entries)
                waits.append(ended - began)
                # in virtual time a call takes none
                assert answered - ended == pytest.approx(0.0, abs=poll_interval(ended - began) + 0.01)
    assert max(waits) > 1.0


def test_a_delayed_call_replaces_an_equal_one_that_waits(clock: ServiceClock) -> None:
    began, made, poller = clock.now(), list[float](), Poller(clock)

    def note() -> None:
        made.append(clock.now() - began)

    poller.call_later(10.0, note)
    poller.call_later(20.0, note)
    clock.wait(threading.Event(), 60.0)
    poller.stop()
    assert made == [20.0]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_poller_ends_with_its_clock(service: Emulator) -> None:
    before = set(threading.enumerate())
    with ServiceClock(service.endpoint, service.admin_key) as clock:
        Poller(clock)
        (thread,) = (each for each in set(threading.enumerate()) - before if each.name == "hybridloop-poller")
    eventually(lambda: not thread.is_alive())
