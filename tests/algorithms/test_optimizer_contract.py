"""What every optimizer must do: ask and tell, be taken up anywhere, deal with lost points as it states."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.gradient import ParallelGradient
from hybridloop.algorithms.optimizer import AsksOverlaps, Optimizer
from hybridloop.algorithms.pairs import PairFits
from hybridloop.algorithms.qn_spsa import QnSpsa
from hybridloop.algorithms.rounds import Lost
from hybridloop.algorithms.scipy_search import Method, ScipySearch
from hybridloop.algorithms.spsa import Spsa
from hybridloop.algorithms.trigonometric import Rotosolve
from hybridloop.errors import InputError, JobFailed

Start = NDArray[np.float64]
Make = Callable[[Start], Any]

OPTIMIZERS: dict[str, Make] = {
    "rotosolve": lambda start: Rotosolve(start, ((1,),) * len(start)),
    "pairs": lambda start: PairFits(start, ((1,),) * len(start)),
    "gradient": lambda start: ParallelGradient(start, ((1,),) * len(start)),
    "spsa": partial(Spsa, seed=5),
    "qn-spsa": partial(QnSpsa, seed=5),
    **{method: partial(ScipySearch, method=method) for method in Method if method is not Method.L_BFGS_B},
    "l-bfgs-b": lambda start: ScipySearch(start, Method.L_BFGS_B, frequencies=((1,),) * len(start)),
}
MOST_ROUNDS = 12  # of the many-round searches, these many are looked at


@pytest.fixture(params=OPTIMIZERS)
def make(request: pytest.FixtureRequest) -> Make:
    return OPTIMIZERS[request.param]


def energy(point: NDArray[np.float64]) -> float:
    """A product of waves; the minimum is −3."""
    return float(-np.cos(point - 0.3).sum() + 0.3 * np.sin(point[0] - 0.3) * np.sin(point[-1] - 0.3))


def answers(points: NDArray[np.float64], rng: np.random.Generator, noise: float = 0.02) -> list[Estimate]:
    return [Estimate(energy(each) + noise * rng.normal(), noise**2, 1000) for each in points]


def share(pair: NDArray[np.float64]) -> float:
    """The overlap of two products of single qubits' states, each turned by its angle."""
    return float((np.cos((pair[0] - pair[1]) / 2.0) ** 2).prod())


def tell(optimizer: Any, points: NDArray[np.float64], told: Sequence[Estimate | Lost]) -> None:
    """A round's answers, with the overlaps where they were asked for."""
    if isinstance(optimizer, AsksOverlaps):
        pairs = optimizer.ask_overlaps()
        optimizer.tell_overlaps(pairs, [Estimate(share(each), 0.0, 1000) for each in pairs])
    optimizer.tell(points, told)


def taken_up(optimizer: Optimizer) -> Optimizer:
    """Made again from what would be stored of it."""
    made: Optimizer = type(optimizer).restored(json.loads(json.dumps(optimizer.state())))  # type: ignore[attr-defined]
    return made


def test_what_it_asks_has_the_angles_of_its_start_and_asking_again_changes_nothing(make: Make) -> None:
    optimizer, rng = make(np.array([1.0, -2.0, 0.5])), np.random.default_rng(1)
    assert optimizer.best is None
    assert optimizer.current is None
    for _ in range(MOST_ROUNDS):
        points = optimizer.ask()
        assert points.ndim == 2
        assert points.shape[1] == 3
        assert np.isfinite(points).all()
        assert np.array_equal(points, optimizer.ask())
        if not len(points):
            break
        asked = points.copy()
        tell(optimizer, points, answers(points, rng))
        assert np.array_equal(points, asked)
        assert optimizer.best is not None
        assert optimizer.best.point.shape == (3,)
        assert optimizer.best.standard_error >= 0
    assert (optimizer.stop is not None) == (not len(optimizer.ask()))


def test_taken_up_at_any_round_it_asks_the_same_points_bit_for_bit(make: Make) -> None:
    optimizer, rng = make(np.array([1.0, -2.0, 0.5])), np.random.default_rng(2)
    for _ in range(MOST_ROUNDS):
        twin = taken_up(optimizer)
        points = optimizer.ask()
        assert np.array_equal(points, twin.ask())
        if not len(points):
            break
        told = answers(points, rng)
        tell(optimizer, points, told)
        tell(twin, points, told)
        assert np.array_equal(optimizer.ask(), twin.ask())
        if isinstance(optimizer, AsksOverlaps) and isinstance(twin, AsksOverlaps):
            assert np.array_equal(optimizer.ask_overlaps(), twin.ask_overlaps())
    assert json.dumps(optimizer.state()) == json.dumps(taken_up(optimizer).state())
    twin = taken_up(optimizer)
    assert len(twin.ask()) == len(optimizer.ask())
    assert optimizer.stop == twin.stop


def test_it_finds_a_minimum_without_noise_and_says_so(make: Make) -> None:
    optimizer = make(np.array([0.9, -0.4, 0.5]))
    for _ in range(400):
        points = optimizer.ask()
        if not len(points):
            break
        tell(optimizer, points, [Estimate(energy(each), 0.0, 1000) for each in points])
    assert optimizer.stop is not None
    assert optimizer.stop.converged
    assert optimizer.best is not None
    assert energy(optimizer.best.point) == pytest.approx(-3.0, abs=5e-3)


def test_a_lost_point_is_survived_by_those_that_say_so_and_by_no_others(make: Make) -> None:
    optimizer, rng = make(np.array([1.0, -2.0, 0.5])), np.random.default_rng(3)
    for _ in range(100):
        points = optimizer.ask()
        if not len(points):
            break
        told: list[Estimate | Lost] = [*answers(points, rng)]
        told[-1] = Lost("gone")
        if not optimizer.can_skip:
            with pytest.raises(JobFailed, match="gone"):
                optimizer.tell(points, told)
            return
        tell(optimizer, points, told)
        assert np.array_equal(optimizer.ask(), taken_up(optimizer).ask())
        if len(again := optimizer.ask()):
            tell(optimizer, again, answers(again, rng))
    assert optimizer.best is not None
    assert energy(optimizer.best.point) < -2.9


def test_losing_all_points_for_ever_ends_the_search_with_an_error(make: Make) -> None:
    optimizer = make(np.array([1.0, -2.0, 0.5]))

    def lose_everything() -> None:
        for _ in range(20):
            points = optimizer.ask()
            optimizer.tell(points, [Lost("a bad day")] * len(points))

    with pytest.raises(JobFailed, match="a bad day"):
        lose_everything()
    assert optimizer.best is None


def test_no_angles_are_no_search(make: Make) -> None:
    optimizer = make(np.zeros(0))
    assert optimizer.ask().shape == (0, 0)
    assert optimizer.stop is not None
    assert optimizer.stop.converged


@pytest.mark.parametrize("start", [np.array([np.nan, 0.0]), np.zeros((1, 2)), np.array([np.inf])])
def test_a_start_that_is_no_point_is_refused(make: Make, start: Start) -> None:
    with pytest.raises(InputError) as caught:
        make(start)
    assert caught.value.field == "initial_point"


def test_an_energy_that_does_not_change_is_no_trouble(make: Make) -> None:
    optimizer = make(np.array([1.0, -2.0, 0.5]))
    for _ in range(MOST_ROUNDS):
        points = optimizer.ask()
        if not len(points):
            break
        tell(optimizer, points, [Estimate(-1.0, 0.0, 1000) for _ in points])
    assert optimizer.best is not None
    assert np.isfinite(optimizer.best.point).all()
