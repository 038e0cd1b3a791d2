"""Failure policy of a run, for jobs, sessions and targets; the same words in Python, YAML and on the command line."""

from __future__ import annotations

import enum
import math
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hybridloop.runtime.durations import format_duration

_HALF_A_DAY_S = 43_200.0  # the longest queue on record


class OnJobFailure(enum.StrEnum):
    """Job failure policy of the service: the fate of a session in which a job fails."""

    ABORT = "abort"
    CONTINUE = "continue"


class OnLostJob(enum.StrEnum):
    """Treatment of a point whose job gave no counts in any attempt."""

    FAIL = "fail"
    PENALIZE = "penalize"
    SKIP = "skip"


class OnSessionLost(enum.StrEnum):
    """Treatment of a session that the service has ended."""

    RENEW = "renew"
    FAIL = "fail"


class OnTargetDown(enum.StrEnum):
    """Treatment of a target that takes no jobs."""

    WAIT = "wait"
    PARK = "park"
    FAIL = "fail"


def _number(value: object) -> object:
    if isinstance(value, bool):  # YAML's `yes` would be the number 1
        raise ValueError("must be a number, not yes or no")
    return value


_Count = Annotated[int, BeforeValidator(_number)]
_Real = Annotated[float, BeforeValidator(_number)]


class FailurePolicy(BaseModel):
    """Failure policy: retries of jobs, lost jobs, lost sessions, and targets that are down."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    session_on_job_failure: OnJobFailure = Field(
        OnJobFailure.CONTINUE,
        description="the service's own policy for a session in which a job fails: end it, or take further jobs",
    )
    retries: _Count = Field(3, ge=0, le=100, description="further attempts for a job with a transient failure")
    retry_within_s: _Real = Field(
        600.0, gt=0, le=_HALF_A_DAY_S, description="seconds after a job's first failure in which attempts may begin"
    )
    on_lost_job: OnLostJob = Field(
        OnLostJob.FAIL,
        description="when a job is lost for good: end the run, give its point a value, or leave the point out",
    )
    penalty: _Real | None = Field(
        None, description="value of a lost point, in the objective's unit (hartree for molecules); for penalize only"
    )
    max_lost_shots: _Real = Field(
        0.5,
        ge=0,
        le=1,
        description="share of shots that may lose a qubit (machines of atoms); a job that shows a larger share is lost",
    )
    on_session_lost: OnSessionLost = Field(
        OnSessionLost.RENEW, description="when the service ends the session: continue in a new one, or end the run"
    )
    max_renewals: _Count = Field(
        10,
        ge=1,
        le=10_000,
        description="sessions that the service may end underneath the run, each followed by the next",
    )
    on_target_down: OnTargetDown = Field(
        OnTargetDown.WAIT,
        description="while the target takes no jobs: wait for it, then end the run or park it; or end it at once",
    )
    target_down_wait_s: _Real = Field(
        1800.0, gt=0, le=_HALF_A_DAY_S, description="seconds to wait for a target that is down, each time"
    )

    @model_validator(mode="after")
    def _penalty_where_it_is_used(self) -> Self:
        penalizes = self.on_lost_job is OnLostJob.PENALIZE
        if penalizes and self.penalty is None:
            raise ValueError("penalize needs a penalty, the value that a lost point gets")
        if not penalizes and self.penalty is not None:
            raise ValueError(f"a penalty is for penalize, not for {self.on_lost_job.value}")
        return self


def is_above(lost: int, shots: int, share: float) -> bool:
    """Return whether so many lost shots show a probability above `share`, by three standard errors of its binomial.

    >>> is_above(1, 1, 0.5), is_above(600, 1000, 0.5)
    (False, True)
    """
    return lost > share * shots + 3.0 * math.sqrt(share * (1.0 - share) * shots)


def wait_for_target(policy: FailurePolicy, *, down_s: float) -> float | None:
    """Return the seconds that a target may stay down, after `down_s` already; None if it is not waited for any more."""
    left = policy.target_down_wait_s - down_s
    return None if policy.on_target_down is OnTargetDown.FAIL or left <= 0 else left


def target_down_text(policy: FailurePolicy, left_s: float) -> str:
    """Describe the policy for a target that is down: the wait of `left_s` seconds, what follows, and the options."""
    if policy.on_target_down is OnTargetDown.FAIL:
        return "The run does not wait for it (--on-target-down wait and park do)."
    if policy.on_target_down is OnTargetDown.WAIT:
        then = "it ends as failed, and `hybridloop runs resume` continues it"
        other = "With --on-target-down park it is parked then, and housekeeping resumes it"
    else:
        then = "it is parked, and housekeeping or `hybridloop runs resume` continues it"
        other = "With --on-target-down wait it ends as failed then"
    return (
        f"The run waits for it, {format_duration(left_s)} at most; if it is not back by then, {then}. "
        f"{other}, with fail it does not wait, and --target-down-wait-s says how long."
    )


def policy_warnings(policy: FailurePolicy) -> tuple[str, ...]:
    """Return the warnings about this policy, for the user before the run starts."""
    if policy.session_on_job_failure is not OnJobFailure.ABORT:
        return ()
    renewed = (
        f"a new session follows, at most {policy.max_renewals} times"
        if policy.on_session_lost is OnSessionLost.RENEW
        else "the run ends with it"
    )
    return (
        "session_on_job_failure: abort lets the service end the whole session, and cancel its other jobs, "
        f"at the first job that fails, for a transient error too; {renewed}.",
    )
