"""Quasi-Newton optimizer for starts away from the minimum: a linear fit to the slopes of all rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import validate_initial_point
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import ConvergenceForecast, FitOptimizer, PointEstimate, Termination
from hybridloop.algorithms.optimizers.trigonometric_model import fit_trigonometric, sample_offsets
from hybridloop.algorithms.rounds import FailedPoint

FIRST_RADIUS = 1.0  # largest phase that a step changes, in radians: the angle times its effective frequency
MAX_RADIUS, MIN_RADIUS = 1.5, 0.05
EFFECTIVE_FREQUENCY = 2  # of a shared angle: few of its terms act on the same term of the Hamiltonian
MODEL_ERROR = 2.0  # error of a slope at a phase u away, relative to mean curvature × u²
CROSS_CURVATURE_PRIOR = 0.3  # expected curvature between two angles, relative to the mean one along an angle
MIN_RELATIVE_CURVATURE = 0.02  # floor of all curvatures, relative to the same mean
MAX_FITTED_ANGLES = 40  # above, the unknowns of all pairs of angles take too long: the curvature is diagonal
MAX_FITTED_ROUNDS = 60
MAX_COPIES = 8  # measurements of each point in a round, where noise hides more than the next step gains
SIGMAS = 2.0  # standard errors of a rise that ends in a step back
DEFAULT_TERMINATION = Termination(tolerance=0.8e-3, patience=2)

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredSlopes:
    """A round's energy at its point (n,), and slopes and curvatures along each angle, (n,), with their variances."""

    point: Array
    value: float
    variance: float
    slopes: Array
    slope_variances: Array
    curvatures: Array
    curvature_variances: Array


