"""Newton optimizer on a classical model of the circuit, corrected by the measured differences from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hybridloop.algorithms.circuits.ansatz import EnergyModel
from hybridloop.algorithms.circuits.simulated_start import FLAT
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import (
    ConvergenceForecast,
    FitOptimizer,
    PointEstimate,
    PooledFitOptimizer,
    Termination,
)
from hybridloop.algorithms.optimizers.trigonometric_model import MAX_CONDITION, VARIANCE_FLOOR
from hybridloop.algorithms.rounds import FailedPoint
from hybridloop.errors import InputError

SHIFT_RAD = 1.0  # longest shift
RISE = 0.25  # hartree: shifts are as long as the energy rises by this, so that all directions cost noise alike
MAX_STEP_RAD = 0.5
SIGMAS = 3.0  # standard errors: a smaller difference in curvature counts as noise
# hartree: half of chemical accuracy, as for the Newton optimizer without a model
DEFAULT_TERMINATION = Termination(tolerance=0.8e-3)


@dataclass(frozen=True, slots=True)
class SoftestDirection:
    """The direction of least measured curvature: curvature and standard error in hartree per square radian."""

    curvature: float
    standard_error: float

    @property
    def is_minimum(self) -> bool:
        """True unless the curvature is negative beyond noise."""
        return self.curvature + SIGMAS * self.standard_error >= 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Correction:
    """Measured minus modelled energy about the start, Σ_i a + g_i u_i + κ_i u_i² / 2, u (m,) along the axes."""

    constant: float
    standard_error: float
    slopes: NDArray[np.float64]
    covariance: NDArray[np.float64]  # of the slopes
    curvatures: NDArray[np.float64]
    curvature_errors: NDArray[np.float64]

    def value(self, u: NDArray[np.float64]) -> float:
        slopes, curvatures = self._significant()
        return float(slopes @ u + 0.5 * curvatures @ u**2)

    def gradient(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        slopes, curvatures = self._significant()
        return slopes + curvatures * u

    def _significant(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Slopes and curvatures without the part that noise makes.

        All slopes are multiplied by the estimated share of their true squares, 1 − m / zᵀz for m slopes of z standard
        errors (B. Efron and C. Morris, J. Am. Stat. Assoc. 68 (1973) 117): where the model is right, the angles are not
        moved by noise.
        """
        curvatures = np.where(np.abs(self.curvatures) > SIGMAS * self.curvature_errors, self.curvatures, 0.0)
        if not self.covariance.any():
            return self.slopes, curvatures
        squared = float(self.slopes @ np.linalg.solve(self.covariance, self.slopes))
        return max(0.0, 1.0 - len(self.slopes) / max(squared, 1e-300)) * self.slopes, curvatures


