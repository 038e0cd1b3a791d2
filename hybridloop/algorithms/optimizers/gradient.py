"""Newton optimizer: gradient and curvatures by parameter shifts in one round, from a quadratic fit to all rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Frequencies
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import ConvergenceForecast, PointEstimate, PooledFitOptimizer, Termination
from hybridloop.algorithms.optimizers.trigonometric_model import MAX_CONDITION, VARIANCE_FLOOR
from hybridloop.algorithms.rounds import FailedPoint

MAX_STEP_RAD = 0.5  # largest change of an angle in a step
NEAR_RAD = 0.8  # data further away in any angle get little weight: the model is of second order
CROSS_CURVATURE_PRIOR = 0.1  # expected curvature between two angles, relative to the mean one along an angle
MIN_RELATIVE_CURVATURE = 0.15  # floor of all curvatures, relative to the same mean: smaller or negative ones are noise
# hartree: half of chemical accuracy, as the last step is still taken
DEFAULT_TERMINATION = Termination(tolerance=0.8e-3)


@dataclass(frozen=True, slots=True, eq=False)
class QuadraticFit:
    """Quadratic model at a centre: energy (hartree), slopes (n,) and curvatures (n, n).

    `standard_error` is that of the energy, `covariance` (n, n) that of the slopes.
    """

    value: float
    standard_error: float
    slopes: NDArray[np.float64]
    curvatures: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def step(self) -> NDArray[np.float64]:
        """Newton step (n,) in radians with regularized curvatures, scaled down to `MAX_STEP_RAD`."""
        eigenvalues, axes = self._regularized_curvatures()
        step: NDArray[np.float64] = -axes @ ((axes.T @ self.slopes) / eigenvalues)
        return step * min(1.0, MAX_STEP_RAD / max(float(np.abs(step).max()), 1e-12))

    def gain(self, step: NDArray[np.float64]) -> float:
        """Expected decrease of the energy by the step."""
        eigenvalues, axes = self._regularized_curvatures()
        return -float(self.slopes @ step + 0.5 * (eigenvalues * (axes.T @ step) ** 2).sum())

    def noise_cost(self) -> float:
        """Mean excess energy at the minimum due to noise in the slopes: Σ var(slope) / (2 curvature)."""
        eigenvalues, axes = self._regularized_curvatures()
        variances = np.einsum("ik,ij,jk->k", axes, self.covariance, axes)
        return float((variances / (2.0 * eigenvalues)).sum())

    def _regularized_curvatures(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        eigenvalues, axes = np.linalg.eigh(self.curvatures)
        mean = max(float(np.abs(np.diag(self.curvatures)).mean()), 1e-9)
        return np.maximum(eigenvalues, MIN_RELATIVE_CURVATURE * mean), axes


def fit_quadratic(
    frequencies: tuple[Frequencies, ...],
    data: Sequence[tuple[NDArray[np.float64], float, float]],
    centre: NDArray[np.float64],
) -> QuadraticFit | None:
    """Fit a quadratic model to (point, energy, variance) rows.

    Returns None where they do not determine all slopes and all curvatures along angles. For an angle with one frequency
    Ω, sin(Ωd)/Ω and (1 − cos Ωd)/Ω² replace d and d²/2, so that shifts along it are exact at any size. Curvatures
    between angles are not measured directly: they come from the points of several rounds, by ridge regression towards
    zero (A. E. Hoerl and R. W. Kennard, Technometrics 12 (1970) 55).
    """
    count = len(centre)
    if len(data) < 2 * count + 1:
        return None
    points, values, variances = (np.array(column, float) for column in zip(*data, strict=True))
    linear, square = _features(frequencies, points - centre)
    separable = np.hstack([np.ones((len(points), 1)), linear, square])
    root = _root_weights(variances, points - centre)

    # Fit without mixed terms, for the size of the curvatures.
    scaled = separable * root[:, None]
    if np.linalg.cond(scaled) > MAX_CONDITION:
        return None
    first = np.linalg.lstsq(scaled, values * root, rcond=None)[0]
    mean_curvature = max(float(np.abs(first[1 + count :]).mean()), 1e-9)

    # Fit with mixed terms, which the ridge draws towards zero.
    upper = np.triu_indices(count, 1)
    rows = np.hstack([separable, linear[:, upper[0]] * linear[:, upper[1]]]) * root[:, None]
    ridge = np.diag([0.0] * (2 * count + 1) + [1.0 / (CROSS_CURVATURE_PRIOR * mean_curvature) ** 2] * len(upper[0]))
    inverse = np.linalg.inv(rows.T @ rows + ridge)
    coefficients = inverse @ (rows.T @ (values * root))

    # Sort the coefficients (constant, slopes, curvatures, mixed curvatures) and their covariance into the model.
    curvatures = np.diag(np.array(coefficients[1 + count : 1 + 2 * count], float))
    curvatures[upper] = coefficients[1 + 2 * count :]
    curvatures.T[upper] = coefficients[1 + 2 * count :]
    if not variances.any():
        inverse = np.zeros_like(inverse)
    slopes = np.array(coefficients[1 : 1 + count], float)
    covariance = np.array(inverse[1 : 1 + count, 1 : 1 + count], float)
    return QuadraticFit(float(coefficients[0]), math.sqrt(inverse[0, 0]), slopes, curvatures, covariance)


def _features(
    frequencies: tuple[Frequencies, ...], offsets: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Linear and square terms of the offsets (k, n): d and d²/2, or their trigonometric forms; each (k, n)."""
    linear, square = offsets.copy(), offsets**2 / 2.0
    for angle, numbers in enumerate(frequencies):
        if len(numbers) == 1:
            omega = numbers[0]
            phase = omega * offsets[:, angle]
            linear[:, angle], square[:, angle] = np.sin(phase) / omega, (1.0 - np.cos(phase)) / omega**2
    return linear, square


