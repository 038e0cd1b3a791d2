"""SPSA and QN-SPSA: reproducible random signs, unbiased slopes with their noise, the Fubini-Study metric."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.circuits.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import Optimizer, Termination
from hybridloop.algorithms.optimizers.missing_points import (
    FAIL,
    MissingPointPolicy,
    Penalize,
    Skip,
    check_missing_point_policy,
)
from hybridloop.algorithms.optimizers.overlaps import OverlapMeasurement, tell_overlaps
from hybridloop.algorithms.optimizers.spsa import Iterate, QnSpsa, Spsa, forecast, random_signs, shift_rad
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.rounds import FailedPoint, MeasuredPub, RunRound
from hybridloop.algorithms.vqd import vqd
from hybridloop.algorithms.vqe import VqeResult, vqe
from hybridloop.errors import InputError, JobFailed
from tests.algorithms.batched_state_helpers import shot_rounds

Problem = Callable[..., ElectronicProblem]
H2 = -1.13730604


def test_random_signs_depend_only_on_seed_and_place() -> None:
    signs = random_signs(11, (3, 1), (400, 5))
    assert set(signs.ravel().tolist()) == {-1.0, 1.0}
    assert np.array_equal(signs, random_signs(11, (3, 1), (400, 5)))
    others = [
        random_signs(12, (3, 1), (400, 5)),
        random_signs(11, (4, 1), (400, 5)),
        random_signs(11, (3, 0), (400, 5)),
    ]
    # 2000 fair signs agree in 1000 ± 22 places
    assert all(abs(int((signs == other).sum()) - 1000) < 110 for other in others)
    assert abs(signs.sum()) < 220


def test_the_mean_of_many_directions_is_the_gradient() -> None:
    slopes, curvatures = np.array([0.3, -0.2, 0.1]), np.diag([1.0, 0.5, 2.0])

    def energy(point: NDArray[np.float64]) -> float:
        return float(slopes @ point + point @ curvatures @ point / 2.0)

    optimizer = Spsa(np.zeros(3), seed=4, resamplings=4000)
    points = optimizer.ask()
    optimizer.tell(points, [Estimate(energy(each), 1e-4, 100) for each in points])
    state: Any = optimizer.state()
    # the standard error of a component comes from the other slopes: |g| / sqrt(4000) = 0.006
    assert state["history"][0]["slopes"] == pytest.approx(slopes, abs=0.024)
    assert state["history"][0]["curvature"] == pytest.approx(3.5 / 3.0)


def test_the_variance_of_the_slopes_is_their_scatter_under_shot_noise() -> None:
    """Points up and down have different variances, so that each must enter the sum with its own sign and size."""
    up, down, centre = 4e-4, 1e-4, 9e-4
    variances = np.array([centre, *[up] * 8, *[down] * 8])  # a first round has 8 directions
    rng, slopes = np.random.default_rng(8), []
    for _ in range(2000):
        optimizer = Spsa(np.zeros(3), seed=4)
        energies = rng.normal(-1.0, np.sqrt(variances))
        estimates = [Estimate(float(e), float(v), 100) for e, v in zip(energies, variances, strict=True)]
        optimizer.tell(optimizer.ask(), estimates)
        state: Any = optimizer.state()
        slopes.append(state["history"][0]["slopes"])
    predicted = state["history"][0]["slope_variance"]
    # a variance of 2000 samples is known to √(2 / 2000) = 3 %; four times that
    assert np.var(slopes, axis=0) == pytest.approx([predicted] * 3, rel=0.13)
    assert predicted == pytest.approx(8 * (up + down) / (2 * shift_rad(0, 3) * 8) ** 2)


def test_the_first_step_is_newtons_with_a_positive_curvature_else_step_rad() -> None:
    def first_step(curvature: float, slope: float) -> float:
        optimizer = Spsa(np.zeros(1), seed=1, step_rad=0.5)
        points = optimizer.ask()
        energies = [slope * float(point[0]) + curvature * float(point[0]) ** 2 / 2.0 for point in points]
        optimizer.tell(points, [Estimate(each, 0.0, 100) for each in energies])
        return abs(float(optimizer.point[0]))

    assert first_step(curvature=2.0, slope=0.1) == pytest.approx(0.05)
    assert first_step(curvature=-2.0, slope=0.1) == pytest.approx(0.5)
    assert first_step(curvature=0.01, slope=0.1) == pytest.approx(0.5)


def test_noise_lengthens_the_window_until_its_cost_is_small() -> None:
    def history(rounds: int, noise: float) -> list[Iterate]:
        return [Iterate(np.zeros(2), -1.0, noise, np.array([0.1, 0.0]), noise, 1.0)] * rounds

    assert forecast(history(4, 1e-6), 1e-3) is None
    sharp, noisy = forecast(history(40, 1e-6), 1e-3), forecast(history(40, 1e-2), 1e-3)
    assert sharp is not None
    assert noisy is not None
    assert sharp.gain == pytest.approx(0.1**2 / 2)
    assert sharp.noise == pytest.approx(2 * 1e-6 / 5 / 2)
    # ten rounds bring 2 · 0.01 / 10 / 2 to a thousandth
    assert noisy.noise == pytest.approx(1e-3)


@pytest.mark.parametrize(("name", "value"), [("seed", -1), ("step_rad", 0.0), ("step_rad", np.inf), ("resamplings", 0)])
@pytest.mark.parametrize("kind", [Spsa, QnSpsa])
def test_invalid_settings_are_refused(kind: type[Spsa] | type[QnSpsa], name: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        kind(np.zeros(2), **{"seed": 1, name: value})
    assert caught.value.field == name


def state_of(ansatz: Ansatz, point: NDArray[np.float64]) -> NDArray[np.complex128]:
    vector: NDArray[np.complex128] = Statevector(ansatz.circuit.assign_parameters(point)).data
    return vector


def test_overlaps_are_those_of_the_states(exact_rounds: RunRound) -> None:
    rng = np.random.default_rng(1)
    ansatz = hardware_efficient(3, rng)
    overlaps, pairs = OverlapMeasurement.of(ansatz), rng.uniform(-3, 3, (4, 2, 6))
    measured, estimates = overlaps.read(exact_rounds(overlaps.pubs(pairs, 10**6)))
    assert np.array_equal(measured, pairs)
    for (one, other), overlap in zip(pairs, estimates, strict=True):
        assert isinstance(overlap, Estimate)
        expected = abs(np.vdot(state_of(ansatz, one), state_of(ansatz, other))) ** 2
        assert overlap.value == pytest.approx(expected, abs=1e-5)
    assert overlaps.pubs(pairs[:0], 100) == []
    assert overlaps.read([])[0].shape == (0, 2, 6)


def fubini_study(ansatz: Ansatz, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Re(⟨∂i|∂j⟩ − ⟨∂i|ψ⟩⟨ψ|∂j⟩), with derivatives by differences."""
    step, axes, here = 1e-5, np.eye(len(point)), state_of(ansatz, point)
    slopes = [(state_of(ansatz, point + step * e) - state_of(ansatz, point - step * e)) / (2 * step) for e in axes]
    rows = [[np.vdot(a, b) - np.vdot(a, here) * np.vdot(here, b) for b in slopes] for a in slopes]
    return np.real(np.array(rows))


