"""Registry of the optimizers by name, with the settings each supports, and the automatic choice for an ansatz."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.optimizers import gradient, pairwise_fit, slope_fit, spsa
from hybridloop.algorithms.optimizers.base import Optimizer, Termination
from hybridloop.algorithms.optimizers.gradient import ParallelGradient
from hybridloop.algorithms.optimizers.pairwise_fit import PairwiseFit
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.optimizers.scipy import ScipyMethod, ScipyOptimizer, min_evaluations
from hybridloop.algorithms.optimizers.slope_fit import SlopeFit
from hybridloop.algorithms.optimizers.spsa import Spsa
from hybridloop.errors import InputError

TERMINATION_SETTINGS = ("tolerance", "patience", "gradient_norm")  # settings that an optimizer may support
MEMBERS = ("can_skip", "ask", "tell", "current", "best", "stop")  # of `Optimizer`
_ROTOSOLVE_TOLERANCE = 2e-4  # hartree
MAX_ANGLES_IN_PAIRS = 8  # with more, the process has too many dimensions to be certain anywhere
_MAX_SPSA_STEP_RAD = 0.6  # longer steps in random directions overshoot


@dataclass(frozen=True, slots=True, eq=False)
class SearchSettings:
    """Settings of a search: the ansatz with its initial point, the seed, and the termination settings.

    `is_near` is true if the initial point is near the minimum, such as Hartree-Fock, and not random. `seed` is for the
    optimizer's random numbers: with the same seed it must ask for the same points. `max_rounds` is enforced by the
    caller. `tolerance` (hartree), `patience` (rounds) and `gradient_norm` (hartree per radian) are None where they were
    not set; `Termination` defines them.
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
        """First change of an angle, in radians."""
        return 0.3 if self.is_near else 1.0

    def termination(self, default: Termination) -> Termination:
        """Return the default with the settings applied.

        Its own limit is one round above `max_rounds`, so that the caller's limit ends the search and is reported.
        """
        settings = {name: value for name in TERMINATION_SETTINGS if (value := getattr(self, name)) is not None}
        return replace(default, max_rounds=self.max_rounds + 1, **settings)


@dataclass(frozen=True, slots=True)
class OptimizerSpec:
    """Registered optimizer; a plug-in's entry point refers to one of these.

    `make` creates the optimizer (see `hybridloop.algorithms.optimizers.base.Optimizer`). `honours` names the settings
    that it supports: tolerance, patience, gradient_norm. `does` is a description of one line.
    """

    make: Callable[[SearchSettings], Optimizer]
    honours: frozenset[str] = frozenset()
    does: str = ""

    def create(self, name: str, settings: SearchSettings) -> Optimizer:
        """Create the optimizer. Raises InputError for an unsupported setting or a missing method of `Optimizer`."""
        for setting in TERMINATION_SETTINGS:
            if getattr(settings, setting) is not None and setting not in self.honours:
                others = ", ".join(other for other, spec in OPTIMIZERS.items() if setting in spec.honours)
                problem = f"the optimizer {name} does not support it"
                raise InputError(setting, problem, f"Leave it out, or choose another optimizer: {others}.")
        optimizer = self.make(settings)
        if missing := [member for member in MEMBERS if not hasattr(optimizer, member)]:
            problem = f"{name} creates a {type(optimizer).__name__} without {', '.join(missing)}"
            remedy = "Implement all members of hybridloop.algorithms.optimizers.base.Optimizer."
            raise InputError("optimizer", problem, remedy)
        return optimizer


def _rotosolve(settings: SearchSettings) -> Optimizer:
    tolerance = _ROTOSOLVE_TOLERANCE if settings.tolerance is None else settings.tolerance
    return Rotosolve(settings.ansatz.initial_point, settings.ansatz.frequencies, tolerance, settings.max_rounds + 1)


def _pairwise_fit(settings: SearchSettings) -> Optimizer:
    termination = settings.termination(pairwise_fit.DEFAULT_TERMINATION)
    return PairwiseFit(settings.ansatz.initial_point, settings.ansatz.frequencies, termination)


def _gradient(settings: SearchSettings) -> Optimizer:
    termination = settings.termination(gradient.DEFAULT_TERMINATION)
    return ParallelGradient(settings.ansatz.initial_point, settings.ansatz.frequencies, termination)


def _slope_fit(settings: SearchSettings) -> Optimizer:
    termination = settings.termination(slope_fit.DEFAULT_TERMINATION)
    return SlopeFit(settings.ansatz.initial_point, settings.ansatz.frequencies, termination)


def _spsa(optimizer: type[Spsa]) -> Callable[[SearchSettings], Optimizer]:
    return lambda settings: optimizer(
        settings.ansatz.initial_point,
        settings.seed,
        step_rad=min(settings.step_rad, _MAX_SPSA_STEP_RAD),
        termination=settings.termination(spsa.DEFAULT_TERMINATION),
    )


