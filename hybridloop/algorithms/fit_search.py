"""What the searches that fit an energy of known frequencies share: where they stand, and what they were told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.optimizer import (
    JSON,
    Reading,
    Stop,
    checked_frequencies,
    checked_start,
    end_without_angles,
    one_more_repeat,
    reading_of,
    reading_row,
    stop_of,
    stop_row,
)
from hybridloop.algorithms.rounds import Lost
from hybridloop.algorithms.termination import Outlook, Termination, outlooks_of, rows_of
from hybridloop.algorithms.trigfit import Frequencies


@dataclass(slots=True)
class FitSearch:
    """A search that moves from one fit's minimum to the next one's; each angle has the frequencies given for it."""

    can_skip: ClassVar[bool] = True

    point: NDArray[np.float64]
    frequencies: tuple[Frequencies, ...]
    _again: list[int] = field(default_factory=list, init=False)  # points of this round that were lost, by number
    _repeats: int = field(default=0, init=False)
    _current: Reading | None = field(default=None, init=False)
    _stop: Stop | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.point = checked_start(self.point)
        self.frequencies = checked_frequencies(self.frequencies, len(self.point))
        self._stop = end_without_angles(self.point)

    @property
    def current(self) -> Reading | None:
        """The minimum of the last fit."""
        return self._current

    @property
    def best(self) -> Reading | None:
        """The same: a fit holds what those before it found, or starts from there."""
        return self._current

    @property
    def stop(self) -> Stop | None:
        """Set once the search is over."""
        return self._stop

    def _repeat(self, optimizer: str, estimates: Sequence[Estimate | Lost]) -> None:
        """Have those asked again that were lost. Raises JobFailed for too many rounds in a row."""
        self._repeats = one_more_repeat(self._repeats, optimizer, estimates)
        asked = self._again or range(len(estimates))
        self._again = [number for number, each in zip(asked, estimates, strict=True) if isinstance(each, Lost)]

    def state(self) -> dict[str, JSON]:
        """All that the search knows."""
        return {
            "point": self.point.tolist(),
            "frequencies": [list(each) for each in self.frequencies],
            "again": list(self._again),
            "repeats": self._repeats,
            "current": reading_row(self._current),
            "stop": stop_row(self._stop),
        }

    @classmethod
    def _restored(cls, state: Mapping[str, Any], *settings: Any) -> Self:
        """As `state` has it of the above; `settings` are the class's own."""
        frequencies = tuple(tuple(each) for each in state["frequencies"])
        made = cls(np.array(state["point"], float), frequencies, *settings)
        made._again, made._repeats = list(state["again"]), state["repeats"]
        made._current, made._stop = reading_of(state["current"]), stop_of(state["stop"])
        return made


@dataclass(slots=True)
class PooledSearch(FitSearch):
    """One that fits a model to the energies of all its rounds, and ends by what the model still promises."""

    termination: Termination
    _rounds: int = field(default=0, init=False)
    _data: list[tuple[NDArray[np.float64], float, float]] = field(default_factory=list, init=False)
    _outlooks: list[Outlook] = field(default_factory=list, init=False)

    def state(self) -> dict[str, JSON]:
        """All that the search knows."""
        return {
            **FitSearch.state(self),  # no `super()` in a class with slots: the decorator makes another one of it
            "termination": self.termination.state(),
            "rounds": self._rounds,
            "data": [[point.tolist(), value, variance] for point, value, variance in self._data],
            "outlooks": rows_of(self._outlooks),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """The optimizer whose `state` this is."""
        made = cls._restored(state, Termination(**state["termination"]))
        made._rounds = state["rounds"]
        made._data = [(np.array(point, float), value, variance) for point, value, variance in state["data"]]
        made._outlooks = outlooks_of(state["outlooks"])
        return made
