"""SciPy's minimizers behind ask and tell.

`scipy.optimize.minimize` calls its objective and can't be suspended, so it runs on a thread that waits for each value.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any, ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Frequencies, validate_initial_point
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import (
    PointEstimate,
    Stop,
    check_positive,
    missing_points_error,
    stop_without_angles,
    validate_frequencies,
)
from hybridloop.algorithms.optimizers.names import ScipyMethod
from hybridloop.algorithms.optimizers.trigonometric_model import fit_trigonometric, sample_offsets
from hybridloop.algorithms.rounds import SAME_RAD, FailedPoint
from hybridloop.errors import InvalidValue, ReplayDiverged

# with the gradient (n,) where the method uses one; of several points an array
ObjectiveValue = float | tuple[float, NDArray[np.float64]] | NDArray[np.float64]


class _Abandoned(Exception):
    """Ends SciPy's run after its optimizer was deleted."""


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """The end of a minimizer: the reason, and the point that it returned, (n,), if it is of use."""

    stop: Stop
    point: NDArray[np.float64] | None = None


class SuspendedMinimizer:
    """One run of a minimizer on a thread of its own: it asks for a value, waits for it, and asks for the next.

    `search` is called with the objective. `request` is the point whose value is missing, or the stop at the end, when
    `found` is the point returned. The thread has no reference to this object, only to the two queues; it ends with the
    search, or when this object is deleted.
    """

    def __init__(self, search: Callable[[Callable[..., Any]], End], name: str) -> None:
        self.pid = os.getpid()
        self.evaluations = 0
        self.found: NDArray[np.float64] | None = None
        self._requests: SimpleQueue[NDArray[np.float64] | End | BaseException] = SimpleQueue()
        self._values: SimpleQueue[ObjectiveValue | None] = SimpleQueue()
        # not at exit: a thread that wakes during the interpreter's shutdown crashes
        weakref.finalize(self, self._values.put, None).atexit = False
        threading.Thread(target=_run, args=(search, self._requests, self._values), name=name, daemon=True).start()
        self.request = self._next_request()

    def answer(self, value: ObjectiveValue) -> None:
        """Pass the value at the requested point to the minimizer and wait for its next request."""
        self._values.put(value)
        self.evaluations += 1
        self.request = self._next_request()

    def _next_request(self) -> NDArray[np.float64] | Stop:
        request = self._requests.get()
        if isinstance(request, BaseException):
            raise request
        if isinstance(request, End):
            self.found = request.point
            return request.stop
        return request


def _run(
    search: Callable[[Callable[..., Any]], End],
    requests: SimpleQueue[NDArray[np.float64] | End | BaseException],
    values: SimpleQueue[ObjectiveValue | None],
) -> None:
    """Run a minimizer (a thread's target): put each point, then its end or the raised error, into `requests`."""

    def objective(point: NDArray[np.float64], /) -> Any:
        requests.put(np.array(point, float))
        value = values.get()
        if value is None:
            raise _Abandoned
        return value

    try:
        requests.put(search(objective))
    except _Abandoned:
        return
    except BaseException as error:  # raised again in `_next_request`
        requests.put(error)


def _minimize(arguments: Mapping[str, Any], objective: Callable[..., Any]) -> End:
    """Run SciPy to its end."""
    result = scipy.optimize.minimize(objective, **arguments)
    reason = f"{arguments['method']} ended: {str(result.message).strip().rstrip('.')}"
    return End(Stop(converged=bool(result.success), reason=reason))