def _scipy(method: ScipyMethod) -> Callable[[SearchSettings], Optimizer]:
    def make(settings: SearchSettings) -> Optimizer:
        step, last = settings.step_rad, 0.02
        if settings.gradient_norm is not None:
            # SciPy tests the steepest single angle; if all are that steep, the gradient has the norm that was set
            last = settings.gradient_norm / math.sqrt(max(settings.ansatz.num_parameters, 1))
            step = max(step, last)
        return ScipyOptimizer(
            settings.ansatz.initial_point,
            method,
            step_rad=step,
            tolerance_rad=last,
            # above `max_rounds`, which the caller enforces, and enough for the method's first model
            max_evaluations=max(settings.max_rounds + 1, min_evaluations(method, settings.ansatz.num_parameters)),
            frequencies=settings.ansatz.frequencies,
            tolerance=settings.tolerance,
        )

    return make


def _honoured_by(method: ScipyMethod) -> frozenset[str]:
    """Return the termination settings of a method of SciPy's; SLSQP ends by the energy alone."""
    if method is ScipyMethod.NELDER_MEAD:
        return _TOLERANCE
    return _GRADIENT_NORM if method.uses_gradient and method is not ScipyMethod.SLSQP else frozenset()


SCIPY = "scipy:"  # begins the name of one of SciPy's methods
_ALL = frozenset(TERMINATION_SETTINGS)
_TOLERANCE, _GRADIENT_NORM = frozenset({"tolerance"}), frozenset({"gradient_norm"})
OPTIMIZERS: Mapping[str, OptimizerSpec] = {
    "rotosolve": OptimizerSpec(_rotosolve, _TOLERANCE, "one angle a round, to its exact minimum"),
    "pairs": OptimizerSpec(_pairwise_fit, _ALL, "two angles a round, then all; a Gaussian process of all data"),
    "gradient": OptimizerSpec(_gradient, _ALL, "Newton steps by parameter shifts of all angles; near the minimum"),
    "quasi-newton": OptimizerSpec(_slope_fit, _ALL, "Newton steps in a trust region, from the slopes of all rounds"),
    "spsa": OptimizerSpec(_spsa(Spsa), _ALL, "simultaneous perturbation (SPSA): random directions of all angles"),
    "cobyla": OptimizerSpec(_scipy(ScipyMethod.COBYLA), does="linear models in a shrinking trust region"),
    **{
        f"{SCIPY}{method}": OptimizerSpec(
            _scipy(method),
            _honoured_by(method),
            f"SciPy's {method}" + ", with gradients by parameter shifts" * method.uses_gradient,
        )
        for method in ScipyMethod
    },
}


@dataclass(frozen=True, slots=True)
class OptimizerChoice:
    """An automatically chosen optimizer, its name, and the reason as a clause."""

    optimizer: Optimizer
    name: str
    reason: str


def choose_optimizer(ansatz: Ansatz) -> OptimizerChoice:
    """Choose the optimizer that needs the fewest rounds from the ansatz's initial point.

    A start at the reference determinant (all angles 0) is near the minimum, and so is one marked `is_near`; any other
    counts as far from it. A reference marked `is_far` counts as near only where the angles are too many for a model of
    all: slopes from there are better than nothing.
    """
    start, frequencies = ansatz.initial_point, ansatz.frequencies
    if not ansatz.has_frequencies:
        reason = "the energy's frequencies in the angles are unknown"
        return OptimizerChoice(ScipyOptimizer(start, ScipyMethod.COBYLA), "cobyla", reason)
    if len(start) <= 1:
        return OptimizerChoice(Rotosolve(start, frequencies), "rotosolve", "a fit of one angle is global")
    are_few = len(start) <= MAX_ANGLES_IN_PAIRS
    if ansatz.is_far and are_few:
        reason = f"the reference state is far from the minimum, and fits of two of the {len(start)} angles are global"
        return OptimizerChoice(PairwiseFit(start, frequencies), "pairs", reason)
    if ansatz.is_ramp:
        reason = f"a ramp of {len(start)} shared angles starts near a path to the minimum, not near the minimum"
        return OptimizerChoice(SlopeFit(start, frequencies), "quasi-newton", reason)
    if ansatz.starts_near:
        origin = "a start near the minimum" if start.any() else "the reference state"
        reason = f"from {origin}, one round measures the slopes of all {len(start)} angles"
        return OptimizerChoice(ParallelGradient(start, frequencies), "gradient", reason)
    if are_few:
        reason = f"from an arbitrary start, fits of two of the {len(start)} angles are global in both"
        return OptimizerChoice(PairwiseFit(start, frequencies), "pairs", reason)
    reason = f"from an arbitrary start, {len(start)} angles are too many for a model of all"
    return OptimizerChoice(Rotosolve(start, frequencies), "rotosolve", reason)
