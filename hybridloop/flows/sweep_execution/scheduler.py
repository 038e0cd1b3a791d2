"""The way through a sweep: what has its result is left alone, the rest is run, a bounded number of points at once."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from hybridloop.errors import InputError, JournalError
from hybridloop.flows.sweep_execution.results import row_of
from hybridloop.flows.sweep_execution.spec import Point
from hybridloop.journal import Journal
from hybridloop.runs.lookup import RunLookup, RunRequest, find_run, run_of_key

T = TypeVar("T")
AWAY_S = 300.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0  # a lease of a process on another machine ends after 60 s


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that is over: `trouble` says what it ended with, empty where the run came to its own end.

    `again` is whether a further attempt may do better.
    """

    key: str
    trouble: str = ""
    again: bool = False


class Execution(Protocol):
    """What runs points: processes on this machine, or a deployment's workers."""

    @property
    def room(self) -> int:
        """How many points can be taken now."""
        ...

    def start(self, point: Point, /) -> None:
        """Take a point."""
        ...

    def ended(self, within_s: float, /) -> Sequence[Ended]:
        """The attempts that ended, as soon as there is one; none after that time."""
        ...


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """A point's row, after how many points of the sweep have theirs."""

    number: int
    row: Mapping[str, Any]


OnPoint = Callable[[SweepProgress], None]


@dataclass(slots=True)
class _Attempt:
    point: Point
    number: int = 1
    not_before: float = 0.0


def swept(
    points: Iterable[Point],
    execution: Execution,
    journal: Journal,
    workspace: Mapping[str, str],
    *,
    attempts: int,
    on_point: OnPoint,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[list[dict[str, Any]], int]:
    """The rows in the order of the points, and how many of these were not there yet.

    Points are taken one by one, as there is room for them. A point that fails is begun again after a pause, as often
    as `attempts` says, if that may help; no other point waits for it. Raises InputError where a point's run was begun
    otherwise, such as in another workspace.
    """
    rows: dict[str, dict[str, Any] | None] = {}
    begun = 0
    fresh, paused = iter(points), deque[_Attempt]()
    in_flight: dict[str, _Attempt] = {}
    counted = itertools.count(1)

    def done(key: str, row: dict[str, Any]) -> None:
        rows[key] = row
        on_point(SweepProgress(next(counted), row))

    is_exhausted = False
    while True:
        while execution.room > 0:
            if paused and paused[0].not_before <= clock():
                attempt = paused.popleft()
            elif (point := next(fresh, None)) is not None:
                if point.key in rows:  # listed twice
                    continue
                rows[point.key] = None  # keeps its place
                if (found := _found(journal, point, workspace)).result is not None:
                    done(point.key, row_of(point, found.record))
                    continue
                begun += 1
                attempt = _Attempt(point)
            else:
                is_exhausted = True
                break
            in_flight[attempt.point.key] = attempt
            execution.start(attempt.point)
        if is_exhausted and not in_flight and not paused:
            return [row for row in rows.values() if row is not None], begun
        may_begin = paused and execution.room > 0  # else it waits for another's end
        pause = max(0.0, paused[0].not_before - clock()) if may_begin else LONGEST_PAUSE_S
        for end in execution.ended(pause):
            attempt = in_flight.pop(end.key)
            record = when_it_answers(lambda key=end.key: run_of_key(journal, key))  # type: ignore[misc]
            if not end.again or attempt.number >= attempts:
                done(end.key, row_of(attempt.point, record, end.trouble))
                continue
            wait = min(FIRST_PAUSE_S * 4 ** (attempt.number - 1), LONGEST_PAUSE_S)
            paused.append(_Attempt(attempt.point, attempt.number + 1, clock() + wait))
            paused = deque(sorted(paused, key=lambda each: each.not_before))


def when_it_answers(read: Callable[[], T]) -> T:
    """What a journal says, asked again for five minutes where its server is being restarted."""
    began, pause = time.monotonic(), 0.5
    while True:
        try:
            return read()
        except JournalError as error:
            if type(error) is not JournalError or time.monotonic() - began > AWAY_S:  # damaged, or too new
                raise
        time.sleep(pause)
        pause = min(2 * pause, 10.0)


def _found(journal: Journal, point: Point, workspace: Mapping[str, str]) -> RunLookup:
    request = RunRequest(point.algorithm, point.problem, point.settings, workspace, point.key)
    try:
        return when_it_answers(lambda: find_run(journal, request))
    except InputError as error:
        raise InputError(error.field, error.problem, "Give the sweep another name.") from error