@dataclass(slots=True)
class CorrectedModel(PooledFitOptimizer):
    """Newton optimizer for a circuit that is simulated classically, from a minimum of the simulation.

    Each round measures the point, and a shift up and down along each principal axis of the simulated curvature. A
    quadratic fit to the measured minus the simulated energies corrects the model in value, slopes and curvatures, and
    the next point is the minimum of the corrected model (first-order additive correction: N. M. Alexandrov et al.,
    J. Aircraft 38 (2001) 1093). Third orders, which bias differences between far points, are in the simulation, so
    shifts are long, up to 1 rad, and noise costs little also in soft directions. Directions that are flat in the
    simulation are not measured. A step changes each coordinate by at most 0.5 rad.

    Failed points are left out where the others determine the fit; else they are measured again.
    """

    termination: Termination = DEFAULT_TERMINATION
    model: EnergyModel | None = None
    softest: SoftestDirection | None = field(default=None, init=False)
    _start: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0), init=False)
    _axes: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)), init=False)
    _curvatures: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0), init=False)
    # energies of the model at the points of `_data`
    _modelled: list[float] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        FitOptimizer.__post_init__(self)
        if self.model is None:
            raise InputError("optimizer", "the circuit is not simulated", "Choose another optimizer.")
        self._start = self.point

    def ask(self) -> NDArray[np.float64]:
        """Return the present point, then each axis shifted up and down; or the points to repeat."""
        if self.stop is not None:
            return np.empty((0, len(self.point)))
        self._find_axes()
        shifts = np.minimum(SHIFT_RAD, np.sqrt(2.0 * RISE / self._curvatures))
        points = np.tile(self.point, (2 * len(shifts) + 1, 1))
        points[1::2] += shifts[:, None] * self._axes.T
        points[2::2] -= shifts[:, None] * self._axes.T
        return points[self._again] if self._again else points

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Correct the model by all rounds and move to its minimum; repeat failed points if they leave it open."""
        self._find_axes()
        pairs = list(zip(points, estimates, strict=True))
        self._data += [(np.array(p, float), e.value, e.variance) for p, e in pairs if isinstance(e, Estimate)]
        correction = self._fit()
        if correction is None:
            self._repeat("corrected-model", estimates)
            return
        self._again, self._repeats = [], 0
        before = self._axes.T @ (self.point - self._start)
        after = self._minimum(correction, before)
        gain = self._objective(after, correction)[0]
        gain = self._objective(before, correction)[0] - gain
        point = self._start + self._axes @ after
        point.setflags(write=False)
        measured = self._curvatures + correction.curvatures
        if len(measured):
            index = int(np.argmin(measured))
            self.softest = SoftestDirection(float(measured[index]), float(correction.curvature_errors[index]))
        noise = float((np.diag(correction.covariance) / (2.0 * np.maximum(measured, FLAT))).sum())
        slope = float(np.linalg.norm(self._objective(before, correction)[1]))
        assert self.model is not None
        value = self.model.energy(point) + correction.constant + correction.value(after)
        self._forecasts.append(ConvergenceForecast(gain, noise, slope))
        self.current = PointEstimate(point, value, correction.standard_error)
        self.point, self._rounds = point, self._rounds + 1
        self.stop = self.termination.check(self._forecasts, self._rounds)

    def _find_axes(self) -> None:
        # once, and not before the search: a choice of the optimizer needs none
        assert self.model is not None
        if len(self._axes):
            return
        curvatures, axes = np.linalg.eigh(self.model.hessian(self._start))
        is_stiff = curvatures > FLAT
        self._axes, self._curvatures = axes[:, is_stiff], curvatures[is_stiff]

    def _fit(self) -> _Correction | None:
        """Fit the measured minus the modelled energies of all rounds; None where they do not determine it."""
        assert self.model is not None
        count = len(self._curvatures)
        if len(self._data) < 2 * count + 1:
            return None
        points, values, variances = (np.array(column, float) for column in zip(*self._data, strict=True))
        u = (points - self._start) @ self._axes
        for point in points[len(self._modelled) :]:
            self._modelled.append(self.model.energy(point))
        differences = values - np.array(self._modelled)
        mean = float(variances.mean())
        root = 1.0 / np.sqrt(np.maximum(variances, VARIANCE_FLOOR * mean)) if mean > 0.0 else np.ones(len(points))
        rows = np.hstack([np.ones((len(points), 1)), u, u**2 / 2.0]) * root[:, None]
        if np.linalg.cond(rows) > MAX_CONDITION:
            return None
        inverse = np.linalg.pinv(rows)
        coefficients = inverse @ (differences * root)
        covariance = inverse @ inverse.T if mean > 0.0 else np.zeros((2 * count + 1,) * 2)
        slopes = slice(1, 1 + count)
        return _Correction(
            constant=float(coefficients[0]),
            standard_error=math.sqrt(covariance[0, 0]),
            slopes=coefficients[slopes],
            covariance=covariance[slopes, slopes],
            curvatures=coefficients[1 + count :],
            curvature_errors=np.sqrt(np.diag(covariance)[1 + count :]),
        )

    def _objective(self, u: NDArray[np.float64], correction: _Correction) -> tuple[float, NDArray[np.float64]]:
        """Return the corrected model and its gradient along the axes."""
        assert self.model is not None
        value, gradient = self.model.objective_and_gradient(self._start + self._axes @ u)
        return value + correction.value(u), self._axes.T @ gradient + correction.gradient(u)

    def _minimum(self, correction: _Correction, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the minimum of the corrected model within `MAX_STEP_RAD` of u along each axis."""
        if not len(u):
            return u
        bounds = list(zip(u - MAX_STEP_RAD, u + MAX_STEP_RAD, strict=True))
        found = minimize(self._objective, u, (correction,), jac=True, method="L-BFGS-B", bounds=bounds)
        return np.asarray(found.x, float)
