"""The face that all optimizers show: they ask for points and are told estimates; they never measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.rounds import Lost
from hybridloop.algorithms.trigfit import Frequencies
from hybridloop.errors import InputError, JobFailed

MOST_REPEATS = 3  # rounds in a row that ask again for what was lost
JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Where a search stands: a point (n,) in radians, the energy there and its standard error, measured or modelled."""

    point: NDArray[np.float64]
    value: float
    standard_error: float

    @classmethod
    def of(cls, estimate: Estimate, point: NDArray[np.float64]) -> Self:
        """An estimate at its point."""
        return cls(point, estimate.value, estimate.standard_error)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a search asks for no more; `converged` says that its own criterion was met, not a limit."""

    converged: bool
    reason: str


class Optimizer(Protocol):
    """A search for the lowest energy over n angles, in rounds.

    `ask` → `tell` → `ask` …, until `ask` has nothing left to ask; asking twice gives the same points. `state` is a
    JSON-able value, from which the class's `restored` makes an equal optimizer. `can_skip` says whether the search goes
    on without points that were lost.
    """

    can_skip: ClassVar[bool]

    def ask(self) -> NDArray[np.float64]:
        """All points of the next round, shape (k, n); k = 0 once `stop` is set."""
        ...

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | Lost]) -> None:
        """Take a round's answers: the points as they were recorded when they were asked, and an estimate for each."""
        ...

    @property
    def current(self) -> Reading | None:
        """What the last round found; None before the first."""
        ...

    @property
    def best(self) -> Reading | None:
        """The point to hand back now; its value is no final answer, having been chosen for being low."""
        ...

    @property
    def stop(self) -> Stop | None:
        """Set once the search is over."""
        ...

    def state(self) -> dict[str, JSON]:
        """All that the search knows."""
        ...


@runtime_checkable
class AsksOverlaps(Protocol):
    """What an optimizer has besides where it also asks for overlaps of states, |⟨ψ(a)|ψ(b)⟩|².

    A round measures them together with the points of `ask`; `tell_overlaps` comes before that round's `tell`.
    """

    def ask_overlaps(self) -> NDArray[np.float64]:
        """The pairs of points a and b whose overlaps the next round is to have, shape (m, 2, n); m = 0 for none."""
        ...

    def tell_overlaps(self, pairs: NDArray[np.float64], overlaps: Sequence[Estimate | Lost]) -> None:
        """Take the overlaps, with the pairs as they were recorded when they were asked."""
        ...


def checked_start(initial_point: NDArray[np.float64]) -> NDArray[np.float64]:
    """A read-only copy of a start (n,) of finite angles."""
    start: NDArray[np.float64] = np.array(initial_point, dtype=float)
    if start.ndim != 1 or not np.isfinite(start).all():
        problem = f"it has shape {start.shape}" if start.ndim != 1 else "an angle is not a finite number"
        raise InputError("initial_point", problem, "Give one finite angle in radians for each parameter.")
    start.setflags(write=False)
    return start


def checked_frequencies(frequencies: tuple[Frequencies, ...], angles: int) -> tuple[Frequencies, ...]:
    """The frequencies of each angle, if they are such."""
    if len(frequencies) != angles:
        problem = f"there are frequencies for {len(frequencies)} of {angles} angle(s)"
        raise InputError("frequencies", problem, "Give one tuple for each angle.")
    if not all(map(_are_frequencies, frequencies)):
        problem = "each angle needs positive whole ones, each once"
        raise InputError("frequencies", problem, "Give such as (1,) or (1, 2).")
    return frequencies


def _are_frequencies(numbers: Frequencies) -> bool:
    whole = all(isinstance(each, int) and each > 0 for each in numbers)
    return whole and len(numbers) == len(set(numbers)) > 0


def end_without_angles(start: NDArray[np.float64]) -> Stop | None:
    """The end of a search at a start of no angles; None where there are some."""
    return None if len(start) else Stop(converged=True, reason="the circuit has no angle to vary")


def lost_beyond_repair(optimizer: str, estimates: Sequence[Estimate | Lost]) -> JobFailed:
    """The error of an optimizer that can't go on without the points of these that were lost."""
    lost = [each for each in estimates if isinstance(each, Lost)]
    return JobFailed(
        f"{len(lost)} point(s) of a round were lost ({lost[0].reason})",
        f"{optimizer} can't go on without them; the rounds before are unharmed.",
        "Run again.",
    )


def one_more_repeat(repeats: int, optimizer: str, estimates: Sequence[Estimate | Lost]) -> int:
    """How many rounds in a row have to ask again, with this one. Raises JobFailed once they are too many."""
    if repeats == MOST_REPEATS:
        raise lost_beyond_repair(optimizer, estimates)
    return repeats + 1


def reading_row(reading: Reading | None) -> JSON:
    """A reading as JSON."""
    return None if reading is None else [reading.point.tolist(), reading.value, reading.standard_error]


def reading_of(row: Sequence[Any] | None) -> Reading | None:
    """A reading from its row."""
    return None if row is None else Reading(np.array(row[0], float), *row[1:])


def stop_row(stop: Stop | None) -> JSON:
    """A stop as JSON."""
    return None if stop is None else [stop.converged, stop.reason]


def stop_of(row: Sequence[Any] | None) -> Stop | None:
    """A stop from its row."""
    return None if row is None else Stop(*row)
