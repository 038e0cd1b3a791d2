"""A job's life as pure values: what each event makes of it. No storage, no HTTP, no clock."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace


class JobStatus(enum.StrEnum):
    """The statuses of the service that occur here, in its own spelling."""

    WAITING = "Waiting"
    EXECUTING = "Executing"
    FINISHING = "Finishing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed, as its `errorData` says it."""

    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class JobState:
    """What changes in a job's life; times in seconds since 1970.

    `finished` is when its execution was over, where that was earlier than its end, which is when its status said so.
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
        """Whether it has ended: it will not change again."""
        return self.ended is not None


def with_begin(state: JobState, now: float) -> JobState:
    """The job as it starts to run; one that ran before a restart keeps its first begin."""
    if state.is_terminal or state.began is not None:
        return state
    return replace(state, status=JobStatus.EXECUTING, began=now, modified=now)


def with_finish(state: JobState, now: float) -> JobState:
    """The job that has been executed, before its status says how that ended."""
    if state.is_terminal or state.finished is not None:
        return state
    return replace(state, status=JobStatus.FINISHING, finished=now, modified=now)


def with_success(state: JobState, now: float) -> JobState:
    """The job with its result in place."""
    if state.is_terminal:
        return state
    return replace(state, status=JobStatus.SUCCEEDED, ended=now, modified=now)


def with_failure(state: JobState, now: float, error: JobError) -> JobState:
    """The job that can't be run, or whose run failed."""
    if state.is_terminal:
        return state
    return replace(state, status=JobStatus.FAILED, ended=now, modified=now, error=error)


def with_cancellation(state: JobState, now: float) -> JobState:
    """The job that nobody wants any more, waiting or running."""
    if state.is_terminal:
        return state
    return replace(state, status=JobStatus.CANCELLED, ended=now, cancelled=now, modified=now)
