"""Polls of a round: which pages of the service's list of its jobs are read, and when."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from hybridloop.azure.client import PAGE_SIZE
from hybridloop.azure.retry import ATTEMPTS_IN_RUN
from hybridloop.errors import RunParked
from hybridloop.runtime.crash_points import crash_point
from hybridloop.runtime.waits import JOB_SILENT_S
from hybridloop.tasks.connection import Connection
from hybridloop.tasks.submission.job_in_flight import JobInFlight, JobPhase
from hybridloop.tasks.submission.jobs import TERMINAL

PAUSE_A_PAGE_S = 0.02  # after a poll of several pages: a page costs client and service about as much
UNLISTED_S = 30.0  # after which a job is asked for by its id: a deleted one is in no list
GONE = "gone"  # status of a job that the service accepted, and has no more: it was deleted
OVER = TERMINAL | {GONE}
_log = logging.getLogger(__name__)


def gone(job_id: str) -> dict[str, Any]:
    """Return the document of a job that was deleted at the service."""
    return {"id": job_id, "status": GONE}


class Work(Protocol):
    """Runs an action in a worker thread."""

    def __call__(self, action: Callable[[], None], *, first: bool) -> None:
        """Run it, if `first` before the actions that wait."""


class RoundPolls:
    """Lists a round's jobs by the prefix of their names, and gives each to `observe`."""

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        jobs: Callable[[], Sequence[JobInFlight]],
        observe: Callable[[Mapping[str, Any]], None],
        work: Work,
    ) -> None:
        self._connection = connection
        self._prefix = prefix
        self._jobs = jobs
        self._observe = observe
        self._work = work
        # a list has all rows of all its jobs: those of a batched round are listed at their end, else now and then
        self._states = TERMINAL if any(job.spec.rows is not None for job in jobs()) else frozenset()
        self._all_listed_at = connection.clock.now()
        self._unread = 0  # number of pages of the latest poll that are still to be read
        self._next_at = 0.0  # the earliest moment of the next poll
        self._lock = threading.Lock()

    def poll(self) -> None:
        """List the jobs of each session once, the pages side by side. Raises ServiceError, and RunParked (`_park`).

        Nothing is listed before all pages of the poll before are read, and some time for each is left to results.
        """
        jobs, now = self._jobs(), self._connection.clock.now()
        waiting = {job.session for job in jobs if job.phase < JobPhase.ENDING}
        if self._unread or now < self._next_at or not waiting:  # at the end the last results are being read
            return
        crash_point("poll.before")
        states: Iterable[str] = self._states
        if now - self._all_listed_at > JOB_SILENT_S / 4:
            self._all_listed_at, states = now, ()
        sizes = Counter(job.session for job in jobs)
        starts = {ordinal: range(0, sizes[ordinal], PAGE_SIZE) for ordinal in sorted(waiting)}
        self._unread = pages = sum(map(len, starts.values()))
        # earlier attempts may need more pages, after a session's last
        *others, last = (
            partial(self._read, ordinal, skip, states, pages, only_page=skip != starts[ordinal][-1])
            for ordinal in starts
            for skip in starts[ordinal]
        )
        for read in others:
            self._work(read, first=True)
        last()
        crash_point("poll.after")

    def list_accepted(self, ordinal: int, skip: int) -> None:
        """List a page of a session's jobs in a worker thread, while other jobs are still submitted."""
        self._work(partial(self._list, ordinal, skip, self._states, only_page=True), first=True)

    def _read(self, ordinal: int, skip: int, states: Iterable[str], pages: int, *, only_page: bool) -> None:
        """List a page of a poll, which ends with the last one."""
        self._list(ordinal, skip, states, only_page=only_page)
        with self._lock:
            self._unread -= 1
            is_last = not self._unread
        if is_last:
            self._next_at = self._connection.clock.now() + PAUSE_A_PAGE_S * (pages - 1)
            self._park()

    def _list(self, ordinal: int, skip: int, states: Iterable[str], *, only_page: bool) -> None:
        """Observe the jobs of a page, or of this page and the rest."""
        for job in self._connection.service.list_session_jobs(
            self._connection.sessions.rows[ordinal].id,
            name_prefix=self._prefix,
            states=states,
            attempts=ATTEMPTS_IN_RUN,
            skip=skip,
            only_page=only_page,
        ):
            self._observe(job)

    def _find(self, job_id: str) -> None:
        """Observe a job that was in no list, if the service has it no more."""
        if self._connection.service.find_job(job_id) is None:
            self._observe(gone(job_id))

    def _park(self) -> None:
        """Raise RunParked if one of the jobs has had no known status for JOB_SILENT_S; find those that were deleted."""
        now, jobs = self._connection.clock.now(), self._jobs()
        unlisted_s = UNLISTED_S + (JOB_SILENT_S / 4 if self._states else 0.0)  # between two lists of all jobs
        for job in jobs:
            if JobPhase.ACCEPTED <= job.phase < JobPhase.ENDING:
                job.known_at = now if job.known_at is None else job.known_at
                asked_at = max(job.known_at, job.asked_at)
                if now - asked_at > unlisted_s:
                    job.asked_at = now
                    self._work(partial(self._find, job.spec.id), first=False)
                if now - job.known_at > JOB_SILENT_S:
                    what = f"the status {job.listed!r}" if job.listed else "not been listed"
                    _log.warning(
                        "job %s has %s for %.0f minutes: the run is parked", job.spec.id, what, JOB_SILENT_S / 60
                    )
                    raise RunParked(sum(each.phase < JobPhase.DONE for each in jobs))
