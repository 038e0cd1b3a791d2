"""Trigonometric fits along one angle: recovery, errors, and the cost of noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridloop.algorithms.optimizers.trigonometric_model import fit_trigonometric, sample_offsets
from tests.long_form import long_form, short_or_long
from tests.value_helpers import known

FREQUENCIES = st.sampled_from([(1,), (2,), (1, 2), (1, 2, 3), (2, 4), (1, 3)])


def wave(frequencies: tuple[int, ...], coefficients: list[float], angle: float) -> float:
    """The polynomial, summed by hand."""
    total = coefficients[0]
    for place, frequency in enumerate(frequencies):
        total += coefficients[2 * place + 1] * np.cos(frequency * angle)
        total += coefficients[2 * place + 2] * np.sin(frequency * angle)
    return float(total)


@long_form
@settings(max_examples=short_or_long(30, 200))
@given(FREQUENCIES, st.integers(0, 2**32), st.floats(-7, 7))
def test_the_fit_recovers_the_energy_and_finds_its_global_minimum(
    frequencies: tuple[int, ...], seed: int, centre: float
) -> None:
    coefficients = np.random.default_rng(seed).normal(size=2 * len(frequencies) + 1).tolist()
    angles = centre + sample_offsets(frequencies)
    rows = [(float(angle), wave(frequencies, coefficients, angle), 1e-6) for angle in angles]
    model = known(fit_trigonometric(frequencies, rows, centre))
    assert model.value(0.7) == pytest.approx(wave(frequencies, coefficients, centre + 0.7), abs=1e-9)
    offset = model.minimum()
    least = min(wave(frequencies, coefficients, angle) for angle in np.linspace(0, 2 * np.pi, 2001))
    # several minima within their standard error (about 1e-3) count as equal
    assert wave(frequencies, coefficients, centre + offset) <= least + 5e-3
    assert abs(offset) <= np.pi + 1e-9


@given(FREQUENCIES)
def test_equal_spacing_gives_equal_errors_everywhere(frequencies: tuple[int, ...]) -> None:
    rows = [(float(angle), 0.0, 1.0) for angle in sample_offsets(frequencies)]
    model = known(fit_trigonometric(frequencies, rows, 0.0))
    errors = [model.standard_error(offset) for offset in np.linspace(-3, 3, 13)]
    assert errors == pytest.approx([errors[0]] * 13)


def test_the_noise_cost_is_the_mean_excess_energy() -> None:
    # E(t) = −cos 2t, 3 points of variance 1e-3 each: the minimum found from noisy data lies above −1 by this much
    rng = np.random.default_rng(1)
    angles = sample_offsets((2,)) + 0.3
    losses, predicted = [], []
    for _ in range(2000):
        rows = [(float(t), float(-np.cos(2 * t) + rng.normal(0, 1e-3**0.5)), 1e-3) for t in angles]
        model = known(fit_trigonometric((2,), rows, 0.3))
        offset = model.minimum()
        losses.append(1 - np.cos(2 * (0.3 + offset)))
        predicted.append(model.noise_cost(offset))
    # a mean of 2000 chi-square-like losses is known to √(2 / 2000) = 3 %; five times that
    assert np.mean(losses) == pytest.approx(np.mean(predicted), rel=0.15)


def test_noise_does_not_choose_among_mirror_images() -> None:
    # cos 2t has equal minima at ±π/2; seen from 1.2 the nearer is +π/2
    rows = [
        (float(t), float(np.cos(2 * t)) + tiny, 1e-4)
        for t, tiny in zip(np.arange(5) * 1.2566, (0, 1e-3, 0, -1e-3, 0), strict=True)
    ]
    model = known(fit_trigonometric((1, 2), rows, 1.2))
    assert model.minimum() == pytest.approx(np.pi / 2 - 1.2, abs=0.05)


def test_too_few_or_coinciding_points_give_no_fit() -> None:
    assert fit_trigonometric((1,), [(0.0, 1.0, 1.0), (1.0, 1.0, 1.0)], 0.0) is None
    assert fit_trigonometric((1,), [(0.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 1.1, 1.0)], 0.0) is None
