"""Random simultaneous perturbations: draws that never change, unbiased slopes, and the states' own metric."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.lost import FAIL, LostPoints, Penalize, Skip, check_lost_points
from hybridloop.algorithms.optimizer import Optimizer
from hybridloop.algorithms.overlaps import Overlaps, tell_overlaps
from hybridloop.algorithms.perturbations import Trail, signs
from hybridloop.algorithms.qn_spsa import QnSpsa
from hybridloop.algorithms.rounds import Lost, Measured, RunRound
from hybridloop.algorithms.spsa import Spsa
from hybridloop.algorithms.termination import Termination
from hybridloop.algorithms.vqd import vqd
from hybridloop.algorithms.vqe import VqeResult, vqe
from hybridloop.errors import InputError, JobFailed
from tests.algorithms.batched_states import shot_rounds

Problem = Callable[..., ElectronicProblem]
H2 = -1.13730604


def test_draws_depend_on_the_seed_and_the_place_alone() -> None:
    drawn = signs(11, (3, 1), (400, 5))
    assert set(drawn.ravel().tolist()) == {-1.0, 1.0}
    assert np.array_equal(drawn, signs(11, (3, 1), (400, 5)))
    others = [signs(12, (3, 1), (400, 5)), signs(11, (4, 1), (400, 5)), signs(11, (3, 0), (400, 5))]
    # 2000 fair signs agree in 1000 places, give or take 22
    assert all(abs(int((drawn == each).sum()) - 1000) < 110 for each in others)
    assert abs(drawn.sum()) < 220


def test_the_mean_of_many_directions_is_the_gradient() -> None:
    slopes, curvatures = np.array([0.3, -0.2, 0.1]), np.diag([1.0, 0.5, 2.0])

    def energy(point: NDArray[np.float64]) -> float:
        return float(slopes @ point + point @ curvatures @ point / 2.0)

    optimizer = Spsa(np.zeros(3), seed=4, resamplings=4000)
    points = optimizer.ask()
    optimizer.tell(points, [Estimate(energy(each), 1e-4, 100) for each in points])
    state: Any = optimizer.state()
    # each component is off by the others' squares over the directions: |g| / sqrt(4000) = 0.006
    assert state["trail"]["slopes"][0] == pytest.approx(slopes, abs=0.024)
    assert state["trail"]["curvatures"][0] == pytest.approx(3.5 / 3.0)


def test_a_first_step_is_newtons_where_the_curvature_is_seen_and_as_long_as_was_said_where_it_is_not() -> None:
    def first_step(curvature: float, slope: float) -> float:
        optimizer = Spsa(np.zeros(1), seed=1, step_rad=0.5)
        points = optimizer.ask()
        energies = [slope * float(each[0]) + curvature * float(each[0]) ** 2 / 2.0 for each in points]
        optimizer.tell(points, [Estimate(each, 0.0, 100) for each in energies])
        return abs(float(optimizer.point[0]))

    assert first_step(curvature=2.0, slope=0.1) == pytest.approx(0.05)
    assert first_step(curvature=-2.0, slope=0.1) == pytest.approx(0.5)
    assert first_step(curvature=0.01, slope=0.1) == pytest.approx(0.5)


def test_noise_lengthens_the_rounds_that_are_looked_at_together_until_it_costs_little() -> None:
    def trail(rounds: int, noise: float) -> Trail:
        made = Trail.of(2)
        for _ in range(rounds):
            made = made.with_round(np.zeros(2), -1.0, noise, np.array([0.1, 0.0]), noise, 1.0)
        return made

    assert trail(4, 1e-6).outlook(1e-3) is None
    sharp, blurred = trail(40, 1e-6).outlook(1e-3), trail(40, 1e-2).outlook(1e-3)
    assert sharp is not None
    assert blurred is not None
    assert sharp.gain == pytest.approx(0.1**2 / 2)
    assert sharp.noise == pytest.approx(2 * 1e-6 / 5 / 2)
    # ten rounds bring 2 · 0.01 / 10 / 2 to a thousandth
    assert blurred.noise == pytest.approx(1e-3)


@pytest.mark.parametrize(("name", "value"), [("seed", -1), ("step_rad", 0.0), ("step_rad", np.inf), ("resamplings", 0)])
@pytest.mark.parametrize("kind", [Spsa, QnSpsa])
def test_settings_that_are_none_are_refused(kind: type[Spsa] | type[QnSpsa], name: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        kind(np.zeros(2), **{"seed": 1, name: value})
    assert caught.value.field == name


def state_of(ansatz: Ansatz, point: NDArray[np.float64]) -> NDArray[np.complex128]:
    vector: NDArray[np.complex128] = Statevector(ansatz.circuit.assign_parameters(point)).data
    return vector


def test_overlaps_are_those_of_the_states(exact_rounds: RunRound) -> None:
    rng = np.random.default_rng(1)
    ansatz = hardware_efficient(3, rng)
    overlaps, pairs = Overlaps.of(ansatz), rng.uniform(-3, 3, (4, 2, 6))
    met, shares = overlaps.read(exact_rounds(overlaps.pubs(pairs, 10**6)))
    assert np.array_equal(met, pairs)
    for (one, other), found in zip(pairs, shares, strict=True):
        assert isinstance(found, Estimate)
        expected = abs(np.vdot(state_of(ansatz, one), state_of(ansatz, other))) ** 2
        assert found.value == pytest.approx(expected, abs=1e-5)
    assert overlaps.pubs(pairs[:0], 100) == []
    assert overlaps.read([])[0].shape == (0, 2, 6)


def fubini_study(ansatz: Ansatz, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Re(⟨∂i|∂j⟩ − ⟨∂i|ψ⟩⟨ψ|∂j⟩), with derivatives by differences."""
    step, axes, here = 1e-5, np.eye(len(point)), state_of(ansatz, point)
    slopes = [(state_of(ansatz, point + step * e) - state_of(ansatz, point - step * e)) / (2 * step) for e in axes]
    rows = [[np.vdot(a, b) - np.vdot(a, here) * np.vdot(here, b) for b in slopes] for a in slopes]
    return np.real(np.array(rows))


