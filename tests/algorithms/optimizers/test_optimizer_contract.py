"""Contract of every optimizer: ask and tell, repeat a search by its record, treat failed points as declared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.names import ScipyMethod
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.optimizers.scipy import ScipyOptimizer
from hybridloop.algorithms.optimizers.trust_region import TrustRegion
from hybridloop.algorithms.rounds import FailedPoint
from hybridloop.errors import InputError, JobFailed
from tests.value_helpers import known

Start = NDArray[np.float64]
Make = Callable[[Start], Any]


def _scipy(method: ScipyMethod, start: Start) -> ScipyOptimizer:
    return ScipyOptimizer(start, method, frequencies=((1,),) * len(start))


OPTIMIZERS: dict[str, Make] = {
    "rotosolve": lambda start: Rotosolve(start, ((1,),) * len(start)),
    "trust-region": lambda start: TrustRegion(start, ((1,),) * len(start)),
    "trust-region, unknown frequencies": lambda start: TrustRegion(start, ((),) * len(start)),
    **{method: partial(_scipy, method) for method in ScipyMethod},
}
MAX_ROUNDS = 12  # checked, of searches with many rounds


@pytest.fixture(params=OPTIMIZERS)
def make(request: pytest.FixtureRequest) -> Make:
    return OPTIMIZERS[request.param]


def energy(point: NDArray[np.float64]) -> float:
    """Sum and product of waves; the minimum is −3."""
    return float(-np.cos(point - 0.3).sum() + 0.3 * np.sin(point[0] - 0.3) * np.sin(point[-1] - 0.3))


def noisy_estimates(points: NDArray[np.float64], rng: np.random.Generator, noise: float = 0.02) -> list[Estimate]:
    return [Estimate(energy(point) + noise * rng.normal(), noise**2, 1000) for point in points]


def test_points_have_the_angles_of_the_start_and_asking_twice_gives_the_same_points(make: Make) -> None:
    optimizer, rng = make(np.array([1.0, -2.0, 0.5])), np.random.default_rng(1)
    assert optimizer.best is None
    assert optimizer.best is None
    for _ in range(MAX_ROUNDS):
        points = optimizer.ask()
        assert points.ndim == 2
        assert points.shape[1] == 3
        assert np.isfinite(points).all()
        assert np.array_equal(points, optimizer.ask())
        if not len(points):
            break
        before = points.copy()
        optimizer.tell(points, noisy_estimates(points, rng))
        assert np.array_equal(points, before)
        assert known(optimizer.best).point.shape == (3,)
        assert known(optimizer.best).standard_error >= 0
    assert (optimizer.stop is not None) == (not len(optimizer.ask()))


def test_a_new_optimizer_told_the_recorded_results_asks_for_the_same_points_bit_for_bit(make: Make) -> None:
    start, rng = np.array([1.0, -2.0, 0.5]), np.random.default_rng(2)
    optimizer, twin = make(start), make(start)
    record = []
    for _ in range(MAX_ROUNDS):
        if not len(points := optimizer.ask()):
            break
        record.append((points.copy(), noisy_estimates(points, rng)))
        optimizer.tell(*record[-1])
    for points, estimates in record:
        assert np.array_equal(twin.ask(), points)
        twin.tell(points, estimates)
    assert np.array_equal(twin.ask(), optimizer.ask())
    assert twin.stop == optimizer.stop


def test_without_noise_it_finds_a_minimum_and_converges(make: Make) -> None:
    optimizer = make(np.array([0.9, -0.4, 0.5]))
    for _ in range(400):
        points = optimizer.ask()
        if not len(points):
            break
        optimizer.tell(points, [Estimate(energy(point), 0.0, 1000) for point in points])
    assert known(optimizer.stop).converged
    assert energy(known(optimizer.best).point) == pytest.approx(-3.0, abs=5e-3)


def test_a_failed_point_ends_the_search_unless_the_optimizer_can_skip(make: Make) -> None:
    optimizer, rng = make(np.array([1.0, -2.0, 0.5])), np.random.default_rng(3)
    for _ in range(100):
        points = optimizer.ask()
        if not len(points):
            break
        estimates: list[Estimate | FailedPoint] = [*noisy_estimates(points, rng)]
        estimates[-1] = FailedPoint("gone")
        if not optimizer.can_skip:
            with pytest.raises(JobFailed, match="gone"):
                optimizer.tell(points, estimates)
            return
        optimizer.tell(points, estimates)
        if len(again := optimizer.ask()):
            optimizer.tell(again, noisy_estimates(again, rng))
    assert energy(known(optimizer.best).point) < -2.9


def test_repeated_failures_of_all_points_end_the_search_with_an_error(make: Make) -> None:
    optimizer = make(np.array([1.0, -2.0, 0.5]))

    def fail_every_round() -> None:
        for _ in range(20):
            points = optimizer.ask()
            optimizer.tell(points, [FailedPoint("a bad day")] * len(points))

    with pytest.raises(JobFailed, match="a bad day"):
        fail_every_round()
    assert optimizer.best is None


def test_a_start_without_angles_is_converged(make: Make) -> None:
    optimizer = make(np.zeros(0))
    assert optimizer.ask().shape == (0, 0)
    assert known(optimizer.stop).converged


@pytest.mark.parametrize("start", [np.array([np.nan, 0.0]), np.zeros((1, 2)), np.array([np.inf])])
def test_an_invalid_start_is_refused(make: Make, start: Start) -> None:
    with pytest.raises(InputError) as caught:
        make(start)
    assert caught.value.field == "initial_point"


def test_a_constant_energy_gives_finite_points(make: Make) -> None:
    optimizer = make(np.array([1.0, -2.0, 0.5]))
    for _ in range(MAX_ROUNDS):
        points = optimizer.ask()
        if not len(points):
            break
        optimizer.tell(points, [Estimate(-1.0, 0.0, 1000) for _ in points])
    assert np.isfinite(known(optimizer.best).point).all()
