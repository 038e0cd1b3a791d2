"""A run as it goes, for whoever shows it: filled by its flow, read at the reader's own pace from any thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a caller has it before any of these is imported, which takes a second
    from hybridloop.algorithms.outcome import RoundProgress
    from hybridloop.tasks.session import OpenSession
    from hybridloop.tasks.session_status import SessionSnapshot

MOST_VALUES = 200  # of the last rounds; no picture of a line of text holds more


@dataclass(frozen=True, slots=True)
class RoundUpdate:
    """A measured round, and the session in which it was measured with its jobs so far.

    `unit` is the unit of the value; empty for a dimensionless objective.
    """

    progress: RoundProgress
    session_id: str
    session_status: str
    jobs: int
    unit: str


@dataclass(frozen=True, slots=True)
class Best:
    """The best value of a search so far, with the round it was found in; noisy, so no result."""

    round: int
    value: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class LiveState:
    """A run at a moment; values in `unit`, which is empty for a number of its own.

    `status` is "preparing", "running", and in the end as a result has it, with its `reason`. `round` is the last that
    is complete, 0 before; `phase`, `value` and `standard_error` are its own. `values` are those of the last rounds.
    `best` is None where rounds are of different things (levels, points of a scan). `standing` is None until there is a
    session.
    """

    algorithm: str = ""
    problem: str = ""
    target: str = ""
    run_key: str = ""
    unit: str = ""
    status: str = "preparing"
    reason: str = ""
    elapsed_s: float = 0.0
    round: int = 0
    phase: str = ""
    value: float | None = None
    standard_error: float | None = None
    values: tuple[float, ...] = ()
    best: Best | None = None
    standing: SessionSnapshot | None = None


class LiveFeed:
    """Where a flow says how its run goes. Reading it asks nobody, so that a reader costs what it draws."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        """`now` is a time in seconds that only goes forward."""
        self._now = now
        self._started_at = now()
        self._ended_at: float | None = None
        self._lock = threading.Lock()
        self._state = LiveState()
        self._sense = 0
        self._session: OpenSession | None = None

    def prepare(self, algorithm: str, problem: str, target: str) -> None:
        """What is to run where."""
        with self._lock:
            self._state = replace(self._state, algorithm=algorithm, problem=problem, target=target)

    def begin(self, run_key: str, session: OpenSession, unit: str, sense: int) -> None:
        """The run has a session; `sense` says whether lower values are better (-1), higher (1), or neither (0)."""
        with self._lock:
            self._session, self._sense = session, sense
            self._state = replace(self._state, run_key=run_key, unit=unit, status="running")

    def add(self, progress: RoundProgress) -> None:
        """A round is complete, measured now or read from the journal."""
        with self._lock:
            before = self._state
            self._state = replace(
                before,
                round=progress.round,
                phase=progress.phase,
                value=progress.value,
                standard_error=progress.standard_error,
                values=(*before.values, progress.value)[-MOST_VALUES:],
                best=self._better(before.best, progress),
            )

    def end(self, status: str, reason: str) -> None:
        """The run has ended; what is said after that is left out."""
        with self._lock:
            if self._ended_at is None:
                self._ended_at = self._now()
                self._state = replace(self._state, status=status, reason=reason)

    def state(self) -> LiveState:
        """The run as it is now."""
        with self._lock:
            state, session, ended_at = self._state, self._session, self._ended_at
        elapsed_s = (self._now() if ended_at is None else ended_at) - self._started_at
        return replace(state, elapsed_s=elapsed_s, standing=None if session is None else session.snapshot)

    def _better(self, best: Best | None, progress: RoundProgress) -> Best | None:
        if self._sense == 0:
            return None
        if best is not None and self._sense * progress.value <= self._sense * best.value:
            return best
        return Best(progress.round, progress.value, progress.standard_error)