def test_the_mean_of_the_samples_is_the_fubini_study_metric() -> None:
    ansatz = hardware_efficient(2, np.random.default_rng(3))
    optimizer = QnSpsa(ansatz.initial_point, seed=2, resamplings=1500)
    pairs = optimizer.ask_overlaps()
    states = {each.tobytes(): state_of(ansatz, each) for each in np.unique(pairs.reshape(-1, 4), axis=0)}
    shares = [abs(np.vdot(*(states[each.tobytes()] for each in pair))) ** 2 for pair in pairs]
    optimizer.tell_overlaps(pairs, [Estimate(float(each), 0.0, 1) for each in shares])
    state: Any = optimizer.state()
    assert state["samples"] == 1500
    metric, expected = np.array(state["metric_sum"]) / 1500, fubini_study(ansatz, ansatz.initial_point)
    # a sample's standard deviation is about the metric's norm, 0.5; shifts of 0.25 rad add a few percent
    assert metric == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(1500) + 0.03)


class FailingOverlaps:
    """Rounds whose overlaps all fail after `lost_from` rounds; records each round's number of overlap circuits."""

    def __init__(self, run_round: RunRound, groups: int, lost_from: float = np.inf) -> None:
        self.run_round, self.groups, self.lost_from = run_round, groups, lost_from
        self.overlap_counts: list[int] = []

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        answers = self.run_round(pubs)
        self.overlap_counts.append(sum(pub.size for pub in pubs[self.groups :]))
        if len(self.overlap_counts) <= self.lost_from:
            return answers
        lost = [MeasuredPub(answer.points, (FailedPoint("gone"),) * len(answer)) for answer in answers[self.groups :]]
        return [*answers[: self.groups], *lost]


