"""Quadratic fits of the gradient optimizer: model and standard errors against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.gradient import ParallelGradient, fit_quadratic

FREQUENCIES = ((1,), (1,))
AMPLITUDES = np.array([0.8, 0.5])  # curvatures of E = −Σ a cos(θ − 0.1) near its minimum
SHIFT = 0.2  # rad: small, so that the weights are 1 / variance to 3e-4
POINTS = SHIFT * np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
VARIANCES = np.array([1e-4, 2e-4, 3e-4, 5e-4, 4e-4])


def energies(points: np.ndarray) -> np.ndarray:
    values: np.ndarray = -(AMPLITUDES * np.cos(points - 0.1)).sum(axis=1)
    return values


def rows(variances: np.ndarray) -> list[tuple[np.ndarray, float, float]]:
    return [
        (point, float(value), float(variance))
        for point, value, variance in zip(POINTS, energies(POINTS), variances, strict=True)
    ]


def test_the_fit_of_one_round_has_the_exact_slopes_and_curvatures() -> None:
    model = fit_quadratic(FREQUENCIES, rows(VARIANCES), np.zeros(2))
    assert model is not None
    assert model.value == pytest.approx(float(energies(np.zeros((1, 2)))[0]), abs=1e-9)
    assert model.slopes == pytest.approx(-AMPLITUDES * np.sin(0.1), abs=1e-9)
    assert np.diag(model.curvatures) == pytest.approx(AMPLITUDES * np.cos(0.1), abs=1e-9)


def test_the_standard_errors_are_those_of_the_points() -> None:
    """Five points determine five unknowns: the value is the centre's, a slope (E₊ − E₋) / (2 sin SHIFT)."""
    model = fit_quadratic(FREQUENCIES, rows(VARIANCES), np.zeros(2))
    assert model is not None
    slope_variances = np.array([2e-4 + 3e-4, 5e-4 + 4e-4]) / (2.0 * np.sin(SHIFT)) ** 2
    assert model.standard_error == pytest.approx(1e-2, rel=1e-3)
    assert model.covariance == pytest.approx(np.diag(slope_variances), rel=1e-3, abs=1e-9)
    curvatures = AMPLITUDES * np.cos(0.1)
    assert model.noise_cost() == pytest.approx(float((slope_variances / (2.0 * curvatures)).sum()), rel=1e-3)


def test_the_standard_errors_fall_with_the_square_root_of_the_rounds() -> None:
    one, four = (fit_quadratic(FREQUENCIES, count * rows(VARIANCES), np.zeros(2)) for count in (1, 4))
    assert one is not None
    assert four is not None
    assert four.standard_error == pytest.approx(one.standard_error / 2.0)
    assert four.covariance == pytest.approx(one.covariance / 4.0)


def test_without_shot_noise_the_standard_errors_are_zero() -> None:
    model = fit_quadratic(FREQUENCIES, rows(np.zeros(5)), np.zeros(2))
    assert model is not None
    assert model.standard_error == 0.0
    assert not model.covariance.any()
    assert model.noise_cost() == 0.0


def test_the_optimizer_reports_the_standard_error_of_its_fit() -> None:
    optimizer = ParallelGradient(np.zeros(2), FREQUENCIES)
    points = optimizer.ask()
    estimates = [
        Estimate(float(value), float(variance), 1000)
        for value, variance in zip(energies(points), VARIANCES, strict=True)
    ]
    optimizer.tell(points, estimates)
    assert optimizer.current is not None
    assert optimizer.current.standard_error == pytest.approx(1e-2)
