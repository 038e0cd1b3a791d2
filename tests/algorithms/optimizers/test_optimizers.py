"""Rotosolve and COBYLA behind ask and tell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import MAX_REPEATS, Optimizer
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.optimizers.scipy import ScipyOptimizer
from hybridloop.algorithms.rounds import FailedPoint
from hybridloop.errors import InputError, JobFailed
from tests.long_form import long_form, short_or_long
from tests.value_helpers import known

Energy = Callable[[NDArray[np.float64]], float]


def bowl(point: NDArray[np.float64]) -> float:
    """A trigonometric energy with frequency 1 in each angle, coupled; the minimum is below −2."""
    return float(-np.cos(point[0] - 0.4) - np.cos(point[1] + 0.9) + 0.4 * np.sin(point[0]) * np.sin(point[1]))


def bowl_minimum() -> float:
    starts = np.random.default_rng(0).uniform(-np.pi, np.pi, (20, 2))
    return min(float(minimize(bowl, start).fun) for start in starts)


def run(optimizer: Optimizer, energy: Energy, *, noise: float = 0.0, seed: int = 0, rounds: int = 1000) -> int:
    """Run rounds until the optimizer stops; return their number."""
    rng = np.random.default_rng(seed)
    for count in range(rounds):
        points = optimizer.ask()
        if not len(points):
            return count
        optimizer.tell(points, [Estimate(energy(p) + noise * rng.normal(), noise**2, 1000) for p in points])
    return rounds


def test_one_angle_takes_one_round_without_noise() -> None:
    optimizer = Rotosolve(np.array([2.0]), ((1, 2),))
    assert run(optimizer, lambda p: float(np.cos(p[0]) + 0.5 * np.sin(2 * p[0]))) == 1
    least = min(np.cos(t) + 0.5 * np.sin(2 * t) for t in np.linspace(0, 2 * np.pi, 10001))
    assert known(optimizer.best).value == pytest.approx(least, abs=1e-6)
    assert known(optimizer.stop).converged


def test_one_angle_is_measured_again_until_noise_costs_less_than_the_tolerance() -> None:
    # 3 points of σ = 0.1 on −cos t: slope variance 2σ²/3, cost 3.3 mHa after a round; 1 mHa takes 4 rounds or so
    optimizer = Rotosolve(np.array([1.0]), ((1,),), tolerance=1e-3)
    assert 3 <= run(optimizer, lambda p: float(-np.cos(p[0])), noise=0.1) <= 6


def test_rotosolve_finds_the_minimum_of_coupled_angles() -> None:
    optimizer = Rotosolve(np.array([2.0, 2.0]), ((1,), (1,)), tolerance=1e-9)
    run(optimizer, bowl)
    assert optimizer.best is not None
    assert optimizer.best.value == pytest.approx(bowl_minimum(), abs=1e-6)
    assert optimizer.best.value == pytest.approx(bowl(optimizer.best.point), abs=1e-9)


@long_form
def test_noise_does_not_prolong_the_search() -> None:
    rounds, losses = [], []
    for seed in range(short_or_long(20, 40)):
        optimizer = Rotosolve(np.array([2.0, 2.0]), ((1,), (1,)))
        rounds.append(run(optimizer, bowl, noise=0.01, seed=seed))
        assert known(optimizer.stop).converged
        losses.append(bowl(known(optimizer.best).point) - bowl_minimum())
    assert max(rounds) <= 16
    assert np.quantile(losses, 0.95) < 2e-3


def test_the_limit_of_sweeps_is_not_convergence() -> None:
    optimizer = Rotosolve(np.array([2.0, 2.0]), ((1,), (1,)), tolerance=1e-15, max_sweeps=2)
    assert run(optimizer, bowl) == 4
    assert not known(optimizer.stop).converged


def test_a_failed_point_is_left_out_if_the_others_determine_the_fit() -> None:
    optimizer = Rotosolve(np.array([1.0]), ((1, 3),))  # seven points for five unknowns
    points = optimizer.ask()
    energies = [float(np.cos(t) + np.cos(3 * t)) for (t,) in points]
    optimizer.tell(points, [FailedPoint("gone"), *(Estimate(energy, 0.0, 1000) for energy in energies[1:])])
    assert known(optimizer.best).value == pytest.approx(-2.0)


def test_only_failed_points_that_a_fit_needs_are_repeated() -> None:
    whole, failing = Rotosolve(np.array([1.0, 1.0]), ((1,), (1,))), Rotosolve(np.array([1.0, 1.0]), ((1,), (1,)))
    points = failing.ask()
    answers: list[Estimate | FailedPoint] = [Estimate(bowl(point), 0.0, 1000) for point in points]
    whole.tell(whole.ask(), answers)
    failing.tell(points, [answers[0], FailedPoint("gone"), FailedPoint("gone")])
    again = failing.ask()
    assert np.array_equal(again, points[1:])
    assert failing.best is None
    failing.tell(again, [FailedPoint("gone"), answers[2]])
    assert np.array_equal(failing.ask(), points[1:2])
    failing.tell(failing.ask(), [answers[1]])
    assert np.allclose(failing.ask(), whole.ask(), atol=1e-9)


def test_points_that_fail_repeatedly_end_the_search() -> None:
    optimizer = Rotosolve(np.array([1.0]), ((1,),))
    for _ in range(MAX_REPEATS):
        optimizer.tell(optimizer.ask(), [FailedPoint("a bad day")] * len(optimizer.ask()))
    points = optimizer.ask()
    with pytest.raises(JobFailed, match=r"3 point\(s\) of a round failed \(a bad day\)"):
        optimizer.tell(points, [FailedPoint("a bad day")] * 3)


def test_cobyla_asks_for_the_points_of_scipy() -> None:
    visited: list[NDArray[np.float64]] = []

    def recorded(point: NDArray[np.float64]) -> float:
        visited.append(point.copy())
        return bowl(point)

    outcome = minimize(recorded, np.array([1.0, 1.0]), method="COBYLA", tol=0.02, options={"rhobeg": 0.3})
    optimizer = ScipyOptimizer(np.array([1.0, 1.0]))
    points_asked = []
    while len(points := optimizer.ask()):
        points_asked.append(points[0])
        optimizer.tell(points, [Estimate(bowl(points[0]), 0.0, 1)])
    assert np.array_equal(points_asked, visited)
    assert known(optimizer.best).value == pytest.approx(float(outcome.fun))
    assert known(optimizer.stop).converged


def test_the_limit_of_evaluations_is_not_convergence() -> None:
    optimizer = ScipyOptimizer(np.array([1.0, 1.0]), max_evaluations=6)
    assert run(optimizer, bowl) == 6
    assert not known(optimizer.stop).converged


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Rotosolve(np.zeros(1), ()), "frequencies"),
        (lambda: Rotosolve(np.zeros(1), ((),)), "optimizer"),  # unknown ones
        (lambda: Rotosolve(np.zeros(1), ((0,),)), "frequencies"),
        (lambda: Rotosolve(np.zeros(1), ((1, 1),)), "frequencies"),
        (lambda: Rotosolve(np.zeros(1), ((1.5,),)), "frequencies"),  # type: ignore[arg-type]
        (lambda: Rotosolve(np.zeros(1), ((1,),), tolerance=0.0), "tolerance"),
        (lambda: Rotosolve(np.zeros(1), ((1,),), max_sweeps=0), "max_sweeps"),
        (lambda: ScipyOptimizer(np.zeros(1), step_rad=-1.0), "step_rad"),
        (lambda: ScipyOptimizer(np.zeros(1), tolerance_rad=float("nan")), "tolerance_rad"),
        (lambda: ScipyOptimizer(np.zeros(1), step_rad=0.1, tolerance_rad=0.2), "tolerance_rad"),
        (lambda: ScipyOptimizer(np.zeros(1), max_evaluations=2), "max_evaluations"),
    ],
)
def test_invalid_settings_are_refused(make: Callable[[], Optimizer], field: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert caught.value.field == field
