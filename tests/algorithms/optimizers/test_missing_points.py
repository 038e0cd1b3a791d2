"""Failed points in a search: policies fail, penalize and skip."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import Optimizer
from hybridloop.algorithms.optimizers.missing_points import (
    FAIL,
    MissingPointPolicy,
    Penalize,
    Skip,
    apply_missing_point_policy,
)
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.optimizers.scipy import ScipyOptimizer
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.rounds import FailedPoint, MeasuredPub, RunRound
from hybridloop.algorithms.search import Search
from hybridloop.algorithms.vqe.vqe import VqeResult, vqe
from hybridloop.errors import InputError, JobFailed
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.algorithms.reference_helpers import MOLECULES, problem_of


def failing_rounds(run_round: RunRound, share: float, seed: int, shots: list[int]) -> RunRound:
    """Wrap rounds so that each result fails with probability `share`; append each round's shots to `shots`."""
    rng = np.random.default_rng(seed)

    def run_failing(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        shots.append(sum(pub.size * pub.shots for pub in pubs))
        return [
            MeasuredPub(
                result.points,
                tuple(FailedPoint("gone") if rng.random() < share else counts for counts in result.counts),
            )
            for result in run_round(pubs)
        ]

    return run_failing


def run_vqe(
    problem: ElectronicProblem, kind: type[Optimizer], run_round: RunRound, on_lost: MissingPointPolicy
) -> VqeResult:
    ansatz = uccsd(problem)
    optimizer = (
        ScipyOptimizer(ansatz.initial_point)
        if kind is ScipyOptimizer
        else Rotosolve(ansatz.initial_point, ansatz.frequencies)
    )
    return vqe(problem.hamiltonian, ansatz, Search(optimizer, on_lost=on_lost), run_round)


@pytest.mark.parametrize("kind", [Rotosolve, ScipyOptimizer])
def test_by_default_a_failed_point_ends_the_search(kind: type[Optimizer]) -> None:
    shots: list[int] = []
    with pytest.raises(JobFailed, match=r"of a round failed \(gone\)"):
        run_vqe(problem_of("H2_0.735"), kind, failing_rounds(shot_rounds(0), 1.0, 0, shots), FAIL)
    assert len(shots) == 1


def test_skip_is_refused_before_the_first_round_if_the_optimizer_needs_every_point() -> None:
    def never(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        raise AssertionError("a round was run")

    with pytest.raises(InputError, match="needs every point") as caught:
        run_vqe(problem_of("H2_0.735"), ScipyOptimizer, never, Skip())
    assert caught.value.field == "on_lost_job"


@pytest.mark.parametrize("seed", range(6))
def test_a_search_that_skips_a_fifth_of_all_results_finds_the_same_energy_and_counts_all_shots(seed: int) -> None:
    shots: list[int] = []
    result = run_vqe(problem_of("H2_0.735"), Rotosolve, failing_rounds(shot_rounds(seed), 0.2, seed, shots), Skip())
    assert result.converged
    assert result.is_precise
    assert abs(result.value - MOLECULES["H2_0.735"]["exact_energy"]) <= 4 * result.standard_error
    assert result.shots == sum(shots)


@pytest.mark.parametrize("seed", range(6))
def test_a_search_with_penalties_continues_and_its_value_is_measured(seed: int) -> None:
    problem = problem_of("H2_0.735")
    start = problem.molecule.hartree_fock_energy
    shots: list[int] = []
    run_round = failing_rounds(shot_rounds(seed), 0.1, seed, shots)
    result = run_vqe(problem, ScipyOptimizer, run_round, Penalize(start + 0.5))
    assert result.shots == sum(shots)
    # half of the possible gain of 20 mHa: a penalty at a bad moment costs COBYLA a step, not the search
    assert result.value <= (start + MOLECULES["H2_0.735"]["exact_energy"]) / 2


def test_only_the_failed_points_are_replaced_by_the_penalty_and_none_where_the_optimizer_can_skip() -> None:
    estimates: list[Estimate | FailedPoint] = [Estimate(-1.0, 0.1, 10), FailedPoint("gone"), Estimate(-2.0, 0.3, 10)]
    replaced = apply_missing_point_policy(estimates, Penalize(5.0), can_skip=False)
    assert replaced == [estimates[0], Estimate(5.0, 0.0, 0), estimates[2]]
    for policy in (Penalize(5.0), Skip()):
        assert apply_missing_point_policy(estimates, policy, can_skip=True) == estimates


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("lost", [0.1, 0.5])
def test_penalties_are_no_minimum_of_a_search_that_skips(lost: float, seed: int) -> None:
    """A penalty 1.5 hartree below the energies would be the minimum of any fit that took it for a measurement."""
    problem, shots = problem_of("H2_0.735"), list[int]()
    run_round = failing_rounds(shot_rounds(seed), lost, seed, shots)
    exact = MOLECULES["H2_0.735"]["exact_energy"]
    try:
        result = run_vqe(problem, Rotosolve, run_round, Penalize(exact - 1.5))
    except JobFailed:  # half of the jobs are lost, also of the repeated points
        assert lost == 0.5
        return
    assert abs(result.value - exact) <= 4 * result.standard_error


def test_a_search_that_got_penalties_claims_no_minimum() -> None:
    run_round = failing_rounds(shot_rounds(0), 0.1, 0, [])
    result = run_vqe(problem_of("H2_0.735"), ScipyOptimizer, run_round, Penalize(1.0))
    assert not result.converged
    assert "point(s) of lost jobs were penalties, so that this end shows no minimum" in result.reason


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_penalty_is_a_finite_number(value: float) -> None:
    with pytest.raises(InputError, match="penalty"):
        Penalize(value)
