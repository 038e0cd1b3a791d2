"""The searches by name: how each is begun for an ansatz, and which settings of its end it goes by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hybridloop.algorithms import gradient, pairs, spsa
from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.gradient import ParallelGradient
from hybridloop.algorithms.optimizer import Optimizer
from hybridloop.algorithms.pairs import PairFits
from hybridloop.algorithms.qn_spsa import QnSpsa
from hybridloop.algorithms.scipy_search import Method, ScipySearch, least_evaluations
from hybridloop.algorithms.spsa import Spsa
from hybridloop.algorithms.termination import Termination
from hybridloop.algorithms.trigonometric import Rotosolve
from hybridloop.errors import InputError

ENDINGS = ("tolerance", "patience", "gradient_norm")  # the settings that a search may go by or not
_MEMBERS = ("can_skip", "ask", "tell", "current", "best", "stop", "state")  # of `Optimizer`
_ROTOSOLVE_TOLERANCE = 2e-4  # hartree
_FAR_RAD = 0.6  # for steps in random directions: longer ones overshoot


@dataclass(frozen=True, slots=True, eq=False)
class Outset:
    """What a search is begun with: the ansatz with its start, and what was said of the end.

    `is_near` says that the start is near the minimum, as Hartree-Fock is, and was not drawn by chance. `seed` is for
    what the search draws itself: with the same seed it must ask the same. `max_rounds` ends the search from outside,
    whatever it does. `tolerance` (hartree), `patience` (rounds) and `gradient_norm` (hartree per radian) are None where
    nobody set them; what they mean is said in `Termination`.
    """

    ansatz: Ansatz
    is_near: bool
    seed: int
    max_rounds: int
    tolerance: float | None = None
    patience: int | None = None
    gradient_norm: float | None = None

    @property
    def step_rad(self) -> float:
        """A first change of an angle."""
        return 0.3 if self.is_near else 1.0

    def termination(self, default: Termination) -> Termination:
        """The default with what was set. The limit of rounds lies above `max_rounds`, which thus is what is told."""
        given = {name: value for name in ENDINGS if (value := getattr(self, name)) is not None}
        return replace(default, max_rounds=self.max_rounds + 1, **given)


@dataclass(frozen=True, slots=True)
class Search:
    """A search as it is offered by name; a plug-in's entry point leads to one of these.

    `make` gives the optimizer (see `hybridloop.algorithms.optimizer.Optimizer`); `honours` are those of tolerance,
    patience and gradient_norm that it goes by; `does` is a line that says what it is.
    """

    make: Callable[[Outset], Optimizer]
    honours: frozenset[str] = frozenset()
    does: str = ""

    def begun(self, name: str, outset: Outset) -> Optimizer:
        """The optimizer. Raises InputError for a setting that it does not go by, or where it is none."""
        for setting in ENDINGS:
            if getattr(outset, setting) is not None and setting not in self.honours:
                others = ", ".join(other for other, each in SEARCHES.items() if setting in each.honours)
                raise InputError(setting, f"the search {name} does not go by it", f"Leave it out, or choose: {others}.")
        made = self.make(outset)
        if missing := [member for member in _MEMBERS if not hasattr(made, member)]:
            problem = f"what {name} makes, a {type(made).__name__}, has no {', '.join(missing)}"
            raise InputError("optimizer", problem, "Give it all that hybridloop.algorithms.optimizer.Optimizer has.")
        return made


def _rotosolve(outset: Outset) -> Optimizer:
    tolerance = _ROTOSOLVE_TOLERANCE if outset.tolerance is None else outset.tolerance
    return Rotosolve(outset.ansatz.initial_point, outset.ansatz.frequencies, tolerance, outset.max_rounds)


def _pairs(outset: Outset) -> Optimizer:
    termination = outset.termination(pairs.DEFAULT_TERMINATION)
    return PairFits(outset.ansatz.initial_point, outset.ansatz.frequencies, termination)


def _gradient(outset: Outset) -> Optimizer:
    termination = outset.termination(gradient.DEFAULT_TERMINATION)
    return ParallelGradient(outset.ansatz.initial_point, outset.ansatz.frequencies, termination)


def _spsa(outset: Outset) -> Optimizer:
    termination = outset.termination(spsa.DEFAULT_TERMINATION)
    return Spsa(
        outset.ansatz.initial_point, outset.seed, step_rad=min(outset.step_rad, _FAR_RAD), termination=termination
    )


def _qn_spsa(outset: Outset) -> Optimizer:
    termination = outset.termination(spsa.DEFAULT_TERMINATION)
    return QnSpsa(
        outset.ansatz.initial_point, outset.seed, step_rad=min(outset.step_rad, _FAR_RAD), termination=termination
    )


def _scipys(method: Method) -> Callable[[Outset], Optimizer]:
    def make(outset: Outset) -> Optimizer:
        step, last = outset.step_rad, 0.02
        if method is Method.L_BFGS_B and outset.gradient_norm is not None:
            # it goes by the steepest single angle: all of them that steep make a slope of the norm that was set
            last = outset.gradient_norm / math.sqrt(max(outset.ansatz.num_parameters, 1))
            step = max(step, last)
        return ScipySearch(
            outset.ansatz.initial_point,
            method,
            step_rad=step,
            tolerance_rad=last,
            # `max_rounds` is the limit; the method's own lies above it, and leaves room for its first model
            max_evaluations=max(outset.max_rounds + 1, least_evaluations(method, outset.ansatz.num_parameters)),
            frequencies=outset.ansatz.frequencies,
            tolerance=outset.tolerance,
        )

    return make


_ALL = frozenset(ENDINGS)
SEARCHES: Mapping[str, Search] = {
    "rotosolve": Search(_rotosolve, frozenset({"tolerance"}), "one angle a round, to its exact minimum"),
    "pairs": Search(_pairs, _ALL, "two angles a round from anywhere, then all; one model of all that was measured"),
    "gradient": Search(_gradient, _ALL, "all slopes and curvatures in a round, pooled over rounds; near the minimum"),
    "spsa": Search(_spsa, _ALL, "random directions of all angles at once"),
    "qn-spsa": Search(_qn_spsa, _ALL, "the same by the states' own metric, from overlaps measured beside"),
    "cobyla": Search(_scipys(Method.COBYLA), does="linear models in a shrinking trust region"),
    "cobyqa": Search(_scipys(Method.COBYQA), does="quadratic models in a shrinking trust region"),
    "nelder-mead": Search(_scipys(Method.NELDER_MEAD), frozenset({"tolerance"}), "a simplex that moves and shrinks"),
    "powell": Search(_scipys(Method.POWELL), does="line searches along directions that become conjugate"),
    "l-bfgs-b": Search(_scipys(Method.L_BFGS_B), frozenset({"gradient_norm"}), "quasi-Newton steps by shifted slopes"),
}
