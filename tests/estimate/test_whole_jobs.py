"""Computed shots take no further job of a price for a few of them; stated shots stay."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.rounds import FEW_SHOTS, whole_jobs
from hybridloop.descriptions import ALGORITHMS
from hybridloop.estimate.dry_run import PubRequest
from hybridloop.estimate.planner import Planner
from hybridloop.estimate.statuses import TargetStatuses
from hybridloop.settings import ProblemText
from hybridloop.targets import find_target
from hybridloop.targets.prices import priced_job_shots

MOST = 500  # of a job here, so that each part of a run needs several


@given(st.integers(1, 10**8), st.integers(1, 10**5))
def test_few_shots_alone_are_left_out_and_never_a_whole_job(shots: int, most: int) -> None:
    kept = whole_jobs(shots, most)
    assert shots / (1 + FEW_SHOTS) - 1e-9 <= kept <= shots
    assert math.ceil(kept / most) >= math.ceil(shots / most) - 1
    assert kept <= most or kept % most == 0 or kept % most > FEW_SHOTS * (kept - kept % most)
    assert whole_jobs(kept, most) == kept
    assert whole_jobs(shots, None) == shots


def requests(algorithm: str, target: str, most: int = MOST, **values: Any) -> list[PubRequest]:
    """Return what a dry run of an algorithm measures on a target whose jobs take `most` shots."""
    settings = ALGORITHMS[algorithm].settings.model_validate({"target": target, "seed": 3, **values})
    planner = Planner(algorithm, ProblemText(name="h2"), settings, TargetStatuses(), trials=3)
    simulation = planner.simulate(replace(find_target(target), max_shots=most), settings)
    return [pub for trial in simulation.trials for each in trial.rounds for pub in each.pubs]


@pytest.mark.parametrize("precision", [0.0021, 0.0034, 0.0047])
@pytest.mark.parametrize(
    ("algorithm", "values"),
    [("vqe", {}), ("vqe", {"search": "measured"}), ("levels", {}), ("adapt", {"search": "measured", "shots": 333})],
)
def test_no_part_of_a_run_computes_shots_that_take_one_more_job_for_a_few(
    algorithm: str, values: dict[str, Any], precision: float
) -> None:
    asked = requests(algorithm, "quantinuum.qpu.h2-1", precision=precision, **values)
    computed = [each.shots for each in asked if each.shots > MOST]
    assert computed
    assert all(not (rest := shots % MOST) or rest > FEW_SHOTS * (shots - rest) for shots in computed)


def test_stated_shots_stay_and_free_jobs_take_what_was_computed() -> None:
    stated = requests(
        "vqe", "quantinuum.qpu.h2-1", search="measured", optimizer="rotosolve", shots=MOST + 1, max_rounds=2
    )
    assert MOST + 1 in {each.shots for each in stated}
    assert priced_job_shots(find_target("rigetti.sim.qvm")) is None
    assert priced_job_shots(find_target("ionq.simulator")) is None
    assert priced_job_shots(find_target("ionq.qpu.aria-1")) == 10_000


@pytest.mark.parametrize(
    ("algorithm", "values"), [("vqe", {}), ("vqe", {"search": "measured"}), ("levels", {"precision": 0.004})]
)
def test_a_run_that_the_provider_mitigates_computes_no_shots_that_it_does_not(
    algorithm: str, values: dict[str, Any]
) -> None:
    asked = requests(algorithm, "ionq.qpu.aria-1", most=10_000, **values)
    assert min(each.shots for each in asked) >= 500
    sampling = Sampling(fewest_shots=500, job_shots=10_000)
    assert sampling.further_shots([1.0, 1e-9, 0.0], [1000, 1000, 1000], 1 / 1100) == [500, 0, 0]
