"""Progress of an algorithm by round, and its outcome: value, error, parameters and reason to stop."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.doubt import Doubt
from hybridloop.algorithms.error_budget import ErrorSource, error_budget, interval95
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.final import FinalMeasurement
from hybridloop.algorithms.optimizers.base import PointEstimate

Table = tuple[Mapping[str, Any], ...]  # plain values by column, as JSON has them; all rows have the same columns


@dataclass(frozen=True, slots=True)
class RoundProgress:
    """Progress after one round; `phase` is "search" or "final"; energies in hartree, angles in radians.

    In a search, value and standard error were measured at `point`, the centre of the round; where the optimizer has no
    centre or its job failed, `point` has the lowest upper bound so far (value plus two standard errors). In the final
    phase they pool all measurements at `point`. `circuits` counts pairs of point and group; each is one job, or several
    above a target's limit of shots. `total_shots` counts from the start of the run.
    """

    round: int
    phase: str
    value: float
    standard_error: float
    point: tuple[float, ...]
    points: int
    circuits: int
    shots: int
    total_shots: int


class RoundLog:
    """History of a run's rounds, each reported to a callback.

    Values are multiplied by `sign`: −1 for an objective that is maximized.
    """

    def __init__(self, on_progress: Callable[[RoundProgress], None], sign: float = 1.0) -> None:
        self.history: list[RoundProgress] = []
        self._on_progress = on_progress
        self._sign = sign
        self._unreported = (0, 0)  # circuits and shots of rounds without an estimate, as most of their points failed

    def add(self, phase: str, estimate: PointEstimate | None, points: int, circuits: int, shots: int) -> None:
        """Record a round; the circuits and shots of one without an estimate are added to the next round's."""
        circuits, shots = circuits + self._unreported[0], shots + self._unreported[1]
        if estimate is None:
            self._unreported = (circuits, shots)
            return
        self._unreported = (0, 0)
        previous_shots = self.history[-1].total_shots if self.history else 0
        progress = RoundProgress(
            round=len(self.history) + 1,
            phase=phase,
            value=self._sign * estimate.value,
            standard_error=estimate.standard_error,
            point=tuple(estimate.point.tolist()),
            points=points,
            circuits=circuits,
            shots=shots,
            total_shots=previous_shots + shots,
        )
        self.history.append(progress)
        self._on_progress(progress)

    def final(self, estimate: Estimate, point: NDArray[np.float64], circuits: int, shots: int) -> None:
        self.add("final", PointEstimate(point, estimate.value, estimate.standard_error), 1, circuits, shots)