def _root_weights(variances: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square roots of the rows' weights: one over the variance, decreasing beyond `NEAR_RAD`."""
    mean = float(variances.mean())
    # energies without noise count as known to 1e-6 hartree: below that, third-order terms dominate
    floored = np.maximum(variances, VARIANCE_FLOOR * mean) if mean > 0 else np.full(len(variances), 1e-12)
    distance_factor = 1.0 + (np.abs(offsets).max(axis=1) / NEAR_RAD) ** 6
    weights: NDArray[np.float64] = 1.0 / np.sqrt(floored * distance_factor)
    return weights


@dataclass(slots=True)
class ParallelGradient(PooledFitOptimizer):
    """Newton optimizer with parameter shifts: each round measures the point and a shift up and down along every angle.

    Of these 2n + 1 points, differences of opposite shifts give slopes (K. Mitarai et al., Phys. Rev. A 98 (2018)
    032309), their sums curvatures along each angle. The curvatures between angles, which BFGS would update from the
    change of the slopes, come from a fit to the energies of all rounds: with shot noise, chained updates take noise for
    curvature and diverge. A step changes each angle by at most 0.5 rad. For starts near the minimum, such as
    Hartree-Fock.

    Shifts are an eighth of each angle's shortest period: 0.39 rad where the highest frequency is 2. Failed points are
    left out where earlier rounds determine the fit without them; else they are measured again.
    """

    termination: Termination = DEFAULT_TERMINATION

    def ask(self) -> NDArray[np.float64]:
        """Return the present point, then each angle shifted up and down; or the points to repeat."""
        if self.stop is not None:
            return np.empty((0, len(self.point)))
        shifts = np.diag([math.pi / (4.0 * max(numbers)) for numbers in self.frequencies])
        points = np.tile(self.point, (2 * len(self.point) + 1, 1))
        points[1::2] += shifts
        points[2::2] -= shifts
        return points[self._again] if self._again else points

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Fit the model to all rounds and take its Newton step; repeat failed points if they leave it undetermined."""
        pairs = list(zip(points, estimates, strict=True))
        self._data += [(np.array(p, float), e.value, e.variance) for p, e in pairs if isinstance(e, Estimate)]
        model = fit_quadratic(self.frequencies, self._data, self.point)
        if model is None:
            self._repeat("gradient", estimates)
            return
        self._again, self._repeats = [], 0
        step = model.step()
        point = self.point + step
        point.setflags(write=False)
        gain, slope = model.gain(step), float(np.linalg.norm(model.slopes))
        self._forecasts.append(ConvergenceForecast(gain, model.noise_cost(), slope))
        self.current = PointEstimate(point, model.value - gain, model.standard_error)
        self.point, self._rounds = point, self._rounds + 1
        self.stop = self.termination.check(self._forecasts, self._rounds)
