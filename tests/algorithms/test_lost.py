"""Points that are lost in a search: it ends, goes on with a penalty, or does without, as was said at its start."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.lost import FAIL, LostPoints, Penalize, Skip, as_told
from hybridloop.algorithms.optimizer import Optimizer
from hybridloop.algorithms.rounds import Lost, Measured, RunRound
from hybridloop.algorithms.scipy_search import ScipySearch
from hybridloop.algorithms.trigonometric import Rotosolve
from hybridloop.algorithms.uccsd import uccsd
from hybridloop.algorithms.vqe import VqeResult, vqe
from hybridloop.errors import InputError, JobFailed


def losing(run_round: RunRound, share: float, seed: int, shots: list[int]) -> RunRound:
    """The rounds, but each answer is lost with a probability; `shots` gets those of each round."""
    rng = np.random.default_rng(seed)

    def lossy(pubs: Sequence[SamplerPub], /) -> list[Measured]:
        shots.append(sum(pub.size * pub.shots for pub in pubs))
        return [
            Measured(answer.points, tuple(Lost("gone") if rng.random() < share else each for each in answer.counts))
            for answer in run_round(pubs)
        ]

    return lossy


def search(problem: ElectronicProblem, kind: type[Optimizer], run_round: RunRound, on_lost: LostPoints) -> VqeResult:
    ansatz = uccsd(problem)
    optimizer = (
        ScipySearch(ansatz.initial_point)
        if kind is ScipySearch
        else Rotosolve(ansatz.initial_point, ansatz.frequencies)
    )
    return vqe(problem.hamiltonian, ansatz, optimizer, run_round, on_lost=on_lost)


Problems = Callable[..., ElectronicProblem]
Rounds = Callable[[int], RunRound]


@pytest.mark.parametrize("kind", [Rotosolve, ScipySearch])
def test_unless_told_otherwise_a_lost_point_ends_the_search(
    problem_of: Problems, sampled_rounds: Rounds, kind: type[Optimizer]
) -> None:
    shots: list[int] = []
    with pytest.raises(JobFailed, match=r"of a round were lost \(gone\)"):
        search(problem_of("H2_0.735"), kind, losing(sampled_rounds(0), 1.0, 0, shots), FAIL)
    assert len(shots) == 1


def test_skipping_is_refused_at_the_start_where_the_optimizer_needs_every_point(problem_of: Problems) -> None:
    def never(pubs: Sequence[SamplerPub], /) -> list[Measured]:
        raise AssertionError("a round was asked for")

    with pytest.raises(InputError, match="needs every point") as caught:
        search(problem_of("H2_0.735"), ScipySearch, never, Skip())
    assert caught.value.field == "on_lost_job"


@pytest.mark.parametrize("seed", range(6))
def test_a_search_that_skips_a_fifth_of_all_answers_finds_the_same_energy_and_counts_all_shots(
    reference: Mapping[str, Any], problem_of: Problems, sampled_rounds: Rounds, seed: int
) -> None:
    shots: list[int] = []
    result = search(problem_of("H2_0.735"), Rotosolve, losing(sampled_rounds(seed), 0.2, seed, shots), Skip())
    assert result.converged
    assert result.is_precise
    assert abs(result.value - reference["H2_0.735"]["exact_energy"]) <= 4 * result.standard_error
    assert result.shots == sum(shots)


@pytest.mark.parametrize("seed", range(6))
def test_a_search_that_is_given_penalties_goes_on_and_its_value_is_measured(
    reference: Mapping[str, Any], problem_of: Problems, sampled_rounds: Rounds, seed: int
) -> None:
    problem = problem_of("H2_0.735")
    start = problem.molecule.hartree_fock_energy
    shots: list[int] = []
    run_round = losing(sampled_rounds(seed), 0.1, seed, shots)
    result = search(problem, ScipySearch, run_round, Penalize(start + 0.5))
    assert result.shots == sum(shots)
    # half of all that there is to gain, 20 mHa: a penalty at the wrong moment costs COBYLA a step, not the search
    assert result.value <= (start + reference["H2_0.735"]["exact_energy"]) / 2


def test_the_optimizer_is_told_the_penalty_in_place_of_each_lost_point(
    problem_of: Problems, sampled_rounds: Rounds
) -> None:
    heard: list[float] = []
    told_lost: list[bool] = []

    class Listening(ScipySearch):
        def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | Lost]) -> None:
            heard.extend(each.value for each in estimates if isinstance(each, Estimate))
            told_lost.extend(isinstance(each, Lost) for each in estimates)
            super().tell(points, estimates)

    problem = problem_of("H2_0.735")
    ansatz = uccsd(problem)
    run_round = losing(sampled_rounds(1), 0.3, 1, [])
    vqe(problem.hamiltonian, ansatz, Listening(ansatz.initial_point), run_round, on_lost=Penalize(7.5))
    assert 0 < heard.count(7.5) < len(heard)
    assert not any(told_lost)


def test_a_penalty_weighs_like_the_other_points_of_its_round() -> None:
    answers: list[Estimate | Lost] = [Estimate(-1.0, 0.1, 10), Lost("gone"), Estimate(-2.0, 0.3, 10)]
    first, penalty, last = as_told(answers, Penalize(5.0))
    assert (first, last) == (answers[0], answers[2])
    assert isinstance(penalty, Estimate)
    assert penalty.variance == pytest.approx(0.2)
    assert (penalty.value, penalty.shots) == (5.0, 0)
    assert as_told([Lost("gone")], Penalize(5.0)) == [Estimate(5.0, 0.0, 0)]
    assert as_told(answers, Skip()) == answers


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_penalty_is_a_finite_number(value: float) -> None:
    with pytest.raises(InputError, match="penalty"):
        Penalize(value)
