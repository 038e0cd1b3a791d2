"""Live state of a run: filled by its flow, read at any time from any thread for progress displays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hybridloop.descriptions import ALGORITHMS

if TYPE_CHECKING:  # these take a second to import, and a caller needs a feed before that
    from hybridloop.algorithms.outcome import RoundProgress
    from hybridloop.tasks.session import OpenSession
    from hybridloop.tasks.session_status import SessionSnapshot

MOST_VALUES = 200  # of the last rounds; a line of text shows fewer
SIGMAS = 2.0  # standard errors of the bound by which rounds are compared
ROUND, ITERATION = "round", "iteration"  # what an algorithm's progress counts
STEP_LOST = "what was being diagonalized is computed again by a resume, and nothing is paid again"


def name_of_progress(algorithm: str) -> str:
    """Return what an algorithm's progress counts."""
    return ITERATION if algorithm in ALGORITHMS and ALGORITHMS[algorithm].sampling_rounds else ROUND


@dataclass(frozen=True, slots=True)
class RoundUpdate:
    """A measured round, and the session in which it was measured with its jobs so far.

    `unit` is the unit of the value; empty for a dimensionless objective. `name` is "round", or "iteration" where the
    progress is that of a classical part, after the session was closed; its value is an upper bound, without an error.
    """

    progress: RoundProgress
    session_id: str
    session_status: str
    jobs: int
    unit: str
    name: str = ROUND


@dataclass(frozen=True, slots=True)
class Best:
    """The best value of a search so far within two errors, with its round; selected among noisy ones, so no result."""

    round: int
    value: float
    standard_error: float

    def bound(self, sense: int) -> float:
        """Return the value less two standard errors, where higher is better by `sense` (1; −1: lower is)."""
        return sense * self.value - SIGMAS * self.standard_error


@dataclass(frozen=True, slots=True)
class LiveState:
    """The state of a run at a moment; values in `unit`, which is empty for a dimensionless objective.

    `status` is "preparing", "running", and in the end that of the result, with its `reason`. `stage` is what is done
    before the first round, `search` the origin of the angles. `round` is the last
    complete round, 0 before the first, with its `phase`, `value` and `standard_error`. `values` are those of the last
    rounds. `best` is None where rounds measure different quantities (levels, points of a scan). `snapshot` is that of
    the session, None before there is one.
    """

    algorithm: str = ""
    problem: str = ""
    target: str = ""
    run_key: str = ""
    unit: str = ""
    status: str = "preparing"
    stage: str = ""
    search: str = ""
    reason: str = ""
    elapsed_s: float = 0.0
    round: int = 0
    phase: str = ""
    value: float | None = None
    standard_error: float | None = None
    values: tuple[float, ...] = ()
    best: Best | None = None
    snapshot: SessionSnapshot | None = None


class LiveFeed:
    """Channel from a flow to progress displays; reading it sends no request."""

    def __init__(
        self, *, now: Callable[[], float] = time.monotonic, on_search: Callable[[str], None] = lambda _: None
    ) -> None:
        """`now` is a time in seconds that only goes forward; `on_search` is called with the origin of the angles."""
        self._now, self._on_search = now, on_search
        self._started_at = now()
        self._ended_at: float | None = None
        self._lock = threading.Lock()
        self._state = LiveState()
        self._sense = 0
        self._session: OpenSession | None = None

    def prepare(self, algorithm: str, problem: str, target: str) -> None:
        """Set the algorithm, problem and target."""
        with self._lock:
            self._state = replace(self._state, algorithm=algorithm, problem=problem, target=target)

    def set_stage(self, stage: str) -> None:
        """Set what is done now, before the first round."""
        with self._lock:
            self._state = replace(self._state, stage=stage)

    def set_search(self, origin: str) -> None:
        """Set the origin of the angles: a search on the target, or a simulation."""
        with self._lock:
            self._state = replace(self._state, search=origin)
        self._on_search(origin)

    def begin(self, run_key: str, session: OpenSession, unit: str, sense: int) -> None:
        """Set the session; `sense` is -1 if lower values are better, 1 if higher ones are, else 0."""
        with self._lock:
            self._session, self._sense = session, sense
            self._state = replace(self._state, run_key=run_key, unit=unit, status="running")

    def add(self, progress: RoundProgress) -> None:
        """Add a complete round, measured now or replayed from the journal."""
        with self._lock:
            before = self._state
            self._state = replace(
                before,
                stage="",
                round=progress.round,
                phase=progress.phase,
                value=progress.value,
                standard_error=progress.standard_error,
                values=(*before.values, progress.value)[-MOST_VALUES:],
                best=self._better(before.best, progress),
            )

    def end(self, status: str, reason: str) -> None:
        """Set the status in which the run ended; only the first call counts."""
        with self._lock:
            if self._ended_at is None:
                self._ended_at = self._now()
                self._state = replace(self._state, status=status, stage="", reason=reason)

    def state(self) -> LiveState:
        """Return the current state."""
        with self._lock:
            state, session, ended_at = self._state, self._session, self._ended_at
        elapsed_s = (self._now() if ended_at is None else ended_at) - self._started_at
        return replace(state, elapsed_s=elapsed_s, snapshot=None if session is None else session.snapshot)

    def _better(self, best: Best | None, progress: RoundProgress) -> Best | None:
        if self._sense == 0:
            return None
        found = Best(progress.round, progress.value, progress.standard_error)
        return found if best is None or found.bound(self._sense) > best.bound(self._sense) else best


@dataclass(frozen=True, slots=True)
class View:
    """View of a run for its caller: a callback after each round, and the feed of a live view."""

    on_progress: Callable[[RoundUpdate], None] | None = None
    feed: LiveFeed | None = None


NO_VIEW = View()
