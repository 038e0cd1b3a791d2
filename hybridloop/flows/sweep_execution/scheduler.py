"""Scheduler of a sweep: start its unfinished points, a bounded number at once, and retry those that may succeed."""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from hybridloop.data.states import Who
from hybridloop.data.statuses import WITH_RESULT
from hybridloop.errors import InputError, JournalError
from hybridloop.flows.sweep_execution.results import row_of
from hybridloop.flows.sweep_execution.spec import Point
from hybridloop.journal import Journal, RunRecord
from hybridloop.runs.hold import begin_extension
from hybridloop.runs.order import algorithm_order
from hybridloop.runs.resumable import was_outage
from hybridloop.runs.run import Run, find_run, run_of_key
from hybridloop.runtime.waits import JOURNAL_AWAY_S, SWEEP_OUTAGE_S
from hybridloop.settings import goals_of

T = TypeVar("T")
_log = logging.getLogger(__name__)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0  # a lease of a process on another machine ends after 60 s


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """End of an attempt: `trouble` is its error, empty after success; `again` is true if a retry may help.

    `is_own` is false if it was no failure of the point: a server was away, or another process holds the point's run.
    """

    key: str
    trouble: str = ""
    again: bool = False
    is_own: bool = True


class Execution(Protocol):
    """Executor of points: processes on this machine, or workers of a deployment."""

    @property
    def room(self) -> int:
        """The number of points that can start now."""
        ...

    def start(self, point: Point, /) -> None:
        """Start an attempt of a point."""
        ...

    def ended(self, within_s: float, /) -> Sequence[AttemptEnd]:
        """Wait for ended attempts, up to this time; return them, or none."""
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
    outages: int = 0  # before it, one after the other
    away_since: float = 0.0

    def after(self, *, is_own: bool, now: float) -> _Attempt:
        """Return the attempt that follows this one: an outage takes none, and is waited for."""
        failures = self.number if is_own else self.outages + 1
        due = now + min(FIRST_PAUSE_S * 4 ** (failures - 1), LONGEST_PAUSE_S)
        if is_own:
            return _Attempt(self.point, self.number + 1, due)
        return _Attempt(self.point, self.number, due, failures, self.away_since or now)


def run_points(
    points: Iterable[Point],
    execution: Execution,
    journal: Journal,
    workspace: Mapping[str, str],
    *,
    attempts: int,
    on_point: OnPoint,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[list[dict[str, Any]], int]:
    """Run the points without a stored result; return all rows in order of the points, and the number of those begun.

    Points are read one by one, as there is room. A failed point is retried after a pause, up to `attempts` attempts, if
    that may help; other points do not wait for it. An outage takes no attempt: it is waited for, up to a day.
    Raises InputError if the run of a point was started differently, for example in another workspace.
    """
    rows: dict[str, dict[str, Any] | None] = {}
    begun = 0
    new_points, paused = iter(points), deque[_Attempt]()
    in_flight: dict[str, _Attempt] = {}
    numbers = itertools.count(1)

    def done(key: str, row: dict[str, Any]) -> None:
        rows[key] = row
        on_point(SweepProgress(next(numbers), row))

    is_exhausted = False
    while True:
        # start what there is room for: retries that are due first, then new points
        while execution.room > 0:
            if paused and paused[0].not_before <= clock():
                attempt = paused.popleft()
            elif (point := next(new_points, None)) is not None:
                if point.key in rows:  # listed twice
                    continue
                rows[point.key] = None  # reserves its place in the table
                if (found := _find_run(journal, point, workspace)).has_result:
                    done(point.key, row_of(point, found.record))
                    continue
                if found.extension is not None:
                    begin_extension(journal, found)
                begun += 1
                attempt = _Attempt(point)
            else:
                is_exhausted = True
                break
            in_flight[attempt.point.key] = attempt
            execution.start(attempt.point)
        if is_exhausted and not in_flight and not paused:
            return [row for row in rows.values() if row is not None], begun
        # wait for an end, or until the next retry is due if there is room for it
        may_retry = paused and execution.room > 0
        pause = max(0.0, paused[0].not_before - clock()) if may_retry else LONGEST_PAUSE_S
        for end in execution.ended(pause):
            attempt = in_flight.pop(end.key)
            record = retry_journal(lambda key=end.key: run_of_key(journal, key))  # type: ignore[misc]
            is_own = end.is_own and not _was_away(journal, record)
            following = attempt.after(is_own=is_own, now=clock())
            is_over = following.number > attempts or clock() - (following.away_since or clock()) > SWEEP_OUTAGE_S
            if not end.again or is_over:
                done(end.key, row_of(attempt.point, record, end.trouble))
                continue
            _log.log(
                logging.WARNING if following.outages <= 1 else logging.DEBUG,  # an outage is told once
                "point %s: %s; attempt %d of %d follows in %.0f s",
                *(end.key, end.trouble, following.number, attempts, following.not_before - clock()),
            )
            paused.append(following)
            paused = deque(sorted(paused, key=lambda attempt: attempt.not_before))


def _was_away(journal: Journal, record: RunRecord | None) -> bool:
    """Return True if an outage of the service, the target or the database ended the run last."""
    if record is None or record.status in WITH_RESULT:
        return False
    return retry_journal(lambda: was_outage(journal.events(record.uid)))


def with_seeds(points: Iterable[Point], journal: Journal) -> list[Point]:
    """Return the points with their own seeds; those of a sweep that was begun with one seed for all keep that one."""
    listed = list(points)
    for point in listed:
        if point.own_seed is None:
            continue
        record = retry_journal(lambda key=point.key: run_of_key(journal, key))  # type: ignore[misc]
        if record is not None:
            return listed if record.seed == point.settings.seed else [each.with_own_seed() for each in listed]
    return [point.with_own_seed() for point in listed]


def unfinished_points(points: Iterable[Point], journal: Journal) -> Iterator[Point]:
    """Yield the points that have no result in the journal."""
    for point in points:
        record = retry_journal(lambda key=point.key: run_of_key(journal, key))  # type: ignore[misc]
        if record is None or record.status not in WITH_RESULT:
            yield point


def retry_journal(read: Callable[[], T], on_outage: Callable[[], None] = lambda: None) -> T:
    """Read from the journal, with retries for five minutes while its server is restarted; tell each failure."""
    began, pause = time.monotonic(), 0.5
    while True:
        try:
            return read()
        except JournalError as error:
            if type(error) is not JournalError or time.monotonic() - began > JOURNAL_AWAY_S:  # damaged, or too new
                raise
            on_outage()
        time.sleep(pause)
        pause = min(2 * pause, 10.0)


def _find_run(journal: Journal, point: Point, workspace: Mapping[str, str]) -> Run:
    order = algorithm_order(point.algorithm, point.problem, point.settings, point.key, workspace=workspace)
    goals = goals_of(type(point.settings))
    try:
        try:
            return retry_journal(lambda: find_run(journal, order))
        except InputError as error:
            if error.field not in goals:
                raise
            return retry_journal(lambda: find_run(journal, replace(order, who=Who.PERSON)))
    except InputError as error:
        raise InputError(error.field, error.problem, "Give the sweep another name.") from error
