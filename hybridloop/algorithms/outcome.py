"""What an algorithm tells: of each of its rounds as they go by, and of what it has come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.final import FinalMeasurement
from hybridloop.algorithms.optimizer import Reading

Table = tuple[Mapping[str, Any], ...]  # plain values by column, as JSON has them; all rows have the same columns


@dataclass(frozen=True, slots=True)
class Progress:
    """One round: `phase` is "search" or "final"; energies in hartree, angles in radians.

    In a search, value and standard error belong to `point`, which the optimizer found by measuring or by its model, in
    this round or, where too many of its points were lost, in the last that told it something. In the final phase they
    pool all that was measured there. `circuits` counts pairs of point and group, and overlaps: one job each or more
    (parts above a target's limit). `total_shots` counts from the run's start.
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
    """Keeps the history and reports each round; values times `sign`, for an objective that is searched for its most."""

    def __init__(self, on_progress: Callable[[Progress], None], sign: float = 1.0) -> None:
        self.history: list[Progress] = []
        self._on_progress = on_progress
        self._sign = sign
        self._untold = (0, 0)  # circuits and shots of rounds that found nothing, most of their points being lost

    def add(self, phase: str, found: Reading | None, points: int, circuits: int, shots: int) -> None:
        """Take note of a round; what one without a find took is told with the next."""
        circuits, shots = circuits + self._untold[0], shots + self._untold[1]
        if found is None:
            self._untold = (circuits, shots)
            return
        self._untold = (0, 0)
        before = self.history[-1].total_shots if self.history else 0
        progress = Progress(
            round=len(self.history) + 1,
            phase=phase,
            value=self._sign * found.value,
            standard_error=found.standard_error,
            point=tuple(found.point.tolist()),
            points=points,
            circuits=circuits,
            shots=shots,
            total_shots=before + shots,
        )
        self.history.append(progress)
        self._on_progress(progress)

    def final(self, estimate: Estimate, point: NDArray[np.float64], circuits: int, shots: int) -> None:
        """Take note of a round of the final measurement."""
        self.add("final", Reading.of(estimate, point), 1, circuits, shots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A value with what is known of its error, the angles it belongs to (radians), and how it was come by.

    `value` is the final measurement's, never the least of many noisy ones. On a target that does not sample
    `is_exact` is true, `standard_error` 0, and the truth within `rounding_bound`; else that is 0 and `interval95`
    comes from the standard error. `is_precise` says that the final measurement is as sharp as was asked, `converged`
    that the search's own criterion was met, `reason` what ended it.

    Of a binary problem the value is the mean of the objective, in its own sense (with its penalty, where assignments
    can break a constraint). `best_bitstring` (rightmost character = variable 0) is the best assignment that was seen in
    any round and meets the constraint, `best_value` its objective; both are None where none does.
    `approximation_ratio` is that of `value`, None where the optimum is not known. `table` has what one value does not
    hold, `warnings` reasons to doubt it, `choices` what was chosen for the run, and why.
    """

    final: FinalMeasurement
    parameters: tuple[float, ...]
    converged: bool
    reason: str
    rounds: int
    history: tuple[Progress, ...]
    best_bitstring: str | None = None
    best_value: float | None = None
    approximation_ratio: float | None = None
    table: Table = ()
    warnings: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def value(self) -> float:
        """The final measurement's."""
        return self.final.estimate.value

    @property
    def standard_error(self) -> float:
        """The value's."""
        return self.final.estimate.standard_error

    @property
    def interval95(self) -> tuple[float, float]:
        """The value's."""
        return self.final.estimate.interval95

    @property
    def is_exact(self) -> bool:
        """Whether the target did not sample."""
        return self.final.estimate.is_exact

    @property
    def rounding_bound(self) -> float:
        """The value's."""
        return self.final.estimate.rounding_bound

    @property
    def is_precise(self) -> bool:
        """Whether the value is as sharp as was asked."""
        return self.final.is_precise
