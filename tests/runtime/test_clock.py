"""The machine's clock is set during a run: intervals and deadlines hold, and nothing stalls."""

from __future__ import annotations

import time

import pytest
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.azure.listing import list_jobs
from hybridloop.budget.caps import Caps
from hybridloop.emulator.clock import RealClock as ServiceRealClock
from hybridloop.errors import CapReached
from hybridloop.runtime.clock import RealClock
from hybridloop.settings.keep_alive import IDLE_LIMIT_S
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import DEFAULT_TARGET
from tests.conftest import Emulator
from tests.session_helpers import open_run_session
from tests.waiting import eventually

STEPS_S = (-7200.0, -60.0, 3600.0)
DEADLINE_S = 1800.0
SLOW_S = 25.0  # for a machine under load


def set_clock(patch: pytest.MonkeyPatch, step_s: float) -> None:
    """Set the machine's clock forward or, by a negative step, back, as this process sees it."""
    real = time.time
    patch.setattr(time, "time", lambda: real() + step_s)


@pytest.mark.parametrize("step_s", STEPS_S)
@pytest.mark.parametrize("kind", [RealClock, ServiceRealClock], ids=["client", "service"])
def test_a_clock_goes_on_when_the_machines_clock_is_set(
    kind: type[RealClock] | type[ServiceRealClock], step_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = kind()
    began = clock.now()
    assert abs(began - time.time()) < SLOW_S
    set_clock(monkeypatch, step_s)
    assert 0.0 <= clock.now() - began < SLOW_S
    assert abs(kind().now() - time.time()) < SLOW_S  # one that is started now has the time of now


@pytest.mark.parametrize("step_s", [STEPS_S[0], *(pytest.param(step, marks=pytest.mark.slow) for step in STEPS_S[1:])])
def test_a_run_goes_on_with_its_deadline_and_idle_time_when_the_machines_clock_is_set(
    emulator: Emulator, step_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    pub = SamplerPub.coerce(circuit, 10)
    workspace = emulator.workspace()
    emulator.admin("targets", {DEFAULT_TARGET: {"queue_s": 0.4}})  # the round is polled while the clock is set
    with open_run_session(workspace, options=SessionOptions(caps=Caps(deadline_s=DEADLINE_S))) as session:
        round_ = session.rounds.start([pub])
        eventually(lambda: bool(list_jobs(workspace, session.id)))
        set_clock(monkeypatch, step_s)
        session.rounds.collect(round_)
        found = session.snapshot
        assert found.left_s is not None
        assert DEADLINE_S - SLOW_S < found.left_s <= DEADLINE_S
        assert found.idle_left_s is not None
        assert IDLE_LIMIT_S - SLOW_S < found.idle_left_s <= IDLE_LIMIT_S
    assert session.status == "Succeeded"


@pytest.mark.claim("a cap or the deadline is reached")
def test_a_deadline_ends_a_run_although_the_machines_clock_was_set_back(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with open_run_session(emulator.workspace(), options=SessionOptions(caps=Caps(deadline_s=DEADLINE_S))) as session:
        set_clock(monkeypatch, -7200.0)
        steady = time.clock_gettime
        monkeypatch.setattr(time, "clock_gettime", lambda which: steady(which) + DEADLINE_S)
        with pytest.raises(CapReached, match="deadline"):
            session.run_round([SamplerPub.coerce(circuit, 10)])
