"""Ask-and-tell interface of all optimizers: they ask for points and are told estimates; they never measure.

With what they share: checks of settings, and the repeats of failed points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Frequencies
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.rounds import FailedPoint
from hybridloop.errors import InputError, InvalidValue, JobFailed

MAX_REPEATS = 3  # rounds in a row that repeat failed points


SIGMAS = 2.0  # standard errors of an upper bound


@dataclass(frozen=True, slots=True, eq=False)
class PointEstimate:
    """Energy estimate at a point (n,) in radians, with its standard error; measured or from the optimizer's model."""

    point: NDArray[np.float64]
    value: float
    standard_error: float

    @property
    def upper_bound(self) -> float:
        """The value plus two standard errors."""
        return self.value + SIGMAS * self.standard_error

    @classmethod
    def of(cls, estimate: Estimate, point: NDArray[np.float64]) -> Self:
        """Create from a measured estimate and its point."""
        return cls(point, estimate.value, estimate.expected_error)


@dataclass(frozen=True, slots=True)
class Fall:
    """Energy by which a step is expected to be below its centre, with the standard error of that, the model's too."""

    amount: float
    standard_error: float

    @property
    def is_significant(self) -> bool:
        """True if the fall is above two standard errors."""
        return self.amount > SIGMAS * self.standard_error


@dataclass(frozen=True, slots=True)
class Stop:
    """Reason to stop a search; `converged` is true if its own criterion was met, false for a limit.

    `is_requested` is true if the search ends where the caller asked it to: nothing is left that was sought.
    """

    converged: bool
    reason: str
    is_requested: bool = False


class Optimizer(Protocol):
    """Optimizer: an ask-and-tell search for the lowest energy over n angles, in rounds.

    Call `ask` and `tell` in turns until `ask` returns no points; asking twice gives the same points. A new optimizer
    asks for the recorded points again as it gets the recorded results. `can_skip` is true if the search can continue
    without failed points.
    """

    can_skip: ClassVar[bool]

    def ask(self) -> NDArray[np.float64]:
        """Return all points of the next round, shape (k, n) in radians; k = 0 once `stop` is set."""

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Process a round's results: the points as recorded when they were measured, and an estimate for each."""

    @property
    def best(self) -> PointEstimate | None:
        """Point to return now; its value is biased, as it was selected for being low, and is not the final result."""

    @property
    def stop(self) -> Stop | None:
        """Reason to stop; None while the search runs."""


@runtime_checkable
class ForecastingOptimizer(Protocol):
    """Additional members of an optimizer that takes steps by a model of the energies around a centre."""

    @property
    def centre(self) -> NDArray[np.float64]:
        """Point (n,) around which the next round measures, one of the round's points unless some are repeated."""

    @property
    def fall(self) -> Fall | None:
        """Forecast of the last step, to `best`; None without one."""

    @property
    def residue(self) -> float | None:
        """Expected energy (hartree) of `best` above the minimum of the optimizer's model; None while it is unknown."""


@runtime_checkable
class RefinableOptimizer(Protocol):
    """Additional member of an optimizer that can search on after its end."""

    def refine(self, tolerance: float | None = None) -> None:
        """Search on, to a smaller tolerance (the energy's unit) or to a smaller gain and less noise.

        `stop` is None again unless these are met already.
        """


@runtime_checkable
class ShotAllocatingOptimizer(Protocol):
    """Additional member of an optimizer that chooses the shots of its points; others have a fixed number a circuit."""

    @property
    def point_shots(self) -> NDArray[np.int64]:
        """Shots (k,) of each point that `ask` returns, over all measured groups."""


def residue_of(optimizer: Optimizer) -> float | None:
    """Return the optimizer's `residue`; 0 for a circuit without angles, None if the optimizer forecasts none."""
    best = optimizer.best
    if best is not None and not len(best.point):
        return 0.0
    return optimizer.residue if isinstance(optimizer, ForecastingOptimizer) else None


def check_one_for_each(frequencies: tuple[Frequencies, ...], angles: int) -> None:
    """Raise InputError unless there is a tuple of frequencies for each angle; it is empty where they are unknown."""
    if len(frequencies) != angles:
        problem = f"there are frequencies for {len(frequencies)} of {angles} angle(s)"
        raise InputError("frequencies", problem, "Give one tuple for each angle.")


def validate_frequencies(frequencies: tuple[Frequencies, ...], angles: int) -> tuple[Frequencies, ...]:
    """Return the frequencies of each angle. Raises InputError unless they are distinct positive integers."""
    check_one_for_each(frequencies, angles)
    if not all(frequencies):
        problem = "this optimizer needs the energy's frequencies in each angle, which are unknown for this circuit"
        remedy = (
            "Give trust-region or scipy:cobyla, or a circuit whose rotations turn by whole multiples of each angle."
        )
        raise InputError("optimizer", problem, remedy)
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
    problem = f"{len(failed)} point(s) of a round failed ({failed[0].reason})"
    return JobFailed(problem, f"{optimizer} can't continue without them; earlier rounds are kept.", "Run again.")


def count_repeat(repeats: int, optimizer: str, estimates: Sequence[Estimate | FailedPoint]) -> int:
    """Return the number of repeated rounds in a row, this one included. Raises JobFailed beyond `MAX_REPEATS`."""
    if repeats == MAX_REPEATS:
        raise missing_points_error(optimizer, estimates)
    return repeats + 1


def check_positive(setting: str, value: float, kind: str) -> None:
    """Raise InputError unless a setting is positive and finite; `kind` names its kind and unit."""
    if not (value > 0 and math.isfinite(value)):
        raise InvalidValue(setting, f"must be a positive {kind}, got {value}")


def check_at_least_one(setting: str, value: int) -> None:
    """Raise InputError if a setting is below 1."""
    if value < 1:
        raise InvalidValue(setting, f"must be at least 1, got {value}")
