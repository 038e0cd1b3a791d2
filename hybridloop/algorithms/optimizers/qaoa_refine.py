"""Refinement of QAOA angles by response-surface fits; a step is kept only if its gain exceeds noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import validate_initial_point
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import (
    PointEstimate,
    Stop,
    check_at_least_one,
    missing_points_error,
)
from hybridloop.algorithms.rounds import FailedPoint
from hybridloop.errors import InputError

SPACING = 0.12  # of a fit's points, in units of the scales: an eighth of the distance between two extremes of an angle
MAX_STEP = 2.0  # spacings: further out, the fit is extrapolated
SIGNIFICANT_SIGMAS = 2.0  # standard errors that a step must gain when it is measured again together with its start


@dataclass(slots=True)
class QuadraticRefinement:
    """Response-surface optimizer (quadratic fit, step, check) with two rounds per step.

    A round of (n + 1)(n + 2) / 2 points determines a quadratic model around the centre (G. E. P. Box and K. B. Wilson,
    J. R. Stat. Soc. B 13 (1951) 1). The next round measures the model's minimum within `MAX_STEP` again, together with
    the centre. It becomes the centre only if it is lower by `SIGNIFICANT_SIGMAS` standard errors of the difference. The
    search ends with the first step that is not, or after `steps`. It needs every point.
    """

    can_skip: ClassVar[bool] = False

    centre: NDArray[np.float64]
    scales: NDArray[np.float64]
    steps: int
    _steps_done: int = field(default=0, init=False)
    _candidate: NDArray[np.float64] | None = field(default=None, init=False)
    current: PointEstimate | None = field(default=None, init=False)  # the centre, with its value as last measured
    stop: Stop | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        check_at_least_one("refine", self.steps)
        self.centre = validate_initial_point(self.centre)
        self.scales = validate_initial_point(self.scales)
        if self.scales.shape != self.centre.shape or not (self.scales > 0).all():
            problem = "there must be one positive scale for each angle"
            raise InputError("scales", problem, "Give the circuit's scales.")

    def ask(self) -> NDArray[np.float64]:
        """Return the points of the fit, the centre first; or the centre and the candidate step."""
        if self.stop is not None:
            return np.empty((0, len(self.centre)))
        if self._candidate is not None:
            return np.stack((self.centre, self._candidate))
        return self.centre + SPACING * self.scales * _design(len(self.centre))

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Fit the model, or decide on the candidate. Raises JobFailed for a failed point."""
        known = [estimate for estimate in estimates if isinstance(estimate, Estimate)]
        if len(known) < len(estimates):
            raise missing_points_error("the quadratic refinement", estimates)
        if self._candidate is None:
            self._fit(points, known)
        else:
            self._check(points, known)

    @property
    def best(self) -> PointEstimate | None:
        return self.current

    def _fit(self, points: NDArray[np.float64], estimates: Sequence[Estimate]) -> None:
        self.current = PointEstimate.of(estimates[0], points[0])
        offsets = (points - self.centre) / (SPACING * self.scales)
        values = np.array([estimate.value for estimate in estimates])
        step = quadratic_step(offsets, values, MAX_STEP)
        self._candidate = self.centre + SPACING * self.scales * step

    def _check(self, points: NDArray[np.float64], estimates: Sequence[Estimate]) -> None:
        start, candidate = estimates
        missing = insignificant_gain(start, candidate)
        self._candidate = None
        self._steps_done += 1
        if missing is None:
            self.centre = points[1].copy()
            self.current = PointEstimate.of(candidate, points[1])
            if self._steps_done == self.steps:
                self.stop = Stop(converged=False, reason=f"refine={self.steps}, as requested", is_requested=True)
        else:
            self.current = PointEstimate.of(start, points[0])
            self.stop = Stop(converged=True, reason=f"the last step gains nothing beyond noise: {missing}")


def insignificant_gain(start: Estimate, candidate: Estimate) -> str | None:
    """Return None if the gain exceeds rounding and `SIGNIFICANT_SIGMAS` standard errors; else a text with both."""
    gain = start.value - candidate.value
    noise = SIGNIFICANT_SIGMAS * math.hypot(start.standard_error, candidate.standard_error)
    rounding = start.rounding_bound + candidate.rounding_bound
    if gain > noise + rounding:
        return None
    if rounding:
        return f"gain {gain:.4g}, rounding up to {rounding:.4g}"
    return f"gain {gain:.4g}, {SIGNIFICANT_SIGMAS:g} standard errors {noise:.4g}"


def _design(count: int) -> NDArray[np.float64]:
    """Design of a quadratic fit: offsets of the centre, ± each axis, and + each pair of axes."""
    axes = np.eye(count)
    pairs = [axes[i] + axes[j] for i, j in itertools.combinations(range(count), 2)]
    return np.vstack((np.zeros((1, count)), axes, -axes, *(pair[None, :] for pair in pairs)))


def quadratic_step(offsets: NDArray[np.float64], values: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Fit a quadratic by least squares and return its minimum within `reach` (trust-region step).

    D. C. Sorensen, SIAM J. Numer. Anal. 19 (1982) 409: (H + λ I) x = −g with the smallest λ ≥ 0 that keeps |x| within
    `reach` and H + λ I positive.
    """
    # Fit constant, slopes and curvatures.
    count = offsets.shape[1]
    upper = np.triu_indices(count)
    features = np.hstack((np.ones((len(offsets), 1)), offsets, offsets[:, upper[0]] * offsets[:, upper[1]]))
    coefficients = np.linalg.lstsq(features, values, rcond=None)[0]
    gradient = coefficients[1 : count + 1]
    curvature = np.zeros((count, count))
    curvature[upper] = coefficients[count + 1 :]
    curvature = curvature + curvature.T
    eigenvalues, axes = np.linalg.eigh(curvature)
    components = axes.T @ gradient

    def step(shift: float) -> NDArray[np.float64]:
        coordinates: NDArray[np.float64] = -components / np.maximum(eigenvalues + shift, 1e-12)
        return coordinates

    # Bisect the smallest shift λ of the eigenvalues that keeps the step within reach.
    low = max(0.0, -float(eigenvalues[0]))
    if np.linalg.norm(step(low)) > reach:
        high = low + float(np.linalg.norm(components)) / reach
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if np.linalg.norm(step(middle)) > reach else (low, middle)
        low = high
    minimum: NDArray[np.float64] = axes @ step(low)
    return minimum
