"""SciPy's searches behind ask and tell: one minimization on a thread of its own, waiting for each value."""

from __future__ import annotations

import copy
import enum
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.minimization import Answer, Minimization, Search
from hybridloop.algorithms.optimizer import (
    JSON,
    Reading,
    Stop,
    checked_frequencies,
    checked_start,
    end_without_angles,
    lost_beyond_repair,
)
from hybridloop.algorithms.rounds import Lost
from hybridloop.algorithms.trigfit import Frequencies, fit, sample_offsets
from hybridloop.errors import InputError, ReplayDiverged

SAME_POINT_RAD = 1e-9


class Method(enum.StrEnum):
    """Which of SciPy's searches.

    COBYLA: linear interpolation in a shrinking trust region (M. J. D. Powell, in Advances in Optimization and Numerical
    Analysis, Kluwer 1994, 51; SciPy's port of PRIMA). COBYQA: quadratic interpolation (T. M. Ragonneau, thesis, Hong
    Kong Polytechnic University, 2022). Nelder-Mead: a simplex (Comput. J. 7 (1965) 308). Powell: line searches along
    directions that become conjugate (Comput. J. 7 (1964) 155). L-BFGS-B: quasi-Newton steps (R. H. Byrd et al., SIAM J.
    Sci. Comput. 16 (1995) 1190) with gradients by the parameter-shift rule, which, other than finite differences, are
    as large as the energy itself.
    """

    COBYLA = "cobyla"
    COBYQA = "cobyqa"
    NELDER_MEAD = "nelder-mead"
    POWELL = "powell"
    L_BFGS_B = "l-bfgs-b"