class Kind(enum.StrEnum):
    """The source of a fact."""

    BOUNDED = "bounded"  # the error is at most an amount, by a theorem or a computation in full
    ESTIMATED = "estimated"  # by a model with an error: shown if twice that is within the tolerance, too
    NOT_EXAMINED = "not examined"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a run has shown of its value, or not; `shown` is None where that is not known.

    Names are "locally_optimal" (the search met its own rule), "ground_state" (the state is at most the tolerance above
    the exact lowest energy) and "equals_exact" (the value compared to exact diagonalization).
    Those of a subspace are "self_consistent" (further iterations changed nothing) and "little_left" (at most chemical
    accuracy is left below the energy, by the exact one where it is known); `converged` rests on both.
    """

    name: str
    shown: bool | None
    reason: str
    kind: Kind

    def __post_init__(self) -> None:
        if self.shown is not None and self.kind is Kind.NOT_EXAMINED:
            raise ValueError(f"{self.name}: only what was examined is shown or not")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Outcome of an algorithm as plain values: a value with its error, its parameters (radians), and the search's end.

    `value` is that of the final measurement, never the minimum of many noisy ones: hartree for a molecule, else the
    objective's unit. `standard_error` is the root of the squares of two errors: that of the shots seen, 0 where they
    all agree, and a third of `unseen_bound`, which bounds the error by outcomes that were not seen (95 %), 0 where the
    shots' scatter hides it. On a target that does not sample, `is_exact` is true, both are 0 and `rounding_bound`
    bounds the error (95 %). Else `rounding_bound` is 0. `error_budget` names each source of the value's error (shot
    noise, outcomes not seen, search residue, rounding, extrapolation), and `interval95` holds them all. `is_precise` is
    true if the final measurement reached the requested precision, `converged` if the search met its own criterion and
    nothing doubts the value, `is_requested` if it ended where the caller asked it to; `reason` says what ended it.

    For a binary problem, `value` is the mean of the objective over the feasible shots, in the problem's own sense.
    `search_value` is what the search minimized, in the same sense, where that is another number: the mean or CVaR of
    all shots with the penalties of those that break a constraint. `cvar` has the `value` of the best `share` of the
    feasible shots, and its `standard_error`. `best_bitstring` (rightmost character = variable 0) is the best feasible
    assignment sampled in any round and `best_value` its objective; both are None where there is none.
    `best_share` is the share of the final shots that have it, with its 95 % interval. `approximation_ratio` is that
    of `value`, (value − worst) / (best − worst): 0 for the worst feasible assignment and 1 for the best, None where
    the optimum is unknown or no shot is feasible. `optimum` is the best objective that any search found, and a
    bound that no assignment exceeds, which are equal where the optimum is known. `solution` is the best assignment
    in the problem's terms, as lines of text by name (partition, cut; chosen, nodes; hold; variables; spins; parts,
    sums; objective).
    `observables` has a row for each further operator that was measured at the final point, of a scan at each `point`:
    its `value`, `standard_error`, `unseen_bound` and `rounding_bound` (in `unit`; None where no job gave them), and
    that of the `simulated` state. One that is `at_these_angles` has no error by those of the angles, which a search
    left.

    `constraints` has a row for each constraint: whether the best assignment meets it (`met`; without a feasible one,
    that of the least cost), and the `share` of the final measurement's shots that do. `feasible_share` is the share of
    those that meet all; both shares are None where no measurement is the final one, as in a recursion.

    For a molecule, `spin_squared` is ⟨S²⟩ and `electrons` ⟨N⟩ of the final state with their errors, which are 0 where
    the circuit conserves them; None where they are unknown.

    For a scan along a distance, `curve` has the minimum of a fit (`CurveFit`) as plain values: `distance` (Å),
    `energy`, `depth` (hartree), `farthest` (Å) and `wavenumber` (1/cm, of diatomics), each with its `…_error`; or the
    `reason` why there is none.

    With `is_upper_bound` the value is the energy of a state in a subspace, without noise: the exact energy (the lowest
    of any spin) is not above it, there is no interval, and the error budget says how much is expected below.

    `table` has one row for each operator of ADAPT-VQE in order, each level from the lowest up (whose energy is
    `value`), each point of a scan (`value` is that of the first), or each variable of a binary problem in the best
    assignment. `warnings` are reasons to doubt the value, `choices` what was chosen automatically, and why, `facts`
    what was shown of the value.
    """

    value: float
    standard_error: float
    interval95: tuple[float, float] | None
    error_budget: tuple[ErrorSource, ...]
    is_exact: bool = False
    rounding_bound: float = 0.0
    unseen_bound: float = 0.0
    is_precise: bool
    parameters: tuple[float, ...]
    converged: bool
    is_requested: bool = field(default=False, compare=False)  # a stored outcome has it only where it decided the status
    reason: str
    rounds: int
    history: tuple[RoundProgress, ...]
    best_bitstring: str | None = None
    best_value: float | None = None
    best_share: float | None = None
    best_share_interval95: tuple[float, float] | None = None
    approximation_ratio: float | None = None
    search_value: float | None = None
    search_error: float | None = None
    cvar: Mapping[str, float] = field(default_factory=dict)
    optimum: tuple[float, float] | None = None
    spin_squared: float | None = None
    spin_squared_error: float | None = None
    electrons: float | None = None
    electrons_error: float | None = None
    table: Table = ()
    solution: Mapping[str, str] = field(default_factory=dict)
    observables: Table = ()
    constraints: Table = ()
    feasible_share: float | None = None
    curve: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    is_upper_bound: bool = False
    larger_cap: str = field(default="", compare=False)  # as that of a stop

    def doubted(self, *doubts: Doubt | None) -> Self:
        """Return it with these doubts: it is not converged then, and its reason begins with their headlines."""
        told = [doubt for doubt in doubts if doubt is not None]
        return replace(
            self,
            converged=self.converged and not told,
            reason="; ".join([*(doubt.headline for doubt in told), self.reason]),
            warnings=(*self.warnings, *map(str, told)),
        )

    @property
    def residue(self) -> float | None:
        """Amount that is expected below the value; None: unknown."""
        return next((source.amount for source in self.error_budget if source.is_one_sided), None)


def measured_value(final: FinalMeasurement, residue: float | None, meaning: str | None = None) -> dict[str, Any]:
    """Return the fields of an outcome's value, by its final measurement.

    `residue` is what is expected to be left above the minimum, None: unknown; `meaning` as for `error_budget`.
    """
    estimate = final.estimate
    budget = error_budget(estimate, residue, meaning)
    return {
        "value": estimate.value,
        "standard_error": estimate.standard_error,
        "interval95": interval95(estimate, budget),
        "error_budget": budget,
        "is_exact": estimate.is_exact,
        "rounding_bound": estimate.rounding_bound,
        "unseen_bound": estimate.unseen_bound,
        "is_precise": final.is_precise,
        "warnings": final.warnings,
    }
