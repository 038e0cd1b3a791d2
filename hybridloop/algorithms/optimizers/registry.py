"""Registry of the optimizers by name, with the settings each supports, and the automatic choice for an ansatz."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.optimizers.base import Optimizer
from hybridloop.algorithms.optimizers.names import (
    DEFAULT_TOLERANCE,
    FIRST_SHOTS,
    NEAR_SHOTS,
    ROTOSOLVE,
    TRUST_REGION,
    ScipyMethod,
)
from hybridloop.errors import InputError
from hybridloop.runtime.leaves import leaf

if TYPE_CHECKING:
    from hybridloop.algorithms.optimizers import rotosolve, trust_region
    from hybridloop.algorithms.optimizers import scipy as scipy_optimizers
else:
    scipy_optimizers = leaf("hybridloop.algorithms.optimizers.scipy")
    trust_region = leaf("hybridloop.algorithms.optimizers.trust_region")
    rotosolve = leaf("hybridloop.algorithms.optimizers.rotosolve")

TERMINATION_SETTINGS = ("tolerance", "gradient_norm")  # settings that an optimizer may support
MEMBERS = ("can_skip", "ask", "tell", "best", "stop")  # of `Optimizer`
_ROTOSOLVE_TOLERANCE = 2e-4  # hartree


@dataclass(frozen=True, slots=True, eq=False)
class SearchSettings:
    """Settings of a search: the ansatz with its initial point, the seed, and the termination settings.

    `is_near` is true if the initial point is known or given, such as Hartree-Fock, and not random. `seed` is for the
    optimizer's random numbers: with the same seed it must ask for the same points. `max_rounds` is enforced by the
    caller. `tolerance` (the energy's unit) and `gradient_norm` (per radian) are None where they were not set. An
    optimizer that chooses its shots gives a point at least `least_shots`, or in the first round `shots`, where they are
    set.
    """

    ansatz: Ansatz
    is_near: bool
    seed: int
    max_rounds: int
    shots: int | None = None
    least_shots: int = FIRST_SHOTS
    tolerance: float | None = None
    gradient_norm: float | None = None

    @property
    def step_rad(self) -> float:
        """First change of an angle, in radians."""
        return 0.3 if self.is_near else 1.0


@dataclass(frozen=True, slots=True)
class OptimizerSpec:
    """Registered optimizer; a plug-in's entry point refers to one of these.

    `make` creates the optimizer (see `hybridloop.algorithms.optimizers.base.Optimizer`). `honours` names the settings
    that it supports: tolerance, gradient_norm. `does` is a description of one line.
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
    return rotosolve.Rotosolve(
        settings.ansatz.initial_point, settings.ansatz.frequencies, tolerance, settings.max_rounds + 1
    )


def _trust_region(settings: SearchSettings) -> Optimizer:
    first = settings.shots or max(settings.least_shots, NEAR_SHOTS if settings.is_near else FIRST_SHOTS)
    return trust_region.TrustRegion(
        settings.ansatz.initial_point,
        settings.ansatz.frequencies,
        DEFAULT_TOLERANCE if settings.tolerance is None else settings.tolerance,
        first,
        settings.least_shots,
        is_random=not (settings.is_near or settings.ansatz.is_ramp),
        seed=settings.seed,
    )


def _scipy(method: ScipyMethod) -> Callable[[SearchSettings], Optimizer]:
    def make(settings: SearchSettings) -> Optimizer:
        step, last = settings.step_rad, 0.02
        if settings.gradient_norm is not None:
            # SciPy tests the steepest single angle; if all are that steep, the gradient has the norm that was set
            last = settings.gradient_norm / math.sqrt(max(settings.ansatz.num_parameters, 1))
            step = max(step, last)
        return scipy_optimizers.ScipyOptimizer(
            settings.ansatz.initial_point,
            method,
            step_rad=step,
            tolerance_rad=last,
            # above `max_rounds`, which the caller enforces, and enough for the method's first model
            max_evaluations=max(
                settings.max_rounds + 1, scipy_optimizers.min_evaluations(method, settings.ansatz.num_parameters)
            ),
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
_TOLERANCE, _GRADIENT_NORM = frozenset({"tolerance"}), frozenset({"gradient_norm"})
OPTIMIZERS: Mapping[str, OptimizerSpec] = {
    TRUST_REGION: OptimizerSpec(_trust_region, _TOLERANCE, "Newton steps in a trust region; chooses its shots"),
    ROTOSOLVE: OptimizerSpec(_rotosolve, _TOLERANCE, "one angle a round, to its exact minimum"),
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
    """The name of an automatically chosen optimizer, and the reason as a clause."""

    name: str
    reason: str


def choose_optimizer(ansatz: Ansatz) -> OptimizerChoice:
    """Choose the optimizer: Rotosolve for one angle of known frequencies, whose fit is global; else `TrustRegion`."""
    if len(ansatz.initial_point) == 1 and ansatz.has_frequencies:
        return OptimizerChoice(ROTOSOLVE, "a fit of one angle is global")
    return OptimizerChoice(
        TRUST_REGION, f"one round measures the slopes and curvatures of all {ansatz.num_parameters} angles"
    )
