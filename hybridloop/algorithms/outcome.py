"""Progress of an algorithm by round, and its outcome: value, error, parameters and reason to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.error_budget import NO_FORECAST, ErrorSource, error_budget, interval95, subspace_error
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.final import FinalMeasurement
from hybridloop.algorithms.optimizers.base import PointEstimate

Table = tuple[Mapping[str, Any], ...]  # plain values by column, as JSON has them; all rows have the same columns


@dataclass(frozen=True, slots=True)
class RoundProgress:
    """Progress after one round; `phase` is "search" or "final"; energies in hartree, angles in radians.

    In a search, value and standard error are the optimizer's at `point`: measured or from its model. They may be those
    of an earlier round where too many points of this one failed. In the final phase they pool all measurements at
    `point`. `circuits` counts pairs of point and group, and overlaps; each is one job, or several above a target's
    limit of shots. `total_shots` counts from the start of the run.
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
        self.add("final", PointEstimate.of(estimate, point), 1, circuits, shots)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a run has shown of its value, or not: `shown` is None where it was not examined.

    Names are "locally_optimal" (no step within the circuit gains more), "no_operator_outside" (no operator outside the
    circuit promises more) and "equals_exact" (compared to exact diagonalization, which `converged` does not rest on).
    Those of a subspace are "self_consistent" (further iterations changed nothing) and "little_left" (at most chemical
    accuracy is left below the energy, by the exact one where it is known); `converged` rests on both.
    """

    name: str
    shown: bool | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Outcome of an algorithm: a value with its error, the parameters (radians) it belongs to, and the search's end.

    `value` is that of the final measurement, never the minimum of many noisy ones. On a target that does not sample,
    `is_exact` is true, `standard_error` is 0 and the true value is within `rounding_bound`. Else `rounding_bound` is 0.
    `interval95` holds all errors of the `error_budget`; `residue` is what the search expects to be left above the
    minimum (None: unknown, and `no_residue` says why). `is_precise` is true if the final measurement reached the
    requested precision, `converged` if the search met its own criterion, `is_requested` if it ended where the caller
    asked it to; `reason` says what ended it.

    For a binary problem, `value` is the mean of the objective, in the problem's own sense (with the penalty where
    assignments can violate a constraint). `best_bitstring` (rightmost character = variable 0) is the best feasible
    assignment sampled in any round and `best_value` its objective; both are None where there is none.
    `approximation_ratio` is that of `value`, None where the optimum is unknown. `solution` is that assignment in the
    problem's terms, as lines of text by name.

    `spin_squared` is ⟨S²⟩ of the final state and `electrons` ⟨N⟩, measured or conserved by the circuit (with error 0);
    None where they are unknown.

    With `is_upper_bound` the value is the energy of a known state, without noise: the true one is not above it, so
    there is no interval around it. `residue` is then the most that is expected below it, and `no_residue` says by what.

    `table` has the rows of results with more than one value, `warnings` reasons to doubt the value, `choices` what was
    chosen automatically, and why, `facts` what was shown.
    """

    final: FinalMeasurement
    parameters: tuple[float, ...]
    converged: bool
    reason: str
    rounds: int
    history: tuple[RoundProgress, ...]
    best_bitstring: str | None = None
    best_value: float | None = None
    approximation_ratio: float | None = None
    spin_squared: float | None = None
    spin_squared_error: float | None = None
    electrons: float | None = None
    electrons_error: float | None = None
    table: Table = ()
    solution: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    is_requested: bool = False
    facts: tuple[Fact, ...] = ()
    residue: float | None = None
    no_residue: str = NO_FORECAST
    is_upper_bound: bool = False

    @property
    def value(self) -> float:
        """Value of the final measurement: hartree for a molecule, else the objective's unit."""
        return self.final.estimate.value

    @property
    def standard_error(self) -> float:
        return self.final.estimate.standard_error

    @property
    def interval95(self) -> tuple[float, float] | None:
        """The 95 % interval; None for an upper bound."""
        if self.is_upper_bound:
            return None
        return interval95(self.final.estimate, self.error_budget)

    @property
    def error_budget(self) -> tuple[ErrorSource, ...]:
        if self.is_upper_bound:
            return (subspace_error(self.residue, self.no_residue),)
        return error_budget(self.final.estimate, self.residue, self.no_residue)

    @property
    def is_exact(self) -> bool:
        return self.final.estimate.is_exact

    @property
    def rounding_bound(self) -> float:
        return self.final.estimate.rounding_bound

    @property
    def is_precise(self) -> bool:
        return self.final.is_precise
