"""Local quadratic model of a noisy energy: ridge regression over the rounds of a search, and forecasts of its noise.

Points are in phases: an angle times its unit, so that curvatures and shifts are comparable among angles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Frequencies
from hybridloop.algorithms.minimization import one_thread
from hybridloop.algorithms.optimizers.trigonometric_model import VARIANCE_FLOOR

EFFECTIVE_FREQUENCY = 2  # of an angle that several rotations share: few of them act on the same term
CROSS = (0.1, 0.3)  # expected curvature between angles, relative to those along them; 2nd: a frequency is unknown
STRONG = 3.0  # times that, where a search goes on from an end that is too high
OVERTONE = 0.2  # expected second harmonic of an angle that rotations share, relative to its curvature
OVERTONE_FLOOR = 0.15  # least such curvature, relative to the mean
MODEL_ERROR = 0.2  # of an energy, relative to the mean curvature times d² (d + 1), its round a phase d away
MAX_PAIRED_ANGLES = 60  # above, curvatures between angles would be too many unknowns
MAX_ROUNDS = 40  # the newest that are fitted
MIN_CURVATURE = 1e-9
EXACT_VARIANCE = 1e-12  # of energies without noise: they count as known to 1e-6, where third orders dominate

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


def has_overtone(numbers: Frequencies) -> bool:
    """Return whether the highest frequency of an angle is above the phase's, and at most twice that."""
    return len(numbers) > 1 and EFFECTIVE_FREQUENCY < max(numbers) <= 2 * EFFECTIVE_FREQUENCY


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredRound:
    """Energies (k,) and their variances at points (k, n), as phases; the first is the centre. Missing ones are NaN."""

    points: Array
    energies: Array
    variances: Array

    @property
    def centre(self) -> Array:
        centre: Array = self.points[0]
        return centre

    @property
    def value(self) -> float:
        return float(self.energies[0])

    @property
    def variance(self) -> float:
        return float(self.variances[0])


