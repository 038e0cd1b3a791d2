"""Ask-and-tell interface of all optimizers: they ask for points and are told estimates; they never measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Frequencies
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.rounds import FailedPoint
from hybridloop.errors import InputError, JobFailed

MAX_REPEATS = 3  # rounds in a row that repeat failed points
JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]


@dataclass(frozen=True, slots=True, eq=False)
class PointEstimate:
    """Energy estimate at a point (n,) in radians, with its standard error; measured or from the optimizer's model."""

    point: NDArray[np.float64]
    value: float
    standard_error: float

    @classmethod
    def of(cls, estimate: Estimate, point: NDArray[np.float64]) -> Self:
        """Create from a measured estimate and its point."""
        return cls(point, estimate.value, estimate.standard_error)


@dataclass(frozen=True, slots=True)
class Stop:
    """Reason to stop a search; `converged` is true if its own criterion was met, false for a limit."""

    converged: bool
    reason: str


class Optimizer(Protocol):
    """Optimizer: an ask-and-tell search for the lowest energy over n angles, in rounds.

    Call `ask` and `tell` in turns until `ask` returns no points; asking twice gives the same points. `state` is a
    JSON-serializable value, from which the class method `restored` makes an equal optimizer. `can_skip` is true if the
    search can continue without failed points.
    """

    can_skip: ClassVar[bool]

    def ask(self) -> NDArray[np.float64]:
        """Return all points of the next round, shape (k, n) in radians; k = 0 once `stop` is set."""
        ...

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Process a round's results: the points as recorded when they were measured, and an estimate for each."""
        ...

    @property
    def current(self) -> PointEstimate | None:
        """Estimate of the last round; None before the first."""
        ...

    @property
    def best(self) -> PointEstimate | None:
        """Point to return now; its value is biased, as it was selected for being low, and is not the final result."""
        ...

    @property
    def stop(self) -> Stop | None:
        """Reason to stop; None while the search runs."""
        ...

    def state(self) -> dict[str, JSON]:
        """Complete state of the search, JSON-serializable."""
        ...


@runtime_checkable
class OverlapOptimizer(Protocol):
    """Additional methods of an optimizer that also needs state overlaps (fidelities), |⟨ψ(a)|ψ(b)⟩|².

    A round measures them together with the points of `ask`; `tell_overlaps` is called before that round's `tell`.
    """

    def ask_overlaps(self) -> NDArray[np.float64]:
        """Return the pairs of points (a, b) whose overlaps the next round measures, shape (m, 2, n); m = 0 for none."""
        ...

    def tell_overlaps(self, pairs: NDArray[np.float64], overlaps: Sequence[Estimate | FailedPoint]) -> None:
        """Process a round's overlaps: the pairs as recorded when they were measured, and an estimate for each."""
        ...


def validate_frequencies(frequencies: tuple[Frequencies, ...], angles: int) -> tuple[Frequencies, ...]:
    """Return the frequencies of each angle. Raises InputError unless they are distinct positive integers."""
    if len(frequencies) != angles:
        problem = f"there are frequencies for {len(frequencies)} of {angles} angle(s)"
        raise InputError("frequencies", problem, "Give one tuple for each angle.")
    if not all(map(_are_frequencies, frequencies)):
        problem = "the frequencies of an angle must be distinct positive integers"
        raise InputError("frequencies", problem, "Give, for example, (1,) or (1, 2) for each angle.")
    return frequencies


def _are_frequencies(numbers: Frequencies) -> bool:
    are_positive = all(isinstance(number, int) and number > 0 for number in numbers)
    return are_positive and len(numbers) == len(set(numbers)) > 0


def stop_without_angles(start: NDArray[np.float64]) -> Stop | None:
    """Return a stop for a start without angles, else None."""
    return None if len(start) else Stop(converged=True, reason="the circuit has no angle to vary")


def missing_points_error(optimizer: str, estimates: Sequence[Estimate | FailedPoint]) -> JobFailed:
    """Create the error of an optimizer that can't continue without the failed points of a round."""
    failed = [estimate for estimate in estimates if isinstance(estimate, FailedPoint)]
    return JobFailed(
        f"{len(failed)} point(s) of a round failed ({failed[0].reason})",
        f"{optimizer} can't continue without them; earlier rounds are kept.",
        "Run again.",
    )


def count_repeat(repeats: int, optimizer: str, estimates: Sequence[Estimate | FailedPoint]) -> int:
    """Return the number of repeated rounds in a row, this one included. Raises JobFailed beyond `MAX_REPEATS`."""
    if repeats == MAX_REPEATS:
        raise missing_points_error(optimizer, estimates)
    return repeats + 1


def point_estimate_to_json(estimate: PointEstimate | None) -> JSON:
    """Convert a point estimate to a JSON value."""
    return None if estimate is None else [estimate.point.tolist(), estimate.value, estimate.standard_error]


def point_estimate_from_json(row: Sequence[Any] | None) -> PointEstimate | None:
    """Restore a point estimate from its JSON value."""
    return None if row is None else PointEstimate(np.array(row[0], float), *row[1:])


def stop_to_json(stop: Stop | None) -> JSON:
    """Convert a stop to a JSON value."""
    return None if stop is None else [stop.converged, stop.reason]


def stop_from_json(row: Sequence[Any] | None) -> Stop | None:
    """Restore a stop from its JSON value."""
    return None if row is None else Stop(*row)