def run_vqe(problem: ElectronicProblem, run_round: RunRound, on_lost: MissingPointPolicy = FAIL) -> VqeResult:
    start = np.random.default_rng(1).uniform(-np.pi, np.pi, 4)
    ansatz = hardware_efficient(2, start)
    optimizer = QnSpsa(start, 3, step_rad=1.0, resamplings=2)
    return vqe(problem.hamiltonian, ansatz, optimizer, run_round, on_lost=on_lost)


def test_overlaps_are_measured_in_the_rounds_of_the_search_and_counted(problem_of: Problem) -> None:
    counted = FailingOverlaps(shot_rounds(1), groups=2)
    result = run_vqe(problem_of("H2_0.735"), counted)
    assert result.converged
    assert result.is_precise
    assert abs(result.value - H2) < 4 * result.standard_error + 1.6e-3
    searched = [round_ for round_ in result.history if round_.phase == "search"]
    assert counted.overlap_counts[: len(searched)] == [8] * len(searched)
    assert not any(counted.overlap_counts[len(searched) :])
    assert [each.circuits for each in searched] == [2 * each.points + 8 for each in searched]


def test_failed_overlaps_are_left_out_of_the_metric_or_end_the_search(problem_of: Problem) -> None:
    problem = problem_of("H2_0.735")
    with pytest.raises(JobFailed, match=r"failed \(gone\)"):
        run_vqe(problem, FailingOverlaps(shot_rounds(1), groups=2, lost_from=2))
    skipped, penalized = (
        run_vqe(problem, FailingOverlaps(shot_rounds(1), groups=2, lost_from=2), each)
        for each in (Skip(), Penalize(1.0))
    )
    assert abs(skipped.value - H2) < 4 * skipped.standard_error + 1.6e-3
    assert penalized.parameters == skipped.parameters  # an energy in place of an overlap would have changed the steps


def test_a_penalty_is_refused_for_an_optimizer_that_needs_every_overlap() -> None:
    class Strict(QnSpsa):
        can_skip = False

    check_missing_point_policy(Penalize(1.0), QnSpsa(np.zeros(2), seed=1))
    with pytest.raises(InputError, match="a penalty is an energy") as caught:
        check_missing_point_policy(Penalize(1.0), Strict(np.zeros(2), seed=1))
    assert caught.value.field == "on_lost_job"


def test_vqd_finds_excited_states_with_an_optimizer_that_measures_overlaps(problem_of: Problem) -> None:
    rng = np.random.default_rng(5)
    ansatz = hardware_efficient(2, rng)
    starts = [ansatz.initial_point, rng.uniform(-np.pi, np.pi, 4)]

    def make(ansatz: Ansatz) -> Optimizer:
        return QnSpsa(
            ansatz.initial_point, 7, step_rad=1.0, resamplings=2, termination=Termination(tolerance=2e-3, max_rounds=30)
        )

    result = vqd(problem_of("H2_0.735").hamiltonian, ansatz, starts, make, shot_rounds(2), precision=2e-3)
    assert result.levels[0].final.estimate.value == pytest.approx(H2, abs=0.03)
    assert result.levels[1].final.estimate.value == pytest.approx(-0.5246, abs=0.03)
    assert result.levels[1].is_orthogonal


def test_an_optimizer_without_overlaps_gets_none() -> None:
    optimizer = Spsa(np.zeros(2), seed=1)
    before = json.dumps(optimizer.state())
    tell_overlaps(optimizer, np.zeros((1, 2, 2)), [FailedPoint("gone")], FAIL)
    assert json.dumps(optimizer.state()) == before