@dataclass(frozen=True, slots=True, eq=False)
class LocalModel:
    """Quadratic model at a centre: its energy with the variance, slopes (n,) and curvatures (n, n), per phase.

    `covariance` is that of the coefficients: slopes, curvatures along angles, curvatures between angles; `unknown` is
    the same of what energies without noise do not determine either.
    """

    value: float
    variance: float
    slopes: Array
    curvatures: Array
    covariance: Array
    unknown: Array

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
        errors = ((quadratic @ self.covariance) * quadratic).sum(axis=1)
        return axes.T @ self.slopes, variances, np.sqrt(np.maximum(errors, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class LocalFit:
    """Ridge regression of the energies of a search's rounds (A. E. Hoerl, R. W. Kennard, Technometrics 12 (1970) 55).

    For an angle with known frequencies, sin φ and 1 − cos φ replace φ and φ²/2: the energy's own form for one
    frequency, and the nearest form for several. Curvatures between angles are not measured directly: they come from the
    points of several rounds. `with_overtones` adds the second harmonic of angles that have one (`has_overtone`):
    without it, their slope at a shift δ is wrong by 2 D (1 − cos δ), with D the harmonic's sine. Rounds of several
    shifts tell it from the slope (shift rules for several frequencies: D. Wierichs et al., Quantum 6 (2022) 677).
    """

    frequencies: Sequence[Frequencies]
    with_overtones: bool = False
    is_strong: bool = False

    @one_thread()
    def model(self, rounds: Sequence[MeasuredRound], centre: Array) -> LocalModel | None:
        """Fit all rounds; None where they do not determine all slopes and curvatures along angles."""
        count = len(centre)
        first, pairs = 2 * count + 1, len(_pairs(count)[0])
        known = np.concatenate([np.isfinite(each.energies) for each in rounds[-MAX_ROUNDS:]])
        values = np.concatenate([each.energies for each in rounds[-MAX_ROUNDS:]])[known]
        rows, weights = self._weighted(rounds, centre, 0.0)
        found, _, rank, _ = np.linalg.lstsq(rows[:, :first], values * weights, rcond=1e-8)
        if rank < first:
            return None
        for _ in range(2):  # the curvatures of the first fit weigh the second
            diagonal = found[1 + count : first]
            inverse, rows, weights = self._inverse(rounds, centre, diagonal)
            found = inverse @ (rows.T @ (values * weights))
        is_noisy = any(np.nanmax(each.variances) > 0.0 for each in rounds)
        curvatures, upper = np.diag(found[1 + count : first]), _pairs(count)
        curvatures[upper] = curvatures.T[upper] = found[first : first + pairs]
        unknown = inverse[: first + pairs, : first + pairs]
        covariance = unknown * is_noisy
        return LocalModel(
            float(found[0]),
            float(covariance[0, 0]),
            found[1 : 1 + count],
            curvatures,
            covariance[1:, 1:],
            unknown[1:, 1:],
        )

    def fall(self, model: LocalModel, step: Array) -> tuple[float, float]:
        """Return how far the energy falls along a step (n,) from the model's centre, and the standard error of that.

        The error is that of the coefficients, and the model's own at the step's length.
        """
        known = len(model.unknown)
        functions = self._functions(step[None, :])[0, 1 : 1 + known]
        pairs = model.curvatures[_pairs(len(step))]
        coefficients = np.concatenate([model.slopes, np.diag(model.curvatures), pairs])
        error = _model_error(step, model.mean_curvature)
        variance = float(functions @ model.unknown @ functions) + error**2
        return float(-(functions @ coefficients)), math.sqrt(max(0.0, variance))

    def variances_after(
        self,
        rounds: Sequence[MeasuredRound],
        model: LocalModel,
        points: Array,
        axes: Array,
        shot_variance: float,
    ) -> Callable[[float], Array]:
        """Return a function of further shots of each point: the variances (k,) of the slopes along `axes` (n, k).

        The slopes are those at the first point; `shot_variance` is the variance of one shot. As the shots vary, the
        inverse of the normal matrix follows from that of the present rounds by Woodbury's identity.
        """
        slopes = slice(1, 1 + len(model.slopes))
        inverse, _, _ = self._inverse(rounds, points[0], np.diag(model.curvatures))
        new = self._functions(points - points[0]) / math.sqrt(shot_variance)
        gained, turned = np.linalg.eigh(new @ inverse @ new.T)
        lowered = (axes.T @ inverse[slopes] @ new.T @ turned) ** 2
        before = np.einsum("ik,ij,jk->k", axes, inverse[slopes, slopes], axes)

        def variances(shots: float) -> Array:
            left: Array = before - lowered @ (shots / (1.0 + shots * np.maximum(gained, 0.0)))
            return np.maximum(left, 0.0)

        return variances

    def _functions(self, offsets: Array) -> Array:
        """Return the model's functions (k, p) at offsets (k, n): 1, along angles, between them, second harmonics."""
        is_wave = np.array([bool(numbers) for numbers in self.frequencies], bool)
        linear = np.where(is_wave, np.sin(offsets), offsets)
        square = np.where(is_wave, 1.0 - np.cos(offsets), offsets**2 / 2.0)
        upper = _pairs(offsets.shape[1])
        columns = [np.ones((len(offsets), 1)), linear, square, linear[:, upper[0]] * linear[:, upper[1]]]
        if self.with_overtones:
            shared = offsets[:, self._overtones]
            columns.append(2.0 * np.sin(shared) - np.sin(2.0 * shared))
            columns.append(4.0 * (1.0 - np.cos(shared)) - (1.0 - np.cos(2.0 * shared)))
        return np.hstack(columns)

    @property
    def _overtones(self) -> list[bool]:
        return [has_overtone(numbers) for numbers in self.frequencies]

    def _weighted(self, rounds: Sequence[MeasuredRound], centre: Array, curvature: float) -> tuple[Array, Array]:
        """Return the weighted functions (k, p) at the known points, and the weights (k,), for a mean curvature."""
        points, variances = [], []
        for each in rounds[-MAX_ROUNDS:]:
            known = np.isfinite(each.energies)
            measured = each.variances[known]
            floored = np.maximum(measured, VARIANCE_FLOOR * measured.mean()) if len(measured) else measured
            error = _model_error(each.centre - centre, curvature)
            points.append(each.points[known])
            variances.append(np.maximum(floored, EXACT_VARIANCE) + error**2)
        weights = 1.0 / np.sqrt(np.concatenate(variances))
        return self._functions(np.vstack(points) - centre) * weights[:, None], weights

    @one_thread()
    def _inverse(self, rounds: Sequence[MeasuredRound], centre: Array, diagonal: Array) -> tuple[Array, Array, Array]:
        """Return the inverse of the normal matrix (p, p), the weighted functions, and the weights.

        `diagonal` (n,) has the curvatures along angles.
        """
        size = max(float(np.abs(diagonal).mean()), MIN_CURVATURE)
        rows, weights = self._weighted(rounds, centre, size)
        count, pairs = len(centre), len(_pairs(len(centre))[0])
        ridge = np.zeros(rows.shape[1])
        cross = CROSS[not all(self.frequencies)] * STRONG**self.is_strong * size
        ridge[1 + 2 * count : 1 + 2 * count + pairs] = cross**-2
        if self.with_overtones:
            own = np.maximum(np.abs(diagonal), OVERTONE_FLOOR * size)[self._overtones]
            ridge[1 + 2 * count + pairs :] = np.tile((OVERTONE * own) ** -2, 2)
        inverse: Array = np.array(np.linalg.inv(rows.T @ rows + np.diag(ridge)), float)
        return inverse, rows, weights


def _model_error(offset: Array, curvature: float) -> float:
    """Return the standard error of a model's energy at an offset (n,), for a mean curvature."""
    distance = float((offset**2).sum()) / max(1.0, math.sqrt(len(offset)) / 2.0)
    return MODEL_ERROR * curvature * distance * (math.sqrt(distance) + 1.0)


def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs of angles whose curvature is fitted."""
    rows, columns = np.triu_indices(count if count <= MAX_PAIRED_ANGLES else 0, 1)
    return rows, columns
