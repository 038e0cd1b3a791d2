"""State machine of a job as pure functions: each returns the state after one event.

Times are seconds since 1970. A job that has ended does not change: every function returns it as it is.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace


class JobStatus(enum.StrEnum):
    """Job statuses of the service that occur here, in its spelling."""

    WAITING = "Waiting"
    EXECUTING = "Executing"
    FINISHING = "Finishing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


@dataclass(frozen=True, slots=True)
class JobError:
    """Error of a failed job, shown as `errorData`; code and message may be null."""

    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class JobState:
    """State of a job; times in seconds since 1970.

    `finished` is the end of its execution if its status changed only later, at `ended`.
    """

    created: float
    status: JobStatus = JobStatus.WAITING
    began: float | None = None
    finished: float | None = None
    ended: float | None = None
    cancelled: float | None = None
    modified: float | None = None
    error: JobError | None = None

    @property
    def is_terminal(self) -> bool:
        return self.ended is not None


def with_begin(state: JobState, now: float) -> JobState:
    """Return the state of a job that starts to run; after a restart it keeps its first start."""
    if state.is_terminal or state.began is not None:
        return state
    return replace(state, status=JobStatus.EXECUTING, began=now, modified=now)


def with_finish(state: JobState, now: float) -> JobState:
    """Return the state of a job that was executed and whose final status is not known yet."""
    if state.is_terminal or state.finished is not None:
        return state
    return replace(state, status=JobStatus.FINISHING, finished=now, modified=now)


def with_success(state: JobState, now: float) -> JobState:
    """Return the state of a job whose result is stored."""
    if state.is_terminal:
        return state
    return replace(state, status=JobStatus.SUCCEEDED, ended=now, modified=now)


def with_failure(state: JobState, now: float, error: JobError) -> JobState:
    """Return the state of a job that can't be run, or whose run failed."""
    if state.is_terminal:
        return state
    return replace(state, status=JobStatus.FAILED, ended=now, modified=now, error=error)


def with_cancellation(state: JobState, now: float) -> JobState:
    """Return the state of a job that was cancelled while it waited or ran."""
    if state.is_terminal:
        return state
    return replace(state, status=JobStatus.CANCELLED, ended=now, cancelled=now, modified=now)
