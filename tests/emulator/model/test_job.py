"""State machine of a job, on plain values."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hybridloop.emulator.model.job import (
    JobError,
    JobState,
    JobStatus,
    with_begin,
    with_cancellation,
    with_failure,
    with_success,
)

ERROR = JobError("InvalidInputData", "no circuit")
ENDS: dict[JobStatus, Callable[[JobState, float], JobState]] = {
    JobStatus.SUCCEEDED: with_success,
    JobStatus.FAILED: lambda state, now: with_failure(state, now, ERROR),
    JobStatus.CANCELLED: with_cancellation,
}


@pytest.mark.parametrize("status", list(ENDS))
@pytest.mark.parametrize("began", [None, 2.0], ids=["waiting", "running"])
def test_a_job_ends_from_waiting_and_from_running(status: JobStatus, began: float | None) -> None:
    state = JobState(created=1.0)
    if began is not None:
        state = with_begin(state, began)
        assert state.status is JobStatus.EXECUTING
    ended = ENDS[status](state, 3.0)
    assert (ended.status, ended.began, ended.ended, ended.modified) == (status, began, 3.0, 3.0)
    assert ended.cancelled == (3.0 if status is JobStatus.CANCELLED else None)
    assert ended.error == (ERROR if status is JobStatus.FAILED else None)


@pytest.mark.parametrize("first", list(ENDS))
@pytest.mark.parametrize("second", list(ENDS))
def test_an_ended_job_does_not_change(first: JobStatus, second: JobStatus) -> None:
    ended = ENDS[first](JobState(created=1.0), 2.0)
    assert ENDS[second](ended, 3.0) == ended
    assert with_begin(ended, 3.0) == ended


def test_a_job_that_runs_again_after_a_restart_keeps_its_first_begin() -> None:
    running = with_begin(JobState(created=1.0), 2.0)
    assert with_begin(running, 9.0) == running
