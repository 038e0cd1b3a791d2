"""Searches behind ask and tell."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.optimizer import MOST_REPEATS, Optimizer
from hybridloop.algorithms.rounds import Lost
from hybridloop.algorithms.scipy_search import ScipySearch
from hybridloop.algorithms.trigonometric import Rotosolve
from hybridloop.errors import InputError, JobFailed, ReplayDiverged
from tests.long_form import long_form, short_or_long

Energy = Callable[[NDArray[np.float64]], float]


def bowl(point: NDArray[np.float64]) -> float:
    """A trigonometric energy with frequency 1 in each angle, coupled; the minimum is below −2."""
    return float(-np.cos(point[0] - 0.4) - np.cos(point[1] + 0.9) + 0.4 * np.sin(point[0]) * np.sin(point[1]))


def bowl_minimum() -> float:
    starts = np.random.default_rng(0).uniform(-np.pi, np.pi, (20, 2))
    return min(float(minimize(bowl, start).fun) for start in starts)


def run(optimizer: Optimizer, energy: Energy, *, noise: float = 0.0, seed: int = 0, rounds: int = 1000) -> int:
    """Play rounds until the optimizer is done; returns how many."""
    rng = np.random.default_rng(seed)
    for played in range(rounds):
        points = optimizer.ask()
        if not len(points):
            return played
        optimizer.tell(points, [Estimate(energy(p) + noise * rng.normal(), noise**2, 1000) for p in points])
    return rounds


def test_one_angle_takes_one_round_without_noise() -> None:
    optimizer = Rotosolve(np.array([2.0]), ((1, 2),))
    assert run(optimizer, lambda p: float(np.cos(p[0]) + 0.5 * np.sin(2 * p[0]))) == 1
    least = min(np.cos(t) + 0.5 * np.sin(2 * t) for t in np.linspace(0, 2 * np.pi, 10001))
    assert optimizer.best is not None
    assert optimizer.best.value == pytest.approx(least, abs=1e-6)
    assert optimizer.stop is not None
    assert optimizer.stop.converged


def test_one_angle_is_measured_again_until_noise_costs_less_than_the_tolerance() -> None:
    # 3 points of σ = 0.1 on −cos t: slope variance 2σ²/3, cost 3.3 mHa after a round; 1 mHa takes 4 rounds or so
    optimizer = Rotosolve(np.array([1.0]), ((1,),), tolerance=1e-3)
    assert 3 <= run(optimizer, lambda p: float(-np.cos(p[0])), noise=0.1) <= 6


def test_coordinates_in_turn_find_the_minimum() -> None:
    optimizer = Rotosolve(np.array([2.0, 2.0]), ((1,), (1,)), tolerance=1e-9)
    run(optimizer, bowl)
    assert optimizer.best is not None
    assert optimizer.best.value == pytest.approx(bowl_minimum(), abs=1e-6)
    assert optimizer.best.value == pytest.approx(bowl(optimizer.best.point), abs=1e-9)


@long_form
def test_noise_ends_the_search_instead_of_feeding_it() -> None:
    rounds, losses = [], []
    for seed in range(short_or_long(20, 40)):
        optimizer = Rotosolve(np.array([2.0, 2.0]), ((1,), (1,)))
        rounds.append(run(optimizer, bowl, noise=0.01, seed=seed))
        assert optimizer.stop is not None
        assert optimizer.stop.converged
        assert optimizer.best is not None
        losses.append(bowl(optimizer.best.point) - bowl_minimum())
    assert max(rounds) <= 16
    assert np.quantile(losses, 0.95) < 2e-3


def test_sweeps_have_a_limit_that_is_no_convergence() -> None:
    optimizer = Rotosolve(np.array([2.0, 2.0]), ((1,), (1,)), tolerance=1e-15, max_sweeps=2)
    assert run(optimizer, bowl) == 4
    assert optimizer.stop is not None
    assert not optimizer.stop.converged


def test_a_lost_point_is_left_out_where_the_rest_determine_the_fit() -> None:
    optimizer = Rotosolve(np.array([1.0]), ((1, 3),))  # seven points for five unknowns
    points = optimizer.ask()
    energies = [float(np.cos(t) + np.cos(3 * t)) for (t,) in points]
    optimizer.tell(points, [Lost("gone"), *(Estimate(energy, 0.0, 1000) for energy in energies[1:])])
    assert optimizer.best is not None
    assert optimizer.best.value == pytest.approx(-2.0)


def test_lost_points_that_a_fit_needs_are_asked_for_again_and_no_others() -> None:
    whole, lossy = Rotosolve(np.array([1.0, 1.0]), ((1,), (1,))), Rotosolve(np.array([1.0, 1.0]), ((1,), (1,)))
    points = lossy.ask()
    answers: list[Estimate | Lost] = [Estimate(bowl(point), 0.0, 1000) for point in points]
    whole.tell(whole.ask(), answers)
    lossy.tell(points, [answers[0], Lost("gone"), Lost("gone")])
    again = lossy.ask()
    assert np.array_equal(again, points[1:])
    assert lossy.best is None
    lossy.tell(again, [Lost("gone"), answers[2]])
    lossy = Rotosolve.restored(json.loads(json.dumps(lossy.state())))
    assert np.array_equal(lossy.ask(), points[1:2])
    lossy.tell(lossy.ask(), [answers[1]])
    assert np.allclose(lossy.ask(), whole.ask(), atol=1e-9)


def test_points_that_are_lost_again_and_again_end_the_search() -> None:
    optimizer = Rotosolve(np.array([1.0]), ((1,),))
    for _ in range(MOST_REPEATS):
        optimizer.tell(optimizer.ask(), [Lost("a bad day")] * len(optimizer.ask()))
    points = optimizer.ask()
    with pytest.raises(JobFailed, match=r"3 point\(s\) of a round were lost \(a bad day\)"):
        optimizer.tell(points, [Lost("a bad day")] * 3)


def test_cobyla_needs_every_point() -> None:
    optimizer = ScipySearch(np.array([1.0]))
    with pytest.raises(JobFailed, match="the device caught fire"):
        optimizer.tell(optimizer.ask(), [Lost("the device caught fire")])
    assert not ScipySearch.can_skip


def test_cobyla_asks_what_scipy_asks() -> None:
    visited: list[NDArray[np.float64]] = []

    def watched(point: NDArray[np.float64]) -> float:
        visited.append(point.copy())
        return bowl(point)

    outcome = minimize(watched, np.array([1.0, 1.0]), method="COBYLA", tol=0.02, options={"rhobeg": 0.3})
    optimizer = ScipySearch(np.array([1.0, 1.0]))
    asked = []
    while len(points := optimizer.ask()):
        asked.append(points[0])
        optimizer.tell(points, [Estimate(bowl(points[0]), 0.0, 1)])
    assert np.array_equal(asked, visited)
    assert optimizer.best is not None
    assert optimizer.best.value == pytest.approx(float(outcome.fun))
    assert optimizer.stop is not None
    assert optimizer.stop.converged


def test_cobyla_says_when_it_ran_out_of_evaluations() -> None:
    optimizer = ScipySearch(np.array([1.0, 1.0]), max_evaluations=6)
    assert run(optimizer, bowl) == 6
    assert optimizer.stop is not None
    assert not optimizer.stop.converged


def test_cobyla_refuses_to_go_on_from_a_record_that_is_not_its_own() -> None:
    optimizer = ScipySearch(np.array([1.0, 1.0]))
    points = optimizer.ask()
    optimizer.tell(points + 1e-6, [Estimate(0.0, 0.0, 1)])
    with pytest.raises(ReplayDiverged, match="evaluation 0"):
        optimizer.ask()


@settings(max_examples=20)
@given(st.integers(0, 30), st.integers(0, 2**32), st.booleans())
def test_a_restored_search_goes_on_as_if_never_interrupted(stop_after: int, seed: int, trigonometric: bool) -> None:  # noqa: FBT001 (drawn)
    start = np.array([1.0, -2.0])
    optimizer: Optimizer = Rotosolve(start, ((1,), (1,))) if trigonometric else ScipySearch(start)
    run(optimizer, bowl, noise=0.05, seed=seed, rounds=stop_after)
    state = json.loads(json.dumps(optimizer.state()))
    twin: Optimizer = Rotosolve.restored(state) if trigonometric else ScipySearch.restored(state)
    for one in (optimizer, twin):
        run(one, bowl, noise=0.05, seed=seed + 1)
    assert json.dumps(optimizer.state()) == json.dumps(twin.state())
    assert optimizer.stop == twin.stop
    assert optimizer.best is not None
    assert twin.best is not None
    assert np.array_equal(optimizer.best.point, twin.best.point)


@pytest.mark.parametrize("make", [lambda: Rotosolve(np.zeros(2), ((1,), (1, 2))), lambda: ScipySearch(np.zeros(2))])
def test_asking_twice_gives_the_same_points(make: Callable[[], Optimizer]) -> None:
    optimizer = make()
    assert optimizer.best is None
    assert optimizer.current is None
    assert np.array_equal(optimizer.ask(), optimizer.ask())


@pytest.mark.parametrize("make", [lambda: Rotosolve(np.zeros(0), ()), lambda: ScipySearch(np.zeros(0))])
def test_no_angles_is_no_search(make: Callable[[], Optimizer]) -> None:
    optimizer = make()
    assert optimizer.ask().shape == (0, 0)
    assert optimizer.stop is not None
    assert optimizer.stop.converged


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Rotosolve(np.array([np.nan]), ((1,),)), "initial_point"),
        (lambda: Rotosolve(np.zeros((1, 1)), ((1,),)), "initial_point"),
        (lambda: Rotosolve(np.zeros(1), ()), "frequencies"),
        (lambda: Rotosolve(np.zeros(1), ((),)), "frequencies"),
        (lambda: Rotosolve(np.zeros(1), ((0,),)), "frequencies"),
        (lambda: Rotosolve(np.zeros(1), ((1, 1),)), "frequencies"),
        (lambda: Rotosolve(np.zeros(1), ((1.5,),)), "frequencies"),  # type: ignore[arg-type]
        (lambda: Rotosolve(np.zeros(1), ((1,),), tolerance=0.0), "tolerance"),
        (lambda: Rotosolve(np.zeros(1), ((1,),), max_sweeps=0), "max_sweeps"),
        (lambda: ScipySearch(np.zeros(1), step_rad=-1.0), "step_rad"),
        (lambda: ScipySearch(np.zeros(1), tolerance_rad=float("nan")), "tolerance_rad"),
        (lambda: ScipySearch(np.zeros(1), step_rad=0.1, tolerance_rad=0.2), "tolerance_rad"),
        (lambda: ScipySearch(np.zeros(1), max_evaluations=2), "max_evaluations"),
        (lambda: ScipySearch(np.array([np.inf])), "initial_point"),
    ],
)
def test_settings_that_make_no_search_are_refused(make: Callable[[], Optimizer], field: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert caught.value.field == field
