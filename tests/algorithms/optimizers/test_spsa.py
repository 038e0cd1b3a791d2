"""SPSA: reproducible random signs, unbiased slopes with their noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.spsa import Iterate, Spsa, forecast, random_signs, shift_rad
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.errors import InputError

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
    (first,) = optimizer._history
    # the standard error of a component comes from the other slopes: |g| / sqrt(4000) = 0.006
    assert first.slopes == pytest.approx(slopes, abs=0.024)
    assert first.curvature == pytest.approx(3.5 / 3.0)


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
        slopes.append(optimizer._history[0].slopes)
    predicted = optimizer._history[0].slope_variance
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
def test_invalid_settings_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        Spsa(np.zeros(2), **{"seed": 1, name: value})
    assert caught.value.field == name