def test_the_samples_mean_is_the_fubini_study_metric() -> None:
    ansatz = hardware_efficient(2, np.random.default_rng(3))
    optimizer = QnSpsa(ansatz.initial_point, seed=2, resamplings=1500)
    pairs = optimizer.ask_overlaps()
    # the overlaps of shifts a tenth as long, so that what is left of higher order is small
    states = {each.tobytes(): state_of(ansatz, each) for each in np.unique(pairs.reshape(-1, 4), axis=0)}
    shares = [abs(np.vdot(*(states[each.tobytes()] for each in pair))) ** 2 for pair in pairs]
    optimizer.tell_overlaps(pairs, [Estimate(float(each), 0.0, 1) for each in shares])
    state: Any = optimizer.state()
    assert state["samples"] == 1500
    metric, expected = np.array(state["sum"]) / 1500, fubini_study(ansatz, ansatz.initial_point)
    # a sample is off by about the metric's norm, 0.5; shifts of 0.25 rad add a few percent
    assert metric == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(1500) + 0.03)


class Losing:
    """Rounds in which every overlap is lost from a certain round on; counts rounds, and PUBs beside energies."""

    def __init__(self, run_round: RunRound, groups: int, lost_from: float = np.inf) -> None:
        self.run_round, self.groups, self.lost_from = run_round, groups, lost_from
        self.beside: list[int] = []

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[Measured]:
        answers = self.run_round(pubs)
        self.beside.append(sum(each.size for each in pubs[self.groups :]))
        if len(self.beside) <= self.lost_from:
            return answers
        lost = [Measured(each.points, (Lost("gone"),) * len(each)) for each in answers[self.groups :]]
        return [*answers[: self.groups], *lost]


def solved(problem: ElectronicProblem, run_round: RunRound, on_lost: LostPoints = FAIL) -> VqeResult:
    start = np.random.default_rng(1).uniform(-np.pi, np.pi, 4)
    ansatz = hardware_efficient(2, start)
    optimizer = QnSpsa(start, 3, step_rad=1.0, resamplings=2)
    return vqe(problem.hamiltonian, ansatz, optimizer, run_round, on_lost=on_lost)


def test_a_search_measures_its_overlaps_in_the_same_rounds_and_counts_them(problem_of: Problem) -> None:
    counted = Losing(shot_rounds(1), groups=2)
    result = solved(problem_of("H2_0.735"), counted)
    assert result.converged
    assert result.is_precise
    assert abs(result.value - H2) < 4 * result.standard_error + 1.6e-3
    searched = [each for each in result.history if each.phase == "search"]
    assert counted.beside[: len(searched)] == [8] * len(searched)
    assert not any(counted.beside[len(searched) :])
    assert [each.circuits for each in searched] == [2 * each.points + 8 for each in searched]


def test_lost_overlaps_are_left_out_of_the_metric_unless_lost_points_end_the_search(problem_of: Problem) -> None:
    problem = problem_of("H2_0.735")
    with pytest.raises(JobFailed, match=r"lost \(gone\)"):
        solved(problem, Losing(shot_rounds(1), groups=2, lost_from=2))
    skipped, penalized = (
        solved(problem, Losing(shot_rounds(1), groups=2, lost_from=2), each) for each in (Skip(), Penalize(1.0))
    )
    assert abs(skipped.value - H2) < 4 * skipped.standard_error + 1.6e-3
    assert penalized.parameters == skipped.parameters  # an energy in an overlap's place would have turned the steps


def test_a_penalty_is_refused_for_a_search_that_can_not_do_without_its_overlaps() -> None:
    class Strict(QnSpsa):
        can_skip = False

    check_lost_points(Penalize(1.0), QnSpsa(np.zeros(2), seed=1))
    with pytest.raises(InputError, match="a penalty is an energy") as caught:
        check_lost_points(Penalize(1.0), Strict(np.zeros(2), seed=1))
    assert caught.value.field == "on_lost_job"


def test_excited_states_are_found_with_overlaps_of_its_own_beside_those_of_the_levels(problem_of: Problem) -> None:
    rng = np.random.default_rng(5)
    ansatz = hardware_efficient(2, rng)
    starts = [ansatz.initial_point, rng.uniform(-np.pi, np.pi, 4)]

    def make(at: Ansatz) -> Optimizer:
        return QnSpsa(
            at.initial_point, 7, step_rad=1.0, resamplings=2, termination=Termination(tolerance=2e-3, max_rounds=30)
        )

    found = vqd(problem_of("H2_0.735").hamiltonian, ansatz, starts, make, shot_rounds(2), precision=2e-3)
    assert found.levels[0].final.estimate.value == pytest.approx(H2, abs=0.03)
    assert found.levels[1].final.estimate.value == pytest.approx(-0.5246, abs=0.03)
    assert found.levels[1].is_apart


def test_optimizers_that_ask_for_no_overlaps_are_told_none() -> None:
    optimizer = Spsa(np.zeros(2), seed=1)
    before = json.dumps(optimizer.state())
    tell_overlaps(optimizer, np.zeros((1, 2, 2)), [Lost("gone")], FAIL)
    assert json.dumps(optimizer.state()) == before
