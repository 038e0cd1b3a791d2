"""Local quadratic models of a noisy energy, fitted to the rounds of a search by ridge regression.

Points are in phases: an angle times its unit, so that curvatures and shifts are comparable among angles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Frequencies
from hybridloop.algorithms.optimizers.trigonometric_model import VARIANCE_FLOOR

EFFECTIVE_FREQUENCY = 2  # of an angle that several rotations share: few of them act on the same term
NEAR = 1.3  # phase beyond which an energy counts less: the model is of second order
CROSS_CURVATURE = 0.1  # expected curvature between two angles, relative to the mean one along an angle
CROSS_SLOPE_CURVATURE = 0.3  # the same, where slopes are fitted
UNKNOWN = 100.0  # a slope or a curvature along an angle, relative to the same, before anything is measured
SLOPE_MODEL_ERROR = 2.0  # error of a slope at a phase u away, relative to the mean curvature times u²
MAX_PAIRED_ANGLES = 60  # above, curvatures between angles would be too many unknowns
MAX_ROUNDS = 40  # the newest that are fitted
MIN_CURVATURE = 1e-9

Array = NDArray[np.float64]


def phase_units(frequencies: Sequence[Frequencies], scales: Array | None = None) -> Array:
    """Return the phase per radian (n,) of each angle: its effective frequency, or 1 / scale where it has none."""
    scale = np.ones(len(frequencies)) if scales is None else scales
    return np.array(
        [
            (numbers[0] if len(numbers) == 1 else min(max(numbers), EFFECTIVE_FREQUENCY)) if numbers else 1.0 / length
            for numbers, length in zip(frequencies, scale, strict=True)
        ],
        float,
    )


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredRound:
    """Energies of a round: at its centre (n,), and at a shift up and down along each angle, as phases (n,).

    `energies` and `variances` (2n + 1,) are the centre's, then up and down for each angle; missing ones are NaN.
    """

    centre: Array
    shifts: Array
    energies: Array
    variances: Array

    @property
    def value(self) -> float:
        return float(self.energies[0])

    @property
    def variance(self) -> float:
        return float(self.variances[0])


@dataclass(frozen=True, slots=True, eq=False)
class LocalModel:
    """Quadratic model at a centre: its energy with the variance, slopes (n,) and curvatures (n, n), per phase.

    `covariance` is that of the coefficients: slopes, curvatures along angles, curvatures between angles.
    """

    value: float
    variance: float
    slopes: Array
    curvatures: Array
    covariance: Array

    @property
    def mean_curvature(self) -> float:
        """Mean size of the curvatures along angles."""
        return max(float(np.abs(np.diag(self.curvatures)).mean()), MIN_CURVATURE)

    def along(self, axes: Array) -> tuple[Array, Array, Array]:
        """Return slopes, their variances, and the standard errors of curvatures along the columns of `axes`."""
        count = len(self.slopes)
        upper = _pairs(count)
        quadratic = np.zeros((axes.shape[1], len(self.covariance)))
        quadratic[:, count : 2 * count] = axes.T**2
        quadratic[:, 2 * count :] = (2.0 * axes[upper[0]] * axes[upper[1]]).T
        variances = np.einsum("ik,ij,jk->k", axes, self.covariance[:count, :count], axes)
        errors = np.einsum("ku,uv,kv->k", quadratic, self.covariance, quadratic)
        return axes.T @ self.slopes, variances, np.sqrt(np.maximum(errors, 0.0))


def fit_energies(
    rounds: Sequence[MeasuredRound], centre: Array, frequencies: Sequence[Frequencies]
) -> LocalModel | None:
    """Fit the energies of all rounds; None where they do not determine all slopes and curvatures along angles.

    For an angle with known frequencies, sin φ and 1 − cos φ replace φ and φ²/2: the energy's own form for one
    frequency, and the nearest form for several. Curvatures between angles are not measured directly: they come from the
    points of several rounds, by ridge regression towards zero (A. E. Hoerl and R. W. Kennard, Technometrics 12 (1970)
    55).
    """
    count, upper = len(centre), _pairs(len(centre))
    points, values, variances = _stacked(rounds[-MAX_ROUNDS:])
    if len(values) < 2 * count + 1:
        return None
    offsets = points - centre
    is_wave = np.array([bool(numbers) for numbers in frequencies], bool)
    linear = np.where(is_wave, np.sin(offsets), offsets)
    square = np.where(is_wave, 1.0 - np.cos(offsets), offsets**2 / 2.0)
    mean = float(variances.mean())
    # energies without noise count as known to 1e-6: below that, third orders dominate
    floored = np.maximum(variances, VARIANCE_FLOOR * mean) if mean > 0.0 else np.full(len(values), 1e-12)
    root = 1.0 / np.sqrt(floored * (1.0 + (np.abs(offsets).max(axis=1) / NEAR) ** 6))
    separable = np.hstack([np.ones((len(values), 1)), linear, square]) * root[:, None]
    first, _, rank, _ = np.linalg.lstsq(separable, values * root, rcond=1e-8)
    if rank < 2 * count + 1:
        return None
    curvature = max(float(np.abs(first[1 + count :]).mean()), MIN_CURVATURE)
    rows = np.hstack([separable, linear[:, upper[0]] * linear[:, upper[1]] * root[:, None]])
    ridge = np.zeros(rows.shape[1])
    ridge[2 * count + 1 :] = (CROSS_CURVATURE * curvature) ** -2
    inverse = np.linalg.inv(rows.T @ rows + np.diag(ridge))
    coefficients = inverse @ (rows.T @ (values * root))
    covariance = inverse[1:, 1:] if mean > 0.0 else np.zeros_like(inverse[1:, 1:])
    return _model(float(coefficients[0]), float(inverse[0, 0]) * (mean > 0.0), coefficients[1:], covariance, count)


def fit_slopes(
    rounds: Sequence[MeasuredRound], centre: MeasuredRound, frequencies: Sequence[Frequencies]
) -> LocalModel:
    """Fit the slopes and the curvatures along angles of all rounds, linear in the distance from the centre.

    A round counts less the further away it is, by the expected error of a linear model. On a plateau, where curvatures
    are small against third orders, energies of several rounds would be taken for curvature.
    """
    count, upper = len(centre.centre), _pairs(len(centre.centre))
    measured = [_derivatives(each, frequencies) for each in rounds[-MAX_ROUNDS:]]
    mean = max(float(np.mean([np.abs(curvatures).mean() for _, _, curvatures, _ in measured])), MIN_CURVATURE)
    size, diagonal, pairs = 2 * count + len(upper[0]), np.arange(count), 2 * count + np.arange(len(upper[0]))
    normal, right = np.zeros((size, size)), np.zeros(size)
    normal[pairs, pairs] = (CROSS_SLOPE_CURVATURE * mean) ** -2
    normal[np.arange(2 * count), np.arange(2 * count)] = (UNKNOWN * mean) ** -2  # an angle may lack its points
    for each, (slopes, slope_variances, curvatures, curvature_variances) in zip(
        rounds[-MAX_ROUNDS:], measured, strict=True
    ):
        offset = each.centre - centre.centre
        distance = float(offset @ offset) / max(1.0, math.sqrt(count) / 2.0)  # squared
        rows = np.zeros((count, size))
        rows[diagonal, diagonal], rows[diagonal, count + diagonal] = 1.0, offset
        rows[upper[0], pairs], rows[upper[1], pairs] = offset[upper[1]], offset[upper[0]]
        weights = 1.0 / (slope_variances + (SLOPE_MODEL_ERROR * mean * distance) ** 2 + 1e-12)
        normal += rows.T @ (rows * weights[:, None])
        right += rows.T @ (weights * slopes)
        weights = 1.0 / (curvature_variances + (2.0 * SLOPE_MODEL_ERROR * mean) ** 2 * distance + 1e-12)
        normal[count + diagonal, count + diagonal] += weights
        right[count + diagonal] += weights * curvatures
    covariance: Array = np.array(np.linalg.inv(normal), float)
    return _model(centre.value, centre.variance, covariance @ right, covariance, count)


def _derivatives(measured: MeasuredRound, frequencies: Sequence[Frequencies]) -> tuple[Array, Array, Array, Array]:
    """Return slopes and curvatures along the angles of one round, each (n,) and followed by its variances.

    They are exact for an angle of one frequency: the parameter-shift rule (K. Mitarai et al., Phys. Rev. A 98 (2018)
    032309). Those of an angle with a missing point are 0, with an infinite variance.
    """
    up, down, centre = measured.energies[1::2], measured.energies[2::2], measured.value
    is_wave = np.array([bool(numbers) for numbers in frequencies], bool)
    width = 2.0 * np.where(is_wave, np.sin(measured.shifts), measured.shifts)
    square = np.where(is_wave, 2.0 * (1.0 - np.cos(measured.shifts)), measured.shifts**2)
    both = measured.variances[1::2] + measured.variances[2::2]
    is_known = np.isfinite(up + down)
    return (
        np.where(is_known, (up - down) / width, 0.0),
        np.where(is_known, both / width**2, np.inf),
        np.where(is_known, (up + down - 2.0 * centre) / square, 0.0),
        np.where(is_known, (both + 4.0 * measured.variance) / square**2, np.inf),
    )


def _stacked(rounds: Sequence[MeasuredRound]) -> tuple[Array, Array, Array]:
    """Return the points (k, n), energies and variances (k,) that are known."""
    points = []
    for each in rounds:
        block = np.tile(each.centre, (len(each.energies), 1))
        block[1::2] += np.diag(each.shifts)
        block[2::2] -= np.diag(each.shifts)
        points.append(block)
    energies, variances = (
        np.concatenate(columns) for columns in zip(*((each.energies, each.variances) for each in rounds), strict=True)
    )
    known = np.isfinite(energies)
    return np.vstack(points)[known], energies[known], variances[known]


def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs of angles whose curvature is fitted."""
    rows, columns = np.triu_indices(count if count <= MAX_PAIRED_ANGLES else 0, 1)
    return rows, columns


def _model(value: float, variance: float, coefficients: Array, covariance: Array, count: int) -> LocalModel:
    curvatures, upper = np.diag(coefficients[count : 2 * count]), _pairs(count)
    curvatures[upper] = curvatures.T[upper] = coefficients[2 * count :]
    return LocalModel(value, variance, coefficients[:count], curvatures, covariance)
