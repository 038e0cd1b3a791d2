"""State machine of a session as pure functions: each returns the state after one event.

Times are seconds since 1970. The status of a session that has ended does not change. The client has idle rules of its
own on purpose, in `hybridloop.tasks.keepalive`: one is tested against the other.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace

from hybridloop.emulator.settings import IdleRule

IDLE_LIMIT_S = 600.0
IDLE_CHECK_INTERVAL_S = 120.0  # recorded timeouts lie on a grid of two minutes


class SessionStatus(enum.StrEnum):
    """Session statuses of the service, in its spelling."""

    WAITING = "Waiting"
    EXECUTING = "Executing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    FAILURES = "Failure(s)"
    TIMED_OUT = "TimedOut"


class JobFailurePolicy(enum.StrEnum):
    """Policy for a session whose job fails: end it (Abort), or continue with the status Failure(s)."""

    ABORT = "Abort"
    CONTINUE = "Continue"


@dataclass(frozen=True, slots=True)
class SessionState:
    """State of a session; times in seconds since 1970.

    `pending` counts its jobs that have not ended, `failed` those that failed. `closing` is True after a close was
    requested while jobs were pending.
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
        return self.ended is not None

    @property
    def takes_jobs(self) -> bool:
        return not (self.is_terminal or self.closing)


def with_job_accepted(state: SessionState, now: float) -> SessionState:
    """Return the state after a job was accepted. Raises ValueError if the session takes no jobs."""
    if not state.takes_jobs:
        raise ValueError(f"a session that is {state.status} takes no jobs")
    status = SessionStatus.EXECUTING if state.status is SessionStatus.WAITING else state.status
    return replace(state, status=status, pending=state.pending + 1, last_submission=now)


def with_job_ended(state: SessionState, now: float, *, failed: bool) -> SessionState:
    """Return the state after one of its jobs ended; `failed` is False for a cancelled job.

    If this ends the session under Abort, the caller must cancel its pending jobs in the same step.
    """
    state = replace(state, pending=state.pending - 1, failed=state.failed + failed, last_job_end=now)
    if state.is_terminal:
        return state
    if failed and state.policy is JobFailurePolicy.ABORT:
        return replace(state, status=SessionStatus.FAILED, ended=now)
    if failed:
        state = replace(state, status=SessionStatus.FAILURES)
    return _with_final_status(state, now) if state.closing and state.pending == 0 else state


def with_close_requested(state: SessionState, now: float) -> SessionState:
    """Return the state after a close request: ended if no job is pending, else closing until the last one ends."""
    if state.is_terminal:
        return state
    state = replace(state, closing=True)
    return _with_final_status(state, now) if state.pending == 0 else state


def idle_timeout_at(state: SessionState, rule: IdleRule) -> float | None:
    """Return the time at which an idle session ends if nothing happens before; None if it will not."""
    if state.is_terminal or state.closing:
        return None
    if rule is IdleRule.RECORDED:
        if state.pending:
            return None
        idle_since = max(state.opened, state.last_job_end or state.opened)
    else:
        idle_since = max(state.opened, state.last_submission or state.opened)
    return math.ceil((idle_since + IDLE_LIMIT_S) / IDLE_CHECK_INTERVAL_S) * IDLE_CHECK_INTERVAL_S


def with_time_out(state: SessionState, now: float) -> SessionState:
    """Return the state after an idle timeout; the status is TimedOut also after failures."""
    return replace(state, status=SessionStatus.TIMED_OUT, ended=now)


def _with_final_status(state: SessionState, now: float) -> SessionState:
    status = SessionStatus.FAILED if state.failed else SessionStatus.SUCCEEDED
    return replace(state, status=status, ended=now)
