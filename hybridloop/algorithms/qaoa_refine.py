"""Refines a good start by a quadratic fit, all points measured at once; believes no step that is not shown."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.optimizer import (
    JSON,
    Reading,
    Stop,
    checked_start,
    lost_beyond_repair,
    reading_of,
    reading_row,
    stop_of,
    stop_row,
)
from hybridloop.algorithms.rounds import Lost
from hybridloop.errors import InputError

SPACING = 0.12  # of a fit's points, in units of the scales: an eighth of the way between two extremes of one angle
REACH = 2.0  # spacings that a step may go: further out the fit is extrapolated
BELIEVED = 2.0  # standard errors by which a step must win when it is measured anew beside its start


class QuadraticRefinement:
    """Fit, step, check: two rounds a step.

    A round of (n + 1)(n + 2) / 2 points determines a quadratic model around the centre (G. E. P. Box and K. B. Wilson,
    J. R. Stat. Soc. B 13 (1951) 1); its least point within reach is measured anew together with the centre, and becomes
    the centre only where it wins by `BELIEVED` standard errors of the difference. It ends with the first step that
    does not, or after `steps`. Needs every point.
    """

    can_skip: ClassVar[bool] = False

    def __init__(self, initial_point: NDArray[np.float64], scales: NDArray[np.float64], *, steps: int) -> None:
        if steps < 1:
            raise InputError("refine", f"{steps} is below 1", "Give the number of steps to try.")
        self._centre = checked_start(initial_point)
        self._scales = checked_start(scales)
        if self._scales.shape != self._centre.shape or not (self._scales > 0).all():
            raise InputError("scales", "they are not one positive number for each angle", "Give those of the circuit.")
        self._steps_left = steps
        self._candidate: NDArray[np.float64] | None = None
        self._reading: Reading | None = None
        self._stop: Stop | None = None

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> QuadraticRefinement:
        """The refinement of a `state`."""
        made = cls(np.array(state["centre"]), np.array(state["scales"]), steps=max(1, state["steps_left"]))
        made._steps_left = state["steps_left"]
        made._candidate = None if state["candidate"] is None else np.array(state["candidate"])
        made._reading, made._stop = reading_of(state["reading"]), stop_of(state["stop"])
        return made

    def state(self) -> dict[str, JSON]:
        """All that it knows."""
        return {
            "centre": self._centre.tolist(),
            "scales": self._scales.tolist(),
            "steps_left": self._steps_left,
            "candidate": None if self._candidate is None else self._candidate.tolist(),
            "reading": reading_row(self._reading),
            "stop": stop_row(self._stop),
        }

    def ask(self) -> NDArray[np.float64]:
        """The fit's points, the centre first; or the centre and the step from it."""
        if self._stop is not None:
            return np.empty((0, len(self._centre)))
        if self._candidate is not None:
            return np.stack((self._centre, self._candidate))
        return self._centre + SPACING * self._scales * _design(len(self._centre))

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | Lost]) -> None:
        """Take a round's answers."""
        known = [each for each in estimates if isinstance(each, Estimate)]
        if len(known) < len(estimates):
            raise lost_beyond_repair("the quadratic refinement", estimates)
        if self._candidate is None:
            self._fit(points, known)
        else:
            self._check(points, known)

    @property
    def current(self) -> Reading | None:
        """The centre, with the value it was last measured to have."""
        return self._reading

    @property
    def best(self) -> Reading | None:
        """The centre."""
        return self._reading

    @property
    def stop(self) -> Stop | None:
        """Set once a step was not believed, or the last one was."""
        return self._stop

    def _fit(self, points: NDArray[np.float64], estimates: Sequence[Estimate]) -> None:
        self._reading = Reading(points[0], estimates[0].value, estimates[0].standard_error)
        offsets = (points - self._centre) / (SPACING * self._scales)
        values = np.array([each.value for each in estimates])
        step = quadratic_step(offsets, values, REACH)
        self._candidate = self._centre + SPACING * self._scales * step

    def _check(self, points: NDArray[np.float64], estimates: Sequence[Estimate]) -> None:
        start, found = estimates
        missing = shortfall(start, found)
        self._candidate = None
        self._steps_left -= 1
        if missing is None:
            self._centre = points[1].copy()
            self._reading = Reading(points[1], found.value, found.standard_error)
            if not self._steps_left:
                self._stop = Stop(converged=False, reason="the last of its steps was taken")
        else:
            self._reading = Reading(points[0], start.value, start.standard_error)
            self._stop = Stop(converged=True, reason=f"no better angles can be told from these: {missing}")


def shortfall(start: Estimate, found: Estimate) -> str | None:
    """None where `found` is lower by `BELIEVED` standard errors of the difference, and rounding; else how far it is."""
    gain = start.value - found.value
    noise = BELIEVED * math.hypot(start.standard_error, found.standard_error)
    rounding = start.rounding_bound + found.rounding_bound
    if gain > noise + rounding:
        return None
    needed = f"rounding alone may be {rounding:.4g}" if rounding else f"{BELIEVED:g} standard errors are {noise:.4g}"
    return f"{gain:.4g} was shown, and {needed}"


def _design(count: int) -> NDArray[np.float64]:
    """Offsets that determine a quadratic: the centre, ± each axis, and + each pair of axes."""
    axes = np.eye(count)
    pairs = [axes[i] + axes[j] for i, j in itertools.combinations(range(count), 2)]
    return np.vstack((np.zeros((1, count)), axes, -axes, *(pair[None, :] for pair in pairs)))


def quadratic_step(offsets: NDArray[np.float64], values: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """The least point within `reach` of the quadratic that fits the values best (D. C. Sorensen, SIAM J. Numer. Anal.
    19 (1982) 409): (H + λ I) x = −g with the least λ ≥ 0 that keeps x within reach and H + λ I positive.
    """
    count = offsets.shape[1]
    upper = np.triu_indices(count)
    features = np.hstack((np.ones((len(offsets), 1)), offsets, offsets[:, upper[0]] * offsets[:, upper[1]]))
    coefficients = np.linalg.lstsq(features, values, rcond=None)[0]
    slope = coefficients[1 : count + 1]
    curvature = np.zeros((count, count))
    curvature[upper] = coefficients[count + 1 :]
    curvature = curvature + curvature.T
    eigenvalues, axes = np.linalg.eigh(curvature)
    along = axes.T @ slope

    def step(shift: float) -> NDArray[np.float64]:
        found: NDArray[np.float64] = -along / np.maximum(eigenvalues + shift, 1e-12)
        return found

    low = max(0.0, -float(eigenvalues[0]))
    if np.linalg.norm(step(low)) > reach:
        high = low + float(np.linalg.norm(along)) / reach
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if np.linalg.norm(step(middle)) > reach else (low, middle)
        low = high
    least: NDArray[np.float64] = axes @ step(low)
    return least
