"""Times of plans: published gate times on a machine, and a timed simulator on the local service."""

from __future__ import annotations

from typing import Any

import pytest

from hybridloop.emulator.timing import MEASURED_S, seconds_by_shots
from hybridloop.estimate.plan import Plan
from hybridloop.estimate.planner import plan_run
from hybridloop.estimate.statuses import TargetStatuses
from hybridloop.inputs.sources import CALL, Layer, resolve_settings
from hybridloop.settings import ProblemText
from hybridloop.targets import known_targets
from tests.long_form import long_form, short_or_long
from tests.value_helpers import known

QUICK = ("ionq.simulator", "quantinuum.sim.h2-1e", "rigetti.sim.qvm")  # one of each format, with noise and without
QUEUE = {"averageQueueTime": 600, "currentAvailability": "Available"}


def planned(target: str, problem: str = "ring-8", *, is_local: bool = False, **settings: Any) -> Plan:
    asked = resolve_settings("qaoa", Layer(CALL, {"target": target, **settings})).settings
    return plan_run("qaoa", ProblemText(name=problem), asked, statuses=TargetStatuses({target: QUEUE}, is_local))


def test_a_machine_with_published_gate_times_takes_those_of_all_shots_beside_its_queues() -> None:
    plan = planned("ionq.qpu.aria-1")
    (circuit,) = plan.circuits
    gates_s = 1000 * (135e-6 * known(circuit.one_qubit) + 600e-6 * known(circuit.two_qubit))
    assert plan.duration.expected_s == pytest.approx(600 + gates_s)
    assert plan.duration.queue_s == plan.duration.queues_s == 600


@pytest.mark.parametrize("target", ["quantinuum.qpu.h2-1", "ionq.qpu.forte-1", "rigetti.qpu.cepheus-1-108q"])
def test_a_machine_without_published_times_has_no_estimate_but_its_queues(target: str) -> None:
    duration = planned(target).duration
    assert (duration.expected_s, duration.short, duration.local_s) == (None, "over 10 min", None)
    assert duration.lines() == [
        f"over 10 min: no times of {target} are published or recorded, a queue of 10 min a round"
    ]


@long_form
@pytest.mark.parametrize(
    "target", short_or_long(QUICK, [name for name, facts in known_targets().items() if not facts.checks_only])
)
def test_a_plan_on_the_local_service_times_its_simulator_in_the_format_of_each_target(target: str) -> None:
    here = planned(target, is_local=True).duration
    assert known(here.local_s) > 0
    assert here.measured_s is not None
    assert here.own_s == known(here.local_s)
    assert here.short == planned(target).duration.short  # on Azure


def test_a_circuit_that_would_take_long_has_the_time_that_follows_from_a_smaller_one() -> None:
    def here(target: str) -> float:
        ring = "\n".join(f"{node} {(node + 1) % 28}" for node in range(28))
        asked = resolve_settings("qaoa", Layer(CALL, {"target": target, "layers": 1})).settings
        problem = ProblemText(name="ring-28", text=ring)
        duration = plan_run("qaoa", problem, asked, statuses=TargetStatuses({}, is_local=True)).duration
        assert 0.0 < known(duration.measured_s) < 60.0
        return duration.local_s or 0.0

    sampled_once, shot_by_shot = here("rigetti.sim.qvm"), here("quantinuum.qpu.h2-1")
    assert sampled_once > 1.0
    assert shot_by_shot > 100.0 * sampled_once  # with noise each shot is simulated


@pytest.mark.parametrize(("setup_s", "shot_s"), [(0.02, 1e-6), (0.01, 2e-3), (0.3, 0.05), (0.1, 0.3), (0.001, 0.0)])
def test_the_time_of_many_shots_follows_from_few_without_long_runs(setup_s: float, shot_s: float) -> None:
    timed: list[float] = []

    def run(shots: int) -> float:
        timed.append(setup_s + shot_s * shots)
        return timed[-1]

    first, slope = seconds_by_shots(run, 10_000)
    assert first + slope * 9_999 == pytest.approx(setup_s + shot_s * 10_000)
    assert sum(timed) < 4 * MEASURED_S
