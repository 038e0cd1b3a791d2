"""SciPy's COBYLA behind ask and tell: one minimization on a thread of its own, waiting for each value."""

from __future__ import annotations

import copy
import math
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.optimizer import JSON, Reading, Stop, checked_start, lost_beyond_repair
from hybridloop.algorithms.rounds import Lost
from hybridloop.errors import InputError, ReplayDiverged

SAME_POINT_RAD = 1e-9


class _Dropped(Exception):
    """Nobody waits for the search any more."""


class _Search:
    """One run of SciPy, which asks for a value, waits for it, and asks for the next.

    SciPy calls what it minimizes and can't be left halfway but by a thread of its own. That thread knows the two queues
    and nothing else of its asker, and ends with the search, or once this object is gone.
    """

    def __init__(self, start: NDArray[np.float64], step_rad: float, tolerance_rad: float, max_evaluations: int) -> None:
        self.pid = os.getpid()
        self.answered = 0  # evaluations
        self._wants: SimpleQueue[NDArray[np.float64] | Stop | BaseException] = SimpleQueue()
        self._values: SimpleQueue[float | None] = SimpleQueue()
        given = (start, step_rad, tolerance_rad, max_evaluations, self._wants, self._values)
        # not at exit: a thread that is woken while the interpreter is taken down has nothing to stand on
        weakref.finalize(self, self._values.put, None).atexit = False
        threading.Thread(target=_minimize, args=given, name="cobyla", daemon=True).start()
        self.wanted = self._next()  # the point whose value is missing, or why there is none

    def answer(self, value: float) -> None:
        """Give the value at the wanted point, and wait for the next one."""
        self._values.put(value)
        self.answered += 1
        self.wanted = self._next()

    def _next(self) -> NDArray[np.float64] | Stop:
        wanted = self._wants.get()
        if isinstance(wanted, BaseException):
            raise wanted
        return wanted

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """A copy of an optimizer has no search: it starts its own when it is asked."""
        return type(None), ()


def _minimize(
    start: NDArray[np.float64],
    step_rad: float,
    tolerance_rad: float,
    max_evaluations: int,
    wants: SimpleQueue[NDArray[np.float64] | Stop | BaseException],
    values: SimpleQueue[float | None],
) -> None:
    """Run SciPy: a thread's work, which hands over points and, last, why the search ended or the error it raised."""

    def measured(point: NDArray[np.float64]) -> float:
        wants.put(np.array(point, float))
        value = values.get()
        if value is None:
            raise _Dropped
        return value

    try:
        outcome = minimize(
            measured,
            start,
            method="COBYLA",
            tol=tolerance_rad,
            options={"rhobeg": step_rad, "maxiter": max_evaluations},
        )
    except _Dropped:
        return
    except BaseException as fault:  # raised again where the point is waited for
        wants.put(fault)
        return
    converged = bool(outcome.success)
    reason = "COBYLA's trust region reached its final size" if converged else f"COBYLA ended: {outcome.message}"
    wants.put(Stop(converged=converged, reason=reason))


@dataclass(slots=True)
class Cobyla:
    """Linear interpolation in a shrinking trust region, one point a round; SciPy's port of PRIMA.

    M. J. D. Powell, in Advances in Optimization and Numerical Analysis (Kluwer, 1994) 51. `step_rad` is the first
    change of an angle, `tolerance_rad` the last. One run of SciPy lives from the first `ask` to the end of the search,
    1 ms a step for eight angles. A restored or copied search starts a new one over the recorded values, by their index,
    and so goes the same way; so does one that a fork cut off. A lost point ends the search with an error.
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
    _search: _Search | None = field(default=None, init=False, repr=False, compare=False)

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
            try:
                self._asked = self._next_point()
            except BaseException:  # an interruption too: SciPy is somewhere between two points then
                self._search = None  # what was interrupted midway starts anew from the records
                raise
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

    def _next_point(self) -> NDArray[np.float64] | None:
        """The first point without a recorded value, or None when SciPy is done (`stop` is then set)."""
        search = self._search
        if search is None or search.pid != os.getpid():  # a forked process has no threads but the one that forked
            given = (self.step_rad, self.tolerance_rad, self.max_evaluations)
            search = self._search = _Search(self.initial_point, *given)
        while not isinstance(wanted := search.wanted, Stop):
            index = search.answered
            if index == len(self._points):
                return wanted
            distance = float(np.abs(wanted - self._points[index]).max())
            if distance > SAME_POINT_RAD:
                raise ReplayDiverged("cobyla", f"evaluation {index} is {distance:.1e} rad away from the recorded one")
            search.answer(self._estimates[index][0])
        self._stop, self._search = wanted, None
        return None

    def __copy__(self) -> Self:
        """A search of its own, which shares neither records nor SciPy with this one."""
        return copy.deepcopy(self)

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