@dataclass(slots=True)
class ScipySearch:
    """One of SciPy's searches, an evaluation a round: a point or, for L-BFGS-B, a point with its gradient's shifts.

    `step_rad` is the first change of an angle, `tolerance_rad` the last; L-BFGS-B, which chooses its own first step,
    takes it for the slope in hartree per radian to end with. Nelder-Mead ends once its energies are within `tolerance`
    (hartree) of each other, too, if that is given. `frequencies` are what L-BFGS-B needs to know of each angle. One run
    of SciPy lives from the first `ask` to the end of the search, 1 ms a step for eight angles; COBYQA's is run anew for
    each. A restored or copied search starts a new one over the recorded values, by their index, and so goes the same
    way; so does one that a fork cut off. A lost point ends the search with an error.
    """

    can_skip: ClassVar[bool] = False

    initial_point: NDArray[np.float64]
    method: Method = Method.COBYLA
    step_rad: float = 0.3
    tolerance_rad: float = 0.02  # an energy known to 4 mHa places a minimum no better
    max_evaluations: int = 300
    frequencies: tuple[Frequencies, ...] | None = None
    tolerance: float | None = None
    _points: list[NDArray[np.float64]] = field(default_factory=list, init=False)
    _estimates: list[tuple[float, float]] = field(default_factory=list, init=False)  # energy, standard error
    _gradients: list[list[float]] = field(default_factory=list, init=False)  # none but for L-BFGS-B
    _asked: NDArray[np.float64] | None = field(default=None, init=False)
    _stop: Stop | None = field(default=None, init=False)
    _search: Search | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.initial_point = checked_start(self.initial_point)
        for name, value in (("step_rad", self.step_rad), ("tolerance_rad", self.tolerance_rad)):
            if not (value > 0 and math.isfinite(value)):
                raise InputError(name, f"{value} is not above 0", "Give a positive angle in radians.")
        if self.tolerance is not None and not (self.tolerance > 0 and math.isfinite(self.tolerance)):
            raise InputError("tolerance", f"{self.tolerance} is not above 0", "Give a positive energy in hartree.")
        if self.tolerance_rad > self.step_rad:
            problem = f"{self.tolerance_rad} is above {self.step_rad}, the first step"
            raise InputError("tolerance_rad", problem, "Give an angle of at most the first step.")
        least = least_evaluations(self.method, len(self.initial_point))
        if self.max_evaluations < least:
            raise InputError("max_evaluations", f"{self.max_evaluations} is below {least}", f"Give {least} or more.")
        if self.method is Method.L_BFGS_B:
            self.frequencies = checked_frequencies(self.frequencies or (), len(self.initial_point))
        self._stop = end_without_angles(self.initial_point)

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
        """The next point, with its shifts: each answer is needed for the next question."""
        if self._stop is None and self._asked is None:
            try:
                self._asked = self._next_point()
            except BaseException:  # an interruption too: SciPy is somewhere between two points then
                self._search = None  # what was interrupted midway starts anew from the records
                raise
        if self._asked is None:
            return np.empty((0, len(self.initial_point)))
        return np.vstack([self._asked, *(self._asked + shift for shift in self._shifts())])

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | Lost]) -> None:
        """Record the point and its energy, and its gradient where the method wants one."""
        known = [each for each in estimates if isinstance(each, Estimate)]
        if len(known) < len(estimates):
            raise lost_beyond_repair(self.method, estimates)
        if self.method is Method.L_BFGS_B:
            self._gradients.append(_gradient(self.frequencies or (), points, known))
        self._points.append(np.array(points[0], float))
        self._estimates.append((known[0].value, known[0].standard_error))
        self._asked = None

    def _next_point(self) -> NDArray[np.float64] | None:
        """The first point without a recorded value, or None when SciPy is done (`stop` is then set)."""
        search = self._search
        if search is None or search.pid != os.getpid():  # a forked process has no threads but the one that forked
            search = self._search = Search(self._minimization())
        while not isinstance(wanted := search.wanted, Stop):
            index = search.answered
            if index == len(self._points):
                if self.method is Method.COBYQA:
                    self._search = None  # SciPy lets one COBYQA run at a time: none may be left waiting
                return wanted
            distance = float(np.abs(wanted - self._points[index]).max())
            if distance > SAME_POINT_RAD:
                difference = f"evaluation {index} is {distance:.1e} rad away from the recorded one"
                raise ReplayDiverged(self.method, difference)
            search.answer(self._answer(index))
        self._stop, self._search = wanted, None
        return None

    def _answer(self, index: int) -> Answer:
        value = self._estimates[index][0]
        return (value, np.array(self._gradients[index], float)) if self._gradients else value

    def _minimization(self) -> Minimization:
        step, last, most = self.step_rad, self.tolerance_rad, self.max_evaluations
        axes = step * np.eye(len(self.initial_point))
        options: dict[Method, dict[str, Any]] = {
            Method.COBYLA: {"rhobeg": step, "tol": last, "maxiter": most},
            Method.COBYQA: {"initial_tr_radius": step, "final_tr_radius": last, "maxfev": most},
            Method.NELDER_MEAD: {
                "initial_simplex": np.vstack([self.initial_point, self.initial_point + axes]),
                "xatol": last,
                # the angles decide: equal energies may be noise
                "fatol": math.inf if self.tolerance is None else self.tolerance,
                "maxfev": most,
            },
            Method.POWELL: {"direc": axes, "xtol": last, "maxfev": most},
            Method.L_BFGS_B: {"gtol": last, "maxfun": most, "maxiter": most},
        }
        is_gradient = self.method is Method.L_BFGS_B
        return Minimization(str(self.method).upper(), self.initial_point, options[self.method], is_gradient)

    def _shifts(self) -> list[NDArray[np.float64]]:
        if self.method is not Method.L_BFGS_B:
            return []
        axes = np.eye(len(self.initial_point))
        return [offset * axes[i] for i, own in enumerate(self.frequencies or ()) for offset in sample_offsets(own)[1:]]

    def __copy__(self) -> Self:
        """A search of its own, which shares neither records nor SciPy with this one."""
        return copy.deepcopy(self)

    def _reading(self, index: int) -> Reading:
        return Reading(self._points[index], *self._estimates[index])

    def state(self) -> dict[str, JSON]:
        """All that the search knows."""
        return {
            "initial_point": self.initial_point.tolist(),
            "method": str(self.method),
            "step_rad": self.step_rad,
            "tolerance_rad": self.tolerance_rad,
            "max_evaluations": self.max_evaluations,
            "frequencies": None if self.frequencies is None else [list(each) for each in self.frequencies],
            "tolerance": self.tolerance,
            "points": [point.tolist() for point in self._points],
            "estimates": [list(each) for each in self._estimates],
            "gradients": [list(each) for each in self._gradients],
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """The optimizer whose `state` this is."""
        frequencies = None if state["frequencies"] is None else tuple(tuple(each) for each in state["frequencies"])
        limits = (state["step_rad"], state["tolerance_rad"], state["max_evaluations"])
        made = cls(
            np.array(state["initial_point"], float), Method(state["method"]), *limits, frequencies, state["tolerance"]
        )
        made._points = [np.array(point, float) for point in state["points"]]
        made._estimates = [(value, error) for value, error in state["estimates"]]
        made._gradients = [list(each) for each in state["gradients"]]
        return made


def least_evaluations(method: Method, angles: int) -> int:
    """As many as the method's first model takes, and one: it would raise fewer by itself, or fail."""
    return (2 * angles if method is Method.COBYQA else angles) + 2


def _gradient(
    frequencies: tuple[Frequencies, ...], points: NDArray[np.float64], estimates: Sequence[Estimate]
) -> list[float]:
    """Slopes at the first point, by the general shift rule (D. Wierichs et al., Quantum 6 (2022) 677)."""
    slopes, first = [], 1
    for angle, own in enumerate(frequencies):
        rows = [0, *range(first, first := first + len(sample_offsets(own)) - 1)]
        line = [(float(points[row, angle]), estimates[row].value, 1.0) for row in rows]  # equal weights: the shift rule
        fitted = fit(own, line, float(points[0, angle]))
        assert fitted is not None  # equally spaced points determine it
        slopes.append(fitted.slope(0.0))
    return slopes
