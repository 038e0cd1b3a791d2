"""Trigonometric model of noisy energies along one angle, by least squares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Frequencies

VARIANCE_FLOOR = 0.1  # of the mean: a point's variance is an estimate too, and must not dominate the weights
MAX_CONDITION = 1e8  # condition number above which a fit counts as undetermined
GRID = 64  # points per period of the highest frequency in the search for minima


@dataclass(frozen=True, slots=True, eq=False)
class TrigonometricFit:
    """Trigonometric polynomial a_0 + Σ_k a_k cos(Ω_k t) + b_k sin(Ω_k t), t in radians from a centre.

    `coefficients` (2R + 1,) are a_0, a_1, b_1, a_2, …; `covariance` is that of the coefficients.
    """

    frequencies: Frequencies
    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def value(self, offset: float) -> float:
        """Energy at an offset from the centre."""
        return float(_features(self.frequencies, offset) @ self.coefficients)

    def slope(self, offset: float) -> float:
        """Slope at an offset from the centre, in energy per radian."""
        return float(_features(self.frequencies, offset, derivative=1) @ self.coefficients)

    def standard_error(self, offset: float) -> float:
        """Standard error of the energy at an offset from the centre."""
        features = _features(self.frequencies, offset)
        return math.sqrt(max(0.0, float(features @ self.covariance @ features)))

    def minimum(self) -> float:
        """Offset of the global minimum, in one period around the centre.

        Of several local minima within one standard error of the deepest, it is the nearest: noise must not choose among
        mirror images or along a flat line.
        """
        period = 2.0 * math.pi / math.gcd(*self.frequencies)
        grid = np.linspace(-period / 2, period / 2, GRID * max(self.frequencies), endpoint=False)
        values = _features(self.frequencies, grid) @ self.coefficients
        is_low = (values <= np.roll(values, 1)) & (values <= np.roll(values, -1))
        refined = [self._refine(float(start), float(grid[1] - grid[0])) for start in grid[is_low]]
        minima = [math.remainder(t, period) for t in refined]
        deepest = min(minima, key=self.value)
        equal = [t for t in minima if self.value(t) - self.value(deepest) <= self.error_between(t, deepest)]
        return min(equal, key=abs)

    def noise_cost(self, offset: float) -> float:
        """Mean excess energy of a minimum at the offset, due to noise in the slope: var(slope) / (2 curvature)."""
        slope = _features(self.frequencies, offset, derivative=1)
        curvature = float(_features(self.frequencies, offset, derivative=2) @ self.coefficients)
        variance = float(slope @ self.covariance @ slope)
        spread = float(np.abs(self.coefficients[1:]).sum())  # a bound of half the range of the energy
        return min(variance / (2.0 * curvature), spread) if curvature > 0 else spread * (variance > 0)

    def _refine(self, offset: float, spacing: float) -> float:
        """Refine a minimum by Newton's iteration on the slope, within the grid's spacing."""
        refined = offset
        for _ in range(20):
            slope, curvature = (
                float(_features(self.frequencies, refined, derivative=order) @ self.coefficients) for order in (1, 2)
            )
            if curvature <= 0:
                return offset
            step = -slope / curvature
            refined = min(max(refined + step, offset - spacing), offset + spacing)
            if abs(step) < 1e-12:
                break
        return refined if self.value(refined) <= self.value(offset) else offset

    def error_between(self, one: float, other: float) -> float:
        """Standard error of the difference of the energies at two offsets."""
        difference = _features(self.frequencies, one) - _features(self.frequencies, other)
        return math.sqrt(max(0.0, float(difference @ self.covariance @ difference)))


def sample_offsets(frequencies: Frequencies) -> NDArray[np.float64]:
    """Offsets of a fit's points in radians, 2R + 1 or more, equally spaced over the period, the centre first.

    2 Ω_max / gcd + 1 points distinguish all harmonics up to the highest. With gaps among the frequencies these are more
    points than unknowns, which makes the fit more precise.

    >>> [round(float(offset), 4) for offset in sample_offsets((2,))]
    [0.0, 1.0472, 2.0944]
    """
    divisor = math.gcd(*frequencies)
    count = 2 * max(frequencies) // divisor + 1
    return np.arange(count, dtype=np.float64) * (2.0 * math.pi / divisor / count)


def fit_trigonometric(
    frequencies: Frequencies, data: Sequence[tuple[float, float, float]], centre: float
) -> TrigonometricFit | None:
    """Fit a trigonometric polynomial to (angle, energy, variance) rows, weighted by 1 / variance.

    Returns None where the rows do not determine it.
    """
    unknowns = 2 * len(frequencies) + 1
    if len(data) < unknowns:
        return None
    angles, values, variances = np.array(data, float).T
    features = _features(frequencies, angles - centre)
    mean_variance = float(variances.mean())
    weights = 1.0 / np.maximum(variances, VARIANCE_FLOOR * mean_variance) if mean_variance > 0 else np.ones(len(data))
    scaled = features * np.sqrt(weights)[:, None]
    if np.linalg.cond(scaled) > MAX_CONDITION:
        return None
    inverse = np.linalg.pinv(scaled)
    coefficients = inverse @ (values * np.sqrt(weights))
    covariance = inverse @ inverse.T if mean_variance > 0 else np.zeros((unknowns, unknowns))
    return TrigonometricFit(frequencies, coefficients, covariance)


def _features(
    frequencies: Frequencies, offset: float | NDArray[np.float64], *, derivative: int = 0
) -> NDArray[np.float64]:
    """Features 1, cos Ω_1 t, sin Ω_1 t, … along a new last axis, or their derivative of the given order."""
    t = np.asarray(offset, float)
    columns = [np.ones_like(t) if derivative == 0 else np.zeros_like(t)]
    for frequency in frequencies:
        phase = frequency * t + derivative * math.pi / 2
        columns += [frequency**derivative * np.cos(phase), frequency**derivative * np.sin(phase)]
    return np.stack(columns, axis=-1)
