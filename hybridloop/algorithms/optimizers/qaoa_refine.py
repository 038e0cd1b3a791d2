"""Refinement of QAOA angles by response-surface fits; a step is kept only if its gain exceeds noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import validate_initial_point
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import (
    JSON,
    PointEstimate,
    Stop,
    missing_points_error,
    point_estimate_from_json,
    point_estimate_to_json,
    stop_from_json,
    stop_to_json,
)
from hybridloop.algorithms.rounds import FailedPoint
from hybridloop.errors import InputError

SPACING = 0.12  # of a fit's points, in units of the scales: an eighth of the distance between two extremes of an angle
MAX_STEP = 2.0  # spacings: further out, the fit is extrapolated
SIGNIFICANT_SIGMAS = 2.0  # standard errors that a step must gain when it is measured again together with its start


class QuadraticRefinement:
    """Response-surface optimizer (quadratic fit, step, check) with two rounds per step.

    A round of (n + 1)(n + 2) / 2 points determines a quadratic model around the centre (G. E. P. Box and K. B. Wilson,
    J. R. Stat. Soc. B 13 (1951) 1). The next round measures the model's minimum within `MAX_STEP` again, together with
    the centre. It becomes the centre only if it is lower by `SIGNIFICANT_SIGMAS` standard errors of the difference. The
    search ends with the first step that is not, or after `steps`. It needs every point.
    """

    can_skip: ClassVar[bool] = False

    def __init__(self, initial_point: NDArray[np.float64], scales: NDArray[np.float64], *, steps: int) -> None:
        if steps < 1:
            raise InputError("refine", f"{steps} is below 1", "Give the number of steps to try.")
        self._centre = validate_initial_point(initial_point)
        self._scales = validate_initial_point(scales)
        if self._scales.shape != self._centre.shape or not (self._scales > 0).all():
            problem = "there must be one positive scale for each angle"
            raise InputError("scales", problem, "Give the circuit's scales.")
        self._steps_left = steps
        self._candidate: NDArray[np.float64] | None = None
        self._current: PointEstimate | None = None
        self._stop: Stop | None = None

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> QuadraticRefinement:
        """Restore an optimizer from its `state`."""
        optimizer = cls(np.array(state["centre"]), np.array(state["scales"]), steps=max(1, state["steps_left"]))
        optimizer._steps_left = state["steps_left"]
        optimizer._candidate = None if state["candidate"] is None else np.array(state["candidate"])
        optimizer._current, optimizer._stop = point_estimate_from_json(state["reading"]), stop_from_json(state["stop"])
        return optimizer

    def state(self) -> dict[str, JSON]:
        """Complete state of the search, JSON-serializable."""
        return {
            "centre": self._centre.tolist(),
            "scales": self._scales.tolist(),
            "steps_left": self._steps_left,
            "candidate": None if self._candidate is None else self._candidate.tolist(),
            "reading": point_estimate_to_json(self._current),
            "stop": stop_to_json(self._stop),
        }

    def ask(self) -> NDArray[np.float64]:
        """Return the points of the fit, the centre first; or the centre and the candidate step."""
        if self._stop is not None:
            return np.empty((0, len(self._centre)))
        if self._candidate is not None:
            return np.stack((self._centre, self._candidate))
        return self._centre + SPACING * self._scales * _design(len(self._centre))

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
    def current(self) -> PointEstimate | None:
        """Centre, with its value as last measured."""
        return self._current

    @property
    def best(self) -> PointEstimate | None:
        """Centre, with its value as last measured."""
        return self._current

    @property
    def stop(self) -> Stop | None:
        """Reason to stop; None while the search runs."""
        return self._stop

    def _fit(self, points: NDArray[np.float64], estimates: Sequence[Estimate]) -> None:
        self._current = PointEstimate.of(estimates[0], points[0])
        offsets = (points - self._centre) / (SPACING * self._scales)
        values = np.array([estimate.value for estimate in estimates])
        step = quadratic_step(offsets, values, MAX_STEP)
        self._candidate = self._centre + SPACING * self._scales * step

    def _check(self, points: NDArray[np.float64], estimates: Sequence[Estimate]) -> None:
        start, candidate = estimates
        missing = insignificant_gain(start, candidate)
        self._candidate = None
        self._steps_left -= 1
        if missing is None:
            self._centre = points[1].copy()
            self._current = PointEstimate.of(candidate, points[1])
            if not self._steps_left:
                self._stop = Stop(converged=False, reason="the limit of refinement steps was reached; raise refine")
        else:
            self._current = PointEstimate.of(start, points[0])
            self._stop = Stop(converged=True, reason=f"the last step is within noise: {missing}")


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
