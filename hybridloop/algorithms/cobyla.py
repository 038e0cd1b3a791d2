"""SciPy's COBYLA behind ask and tell: replayed from the recorded values, so that nothing runs between rounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.optimizer import JSON, Reading, Stop, checked_start, lost_beyond_repair
from hybridloop.algorithms.rounds import Lost
from hybridloop.errors import InputError, ReplayDiverged

SAME_POINT_RAD = 1e-9


class _NextPoint(Exception):
    """SciPy wants a value that is not recorded yet."""

    def __init__(self, point: NDArray[np.float64]) -> None:
        super().__init__(point)
        self.point = point


@dataclass(slots=True)
class Cobyla:
    """Linear interpolation in a shrinking trust region, one point a round; SciPy's port of PRIMA.

    M. J. D. Powell, in Advances in Optimization and Numerical Analysis (Kluwer, 1994) 51. `step_rad` is the first
    change of an angle, `tolerance_rad` the last. Each `ask` runs SciPy from the start over the recorded values, by
    their index, up to the first that is missing: below 1 ms for each recorded value, no thread to leak, and a
    restored search goes the same way. A lost point ends the search with an error.
    """

    can_skip: ClassVar[bool] = False

    initial_point: NDArray[np.float64]
    step_rad: float = 0.3
    tolerance_rad: float = 0.02  # an energy known to 4 mHa places a minimum no better
    max_evaluations: int = 300
    _points: list[NDArray[np.float64]] = field(default_factory=list, init=False)
    _estimates: list[tuple[float, float]] = field(default_factory=list, init=False)  # energy, standard error
    _asked: NDArray[np.float64] | None = field(default=None, init=False)
    _stop: Stop | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.initial_point = checked_start(self.initial_point)
        for name, value in (("step_rad", self.step_rad), ("tolerance_rad", self.tolerance_rad)):
            if not (value > 0 and math.isfinite(value)):
                raise InputError(name, f"{value} is not above 0", "Give a positive angle in radians.")
        if self.tolerance_rad > self.step_rad:
            problem = f"{self.tolerance_rad} is above {self.step_rad}, the first step"
            raise InputError("tolerance_rad", problem, "Give an angle of at most the first step.")
        least = len(self.initial_point) + 2  # COBYLA's first model takes as many, and it would raise fewer by itself
        if self.max_evaluations < least:
            raise InputError("max_evaluations", f"{self.max_evaluations} is below {least}", f"Give {least} or more.")
        if not len(self.initial_point):
            self._stop = Stop(converged=True, reason="the circuit has no angle to vary")

    @property
    def current(self) -> Reading | None:
        """The point measured last."""
        return self._reading(len(self._points) - 1) if self._points else None

    @property
    def best(self) -> Reading | None:
        """The point with the lowest energy so far."""
        if not self._points:
            return None
        return self._reading(min(range(len(self._points)), key=lambda index: self._estimates[index][0]))

    @property
    def stop(self) -> Stop | None:
        """Set once the search is over."""
        return self._stop

    def ask(self) -> NDArray[np.float64]:
        """The next point, alone: COBYLA needs each answer for the next question."""
        if self._stop is None and self._asked is None:
            self._asked = self._replayed()
        if self._asked is None:
            return np.empty((0, len(self.initial_point)))
        return self._asked[None, :].copy()

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | Lost]) -> None:
        """Record the point and its energy."""
        (point,), (estimate,) = points, estimates
        if isinstance(estimate, Lost):
            raise lost_beyond_repair("cobyla", [estimate])
        self._points.append(np.array(point, float))
        self._estimates.append((estimate.value, estimate.standard_error))
        self._asked = None

    def _replayed(self) -> NDArray[np.float64] | None:
        """The first point without a recorded value, or None when SciPy is done (`stop` is then set)."""
        index = 0

        def recorded(point: NDArray[np.float64]) -> float:
            nonlocal index
            if index == len(self._points):
                raise _NextPoint(np.array(point, float))
            distance = float(np.abs(point - self._points[index]).max())
            if distance > SAME_POINT_RAD:
                raise ReplayDiverged("cobyla", f"evaluation {index} is {distance:.1e} rad away from the recorded one")
            index += 1
            return self._estimates[index - 1][0]

        try:
            outcome = minimize(
                recorded,
                self.initial_point,
                method="COBYLA",
                tol=self.tolerance_rad,
                options={"rhobeg": self.step_rad, "maxiter": self.max_evaluations},
            )
        except _NextPoint as wanted:
            return wanted.point
        converged = bool(outcome.success)
        reason = "COBYLA's trust region reached its final size" if converged else f"COBYLA ended: {outcome.message}"
        self._stop = Stop(converged=converged, reason=reason)
        return None

    def _reading(self, index: int) -> Reading:
        return Reading(self._points[index], *self._estimates[index])

    def state(self) -> dict[str, JSON]:
        """All that the search knows."""
        return {
            "initial_point": self.initial_point.tolist(),
            "step_rad": self.step_rad,
            "tolerance_rad": self.tolerance_rad,
            "max_evaluations": self.max_evaluations,
            "points": [point.tolist() for point in self._points],
            "estimates": [list(each) for each in self._estimates],
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """The optimizer whose `state` this is."""
        start = np.array(state["initial_point"], float)
        made = cls(start, state["step_rad"], state["tolerance_rad"], state["max_evaluations"])
        made._points = [np.array(point, float) for point in state["points"]]
        made._estimates = [(value, error) for value, error in state["estimates"]]
        return made