@dataclass(slots=True)
class SlopeFit(FitOptimizer):
    """Quasi-Newton optimizer: each round measures the point and the other points of an exact fit along every angle.

    The fits give slopes and curvatures along each angle without bias (D. Wierichs et al., Quantum 6 (2022) 677); two
    small shifts of a shared angle have a bias that along soft directions costs ten times the tolerance. All points are
    measured up to `MAX_COPIES` times where noise hides more than a step gains. The slopes of all rounds, linear in the
    distance from the present point, give by ridge regression its slopes, with less noise, and the curvatures between
    angles: chained updates as of BFGS would take noise for curvature. A round counts less the further away it is, by
    the expected error of a linear model. Steps go downhill also along negative curvature (Y. Dauphin et al., NeurIPS 27
    (2014) 2933), and less far where the slope is within noise. A step that raises the energy is taken back, and the
    trust region shrinks.

    With the energies of all rounds in a quadratic fit, as `ParallelGradient` has, shared angles end far from the
    minimum: a Heisenberg chain of four sites at 0.3 to 3, in its own unit, with and without noise.
    """

    termination: Termination = DEFAULT_TERMINATION
    _rounds: list[MeasuredSlopes] = field(default_factory=list, init=False)
    _known: list[tuple[int, float, float]] = field(default_factory=list, init=False)  # index, energy, variance
    _copies: int = field(default=1, init=False)  # measurements of each point in this round
    _centre: int = field(default=0, init=False)  # the round whose point was accepted last
    _radius: float = field(default=FIRST_RADIUS, init=False)
    _expected: float = field(default=0.0, init=False)  # gain of the step to the present point
    _forecasts: list[ConvergenceForecast] = field(default_factory=list, init=False)

    def ask(self) -> Array:
        """Return the present point, then the other points of each angle's fit; or the points to repeat."""
        if self.stop is not None:
            return np.empty((0, len(self.point)))
        numbered = enumerate(self.frequencies)
        offsets = [(angle, offset) for angle, numbers in numbered for offset in sample_offsets(numbers)[1:]]
        points = np.tile(self.point, (1 + len(offsets), 1))
        for row, (angle, offset) in enumerate(offsets, start=1):
            points[row, angle] += offset
        points = np.tile(points, (self._copies, 1))
        return points[self._again] if self._again else points

    def tell(self, points: Array, estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Fit the slopes of all rounds and take a step; failed points are measured again."""
        indices = self._again or range(len(estimates))
        if indices[0] == 0:
            self.point = validate_initial_point(points[0])  # as recorded
        pairs = zip(indices, estimates, strict=True)
        self._known += [(index, e.value, e.variance) for index, e in pairs if isinstance(e, Estimate)]
        if any(isinstance(estimate, FailedPoint) for estimate in estimates):
            self._repeat("quasi-newton", estimates)
            return
        self._again, self._repeats = [], 0
        self._rounds.append(self._measured())
        self._known = []
        self._accept_or_step_back()
        self._move()
        self.stop = self.termination.check(self._forecasts, len(self._rounds))

    def _measured(self) -> MeasuredSlopes:
        """Fit every angle's energies, averaged over the copies of a point."""
        _, values, variances = np.array(sorted(self._known)).reshape(self._copies, -1, 3).mean(axis=0).T
        variances = variances / self._copies
        columns: list[tuple[float, float, float, float]] = []
        first = 1
        for numbers in self.frequencies:
            offsets = sample_offsets(numbers)
            rows = [0, *range(first, first := first + len(offsets) - 1)]
            # equal weights: the exact shift rule
            line = [(float(offset), float(values[row]), 1.0) for offset, row in zip(offsets, rows, strict=True)]
            fit = fit_trigonometric(numbers, line, 0.0)
            assert fit is not None  # equally spaced points determine it
            mean = float(variances[rows].mean())
            slope, curvature = (fit.derivative(order) for order in (1, 2))
            columns.append((slope[0], slope[1] * mean, curvature[0], curvature[1] * mean))
        slopes, slope_variances, curvatures, curvature_variances = np.array(columns).T
        return MeasuredSlopes(
            self.point, float(values[0]), float(variances[0]), slopes, slope_variances, curvatures, curvature_variances
        )

    def _accept_or_step_back(self) -> None:
        latest, centre = self._rounds[-1], self._rounds[self._centre]
        rise = latest.value - centre.value
        if rise > SIGMAS * math.sqrt(latest.variance + centre.variance):
            self._radius = max(self._radius / 2.0, MIN_RADIUS)
            return
        if -rise > 0.5 * self._expected:
            self._radius = min(self._radius * 1.5, MAX_RADIUS)
        self._centre = len(self._rounds) - 1

    def _move(self) -> None:
        centre = self._rounds[self._centre]
        slopes, covariance, curvatures = self._fit(centre)
        eigenvalues, axes = np.linalg.eigh(curvatures)
        least = MIN_RELATIVE_CURVATURE * max(float(np.abs(np.diag(curvatures)).mean()), 1e-9)
        sizes = np.maximum(np.abs(eigenvalues), least)
        along = axes.T @ slopes
        variances = np.einsum("ik,ij,jk->k", axes, covariance, axes)
        shrunk = along * along**2 / np.maximum(along**2 + variances, 1e-300)
        step = -axes @ (shrunk / sizes)
        step *= min(1.0, self._radius / max(float(np.abs(step * self._phases()).max()), 1e-12))
        point = np.array(centre.point + step)
        point.setflags(write=False)
        gain = float(-(slopes @ step) - 0.5 * (sizes * (axes.T @ step) ** 2).sum())
        noise = float((variances / (2.0 * sizes)).sum())
        self._expected = gain
        excess = noise / max(gain, self.termination.tolerance)
        self._copies = min(max(math.ceil(excess), 1), MAX_COPIES)
        self._forecasts.append(ConvergenceForecast(gain, noise, float(np.linalg.norm(slopes))))
        self.current = PointEstimate(point, centre.value - gain, math.sqrt(centre.variance))
        self.point = point

    def _phases(self) -> Array:
        return np.array([float(min(max(numbers), EFFECTIVE_FREQUENCY)) for numbers in self.frequencies])

    def _fit(self, centre: MeasuredSlopes) -> tuple[Array, Array, Array]:
        """Return slopes (n,) at the centre, their covariance (n, n), and curvatures (n, n), from all rounds."""
        count = len(centre.point)
        mean = max(float(np.abs(centre.curvatures).mean()), 1e-9)
        upper = np.triu_indices(count, 1) if count <= MAX_FITTED_ANGLES else (np.zeros(0, int), np.zeros(0, int))
        unknowns = 2 * count + len(upper[0])  # slopes, curvatures along angles, between angles
        normal, right = np.zeros((unknowns, unknowns)), np.zeros(unknowns)
        diagonal = np.arange(count)
        for measured in self._rounds[-MAX_FITTED_ROUNDS:]:
            offset = measured.point - centre.point
            phase = float(np.abs(offset * self._phases()).max())
            # slopes: g + B offset
            rows = np.zeros((count, unknowns))
            rows[diagonal, diagonal] = 1.0
            rows[diagonal, count + diagonal] = offset
            pairs = 2 * count + np.arange(len(upper[0]))
            rows[upper[0], pairs] = offset[upper[1]]
            rows[upper[1], pairs] = offset[upper[0]]
            weights = 1.0 / (measured.slope_variances + (MODEL_ERROR * mean * phase**2) ** 2 + 1e-12)
            normal += rows.T @ (rows * weights[:, None])
            right += rows.T @ (weights * measured.slopes)
            # curvatures along angles
            weights = 1.0 / (measured.curvature_variances + (2.0 * MODEL_ERROR * mean * phase) ** 2 + 1e-12)
            normal[count + diagonal, count + diagonal] += weights
            right[count + diagonal] += weights * measured.curvatures
        normal[2 * count + np.arange(len(upper[0])), 2 * count + np.arange(len(upper[0]))] += (
            CROSS_CURVATURE_PRIOR * mean
        ) ** -2
        inverse = np.linalg.inv(normal)
        coefficients = inverse @ right
        curvatures: Array = np.diag(coefficients[count : 2 * count])
        curvatures[upper] = curvatures.T[upper] = coefficients[2 * count :]
        covariance: Array = np.array(inverse[:count, :count], float)
        return coefficients[:count], covariance, curvatures