@dataclass(slots=True)
class ScipyOptimizer:
    """Optimizer by one of SciPy's methods, one evaluation per round: a point, or its gradient's shifts, too.

    `step_rad` is the first change of an angle, `tolerance_rad` the last. Methods that use gradients choose their own
    first step; for them, `tolerance_rad` is the slope to end with, in hartree per radian. With `tolerance` (hartree),
    Nelder-Mead also needs energies that agree within it. `frequencies` (of each angle) are needed for gradients alone.

    One run of SciPy lasts from the first `ask` to the end of the search, 1 ms a step for eight angles; COBYQA is run
    again for each step. After an interrupted `ask`, and in a forked process, a new run starts, whose evaluations are
    answered from the records, by index, so it continues identically. A failed point ends the search with an error.
    """

    can_skip: ClassVar[bool] = False

    initial_point: NDArray[np.float64]
    method: ScipyMethod = ScipyMethod.COBYLA
    step_rad: float = 0.3
    tolerance_rad: float = 0.02  # an energy known to 4 mHa places a minimum no better
    max_evaluations: int = 300
    frequencies: tuple[Frequencies, ...] | None = None
    tolerance: float | None = None
    _points: list[NDArray[np.float64]] = field(default_factory=list, init=False)
    _estimates: list[tuple[float, float]] = field(default_factory=list, init=False)  # energy, standard error
    _gradients: list[list[float]] = field(default_factory=list, init=False)
    _request: NDArray[np.float64] | None = field(default=None, init=False)
    stop: Stop | None = field(default=None, init=False)
    _thread: SuspendedMinimizer | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.initial_point = validate_initial_point(self.initial_point)
        check_positive("step_rad", self.step_rad, "angle in radians")
        check_positive("tolerance_rad", self.tolerance_rad, "angle in radians")
        if self.tolerance is not None:
            check_positive("tolerance", self.tolerance, "energy in hartree")
        if self.tolerance_rad > self.step_rad:
            problem = f"must be at most the first step, {self.step_rad}, got {self.tolerance_rad}"
            raise InvalidValue("tolerance_rad", problem)
        minimum = min_evaluations(self.method, len(self.initial_point))
        if self.max_evaluations < minimum:
            raise InvalidValue("max_evaluations", f"must be at least {minimum}, got {self.max_evaluations}")
        if self.method.uses_gradient:
            self.frequencies = validate_frequencies(self.frequencies or (), len(self.initial_point))
        self.stop = stop_without_angles(self.initial_point)

    @property
    def best(self) -> PointEstimate | None:
        if not self._points:
            return None
        return self._point_estimate(min(range(len(self._points)), key=lambda index: self._estimates[index][0]))

    def ask(self) -> NDArray[np.float64]:
        """Return the next point, with its gradient's shifts."""
        if self.stop is None and self._request is None:
            try:
                self._request = self._next_point()
            except BaseException:  # KeyboardInterrupt too, which leaves SciPy between two points
                self._thread = None  # the next `ask` starts a new run over the records
                raise
        if self._request is None:
            return np.empty((0, len(self.initial_point)))
        return np.vstack([self._request, *(self._request + shift for shift in self._shifts())])

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Record the point, its energy, and its gradient. Raises JobFailed for a failed point."""
        known = [estimate for estimate in estimates if isinstance(estimate, Estimate)]
        if len(known) < len(estimates):
            raise missing_points_error(self.method, estimates)
        if self.method.uses_gradient:
            self._gradients.append(_gradient(self.frequencies or (), points, known))
        self._points.append(np.array(points[0], float))
        self._estimates.append((known[0].value, known[0].expected_error))
        self._request = None

    def _next_point(self) -> NDArray[np.float64] | None:
        """Return SciPy's first point without a recorded value, or None at the end (`stop` is then set)."""
        thread = self._thread
        if thread is None or thread.pid != os.getpid():  # a fork copies only the thread that called it
            arguments = self._minimize_arguments()
            search = partial(_minimize, arguments)
            thread = self._thread = SuspendedMinimizer(search, arguments["method"].lower())
        while not isinstance(request := thread.request, Stop):
            index = thread.evaluations
            if index == len(self._points):
                if self.method is ScipyMethod.COBYQA:
                    self._thread = None  # SciPy runs one COBYQA at a time, so none may stay suspended
                return request
            distance = float(np.abs(request - self._points[index]).max())
            if distance > SAME_RAD:
                difference = f"evaluation {index} is {distance:.1e} rad away from the recorded one"
                raise ReplayDiverged(self.method, difference)
            thread.answer(self._recorded_value(index))
        self.stop, self._thread = request, None
        return None

    def _recorded_value(self, index: int) -> ObjectiveValue:
        value = self._estimates[index][0]
        return (value, np.array(self._gradients[index], float)) if self._gradients else value

    def _minimize_arguments(self) -> dict[str, Any]:
        """Return the arguments of `scipy.optimize.minimize`, apart from the objective."""
        step, last, most = self.step_rad, self.tolerance_rad, self.max_evaluations
        axes = step * np.eye(len(self.initial_point))
        options: dict[ScipyMethod, dict[str, Any]] = {
            ScipyMethod.COBYLA: {"rhobeg": step, "tol": last, "maxiter": most},
            ScipyMethod.COBYQA: {"initial_tr_radius": step, "final_tr_radius": last, "maxfev": most},
            ScipyMethod.NELDER_MEAD: {
                "initial_simplex": np.vstack([self.initial_point, self.initial_point + axes]),
                "xatol": last,
                # by default the angles alone decide: equal energies may be noise
                "fatol": math.inf if self.tolerance is None else self.tolerance,
                "maxfev": most,
            },
            ScipyMethod.POWELL: {"direc": axes, "xtol": last, "maxfev": most},
            ScipyMethod.L_BFGS_B: {"gtol": last, "maxfun": most, "maxiter": most},
            ScipyMethod.TNC: {"gtol": last, "maxfun": most},
            ScipyMethod.SLSQP: {"ftol": last**2, "maxiter": most},  # of the energy, quadratic in the slope
        }
        method, jac = str(self.method).upper(), self.method.uses_gradient or None
        return {
            "method": method,
            "x0": self.initial_point,
            "jac": jac,
            "options": options.get(self.method, {"gtol": last, "maxiter": most}),
        }

    def _shifts(self) -> list[NDArray[np.float64]]:
        if not self.method.uses_gradient:
            return []
        axes = np.eye(len(self.initial_point))
        return [
            offset * axes[angle]
            for angle, numbers in enumerate(self.frequencies or ())
            for offset in sample_offsets(numbers)[1:]
        ]

    def _point_estimate(self, index: int) -> PointEstimate:
        return PointEstimate(self._points[index], *self._estimates[index])


def min_evaluations(method: ScipyMethod, angles: int) -> int:
    """Smallest limit of evaluations: the method's first model and one more; with fewer, SciPy fails or adds some."""
    return (2 * angles if method is ScipyMethod.COBYQA else angles) + 2


def _gradient(
    frequencies: tuple[Frequencies, ...], points: NDArray[np.float64], estimates: Sequence[Estimate]
) -> list[float]:
    """Gradient at the first point by the general parameter-shift rule (D. Wierichs et al., Quantum 6 (2022) 677)."""
    slopes, first = [], 1
    for angle, numbers in enumerate(frequencies):
        rows = [0, *range(first, first := first + len(sample_offsets(numbers)) - 1)]
        line = [(float(points[row, angle]), estimates[row].value, 1.0) for row in rows]  # equal weights: the shift rule
        model = fit_trigonometric(numbers, line, float(points[0, angle]))
        assert model is not None  # equally spaced points determine it
        slopes.append(model.slope(0.0))
    return slopes
