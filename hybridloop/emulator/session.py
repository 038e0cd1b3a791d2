"""A session's life as pure values: what each event makes of it. No storage, no HTTP, no clock."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace

from hybridloop.emulator.settings import IdleRule

IDLE_LIMIT_S = 600.0
SWEEP_EVERY_S = 120.0  # recorded time-outs end on a grid of two minutes


class SessionStatus(enum.StrEnum):
    """The statuses of the service, in its own spelling."""

    WAITING = "Waiting"
    EXECUTING = "Executing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    FAILURES = "Failure(s)"
    TIMED_OUT = "TimedOut"


class JobFailurePolicy(enum.StrEnum):
    """What becomes of the session when one of its jobs fails."""

    ABORT = "Abort"
    CONTINUE = "Continue"


@dataclass(frozen=True, slots=True)
class SessionState:
    """All that decides a session's course; times in seconds since 1970.

    `pending` counts its jobs that are not terminal, `failed` those that failed. `closing` says that its close was
    asked for while jobs were pending.
    """

    policy: JobFailurePolicy
    opened: float
    status: SessionStatus = SessionStatus.WAITING
    pending: int = 0
    failed: int = 0
    closing: bool = False
    last_submission: float | None = None
    last_job_end: float | None = None
    ended: float | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended: it will not change again."""
        return self.ended is not None

    @property
    def takes_jobs(self) -> bool:
        """Whether a new job is accepted."""
        return not (self.is_terminal or self.closing)


def with_job_accepted(state: SessionState, now: float) -> SessionState:
    """The session after a job was accepted into it; only while it takes jobs."""
    if not state.takes_jobs:
        raise ValueError(f"a session that is {state.status} takes no jobs")
    status = SessionStatus.EXECUTING if state.status is SessionStatus.WAITING else state.status
    return replace(state, status=status, pending=state.pending + 1, last_submission=now)


def with_job_ended(state: SessionState, now: float, *, failed: bool) -> SessionState:
    """The session after one of its jobs became terminal; `failed` is false for one that was cancelled.

    A session that this ends as Failed under Abort cancels its pending jobs: the caller's to do, in the same step.
    """
    state = replace(state, pending=state.pending - 1, failed=state.failed + failed, last_job_end=now)
    if state.is_terminal:
        return state
    if failed and state.policy is JobFailurePolicy.ABORT:
        return replace(state, status=SessionStatus.FAILED, ended=now)
    if failed:
        state = replace(state, status=SessionStatus.FAILURES)
    return _settled(state, now) if state.closing and state.pending == 0 else state


def with_close_asked(state: SessionState, now: float) -> SessionState:
    """The session after a close: ended if nothing is pending, else ending with its last job."""
    if state.is_terminal:
        return state
    state = replace(state, closing=True)
    return _settled(state, now) if state.pending == 0 else state


def times_out_at(state: SessionState, rule: IdleRule) -> float | None:
    """When the sweeper will end the session for idling if nothing more happens to it; None if it will not."""
    if state.is_terminal or state.closing:
        return None
    if rule is IdleRule.RECORDED:
        if state.pending:
            return None
        idle_since = max(state.opened, state.last_job_end or state.opened)
    else:
        idle_since = max(state.opened, state.last_submission or state.opened)
    return math.ceil((idle_since + IDLE_LIMIT_S) / SWEEP_EVERY_S) * SWEEP_EVERY_S


def with_time_out(state: SessionState, at: float) -> SessionState:
    """The session after the sweeper found it idle; failures do not change the word."""
    return replace(state, status=SessionStatus.TIMED_OUT, ended=at)


def _settled(state: SessionState, now: float) -> SessionState:
    status = SessionStatus.FAILED if state.failed else SessionStatus.SUCCEEDED
    return replace(state, status=status, ended=now)
