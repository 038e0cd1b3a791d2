"""State machine of a session, row by row, on plain values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.emulator.model.session import (
    JobFailurePolicy,
    SessionState,
    SessionStatus,
    idle_timeout_at,
    with_close_requested,
    with_job_accepted,
    with_job_ended,
    with_time_out,
)
from hybridloop.emulator.settings import IdleRule

ABORT, CONTINUE = JobFailurePolicy.ABORT, JobFailurePolicy.CONTINUE
S = SessionStatus


def opened(policy: JobFailurePolicy = ABORT, at: float = 0.0) -> SessionState:
    return SessionState(policy=policy, opened=at)


def with_jobs(count: int, policy: JobFailurePolicy = ABORT, at: float = 1.0) -> SessionState:
    state = opened(policy)
    for _ in range(count):
        state = with_job_accepted(state, at)
    return state


def test_an_opened_session_waits_and_takes_jobs() -> None:
    assert opened().status is S.WAITING
    assert opened().takes_jobs


def test_the_first_job_makes_it_execute() -> None:
    assert with_jobs(1).status is S.EXECUTING
    assert with_jobs(2).pending == 2


def test_close_without_a_job_succeeds_at_once() -> None:
    closed = with_close_requested(opened(), 5.0)
    assert (closed.status, closed.ended) == (S.SUCCEEDED, 5.0)


def test_close_after_all_jobs_ended_succeeds_at_once() -> None:
    closed = with_close_requested(with_job_ended(with_jobs(1), 2.0, failed=False), 5.0)
    assert (closed.status, closed.ended) == (S.SUCCEEDED, 5.0)


def test_close_with_pending_jobs_stays_executing_until_the_last_one_ends() -> None:
    state = with_close_requested(with_jobs(2), 5.0)
    assert (state.status, state.ended, state.takes_jobs) == (S.EXECUTING, None, False)
    state = with_job_ended(state, 6.0, failed=False)
    assert (state.status, state.ended) == (S.EXECUTING, None)
    state = with_job_ended(state, 7.0, failed=False)
    assert (state.status, state.ended) == (S.SUCCEEDED, 7.0)


@pytest.mark.parametrize("before", [with_jobs(3), with_close_requested(with_jobs(3), 1.5)], ids=["open", "closing"])
def test_under_abort_a_failed_job_ends_the_session_with_its_other_jobs_pending(before: SessionState) -> None:
    state = with_job_ended(before, 2.0, failed=True)
    assert (state.status, state.ended, state.pending) == (S.FAILED, 2.0, 2)
    assert not state.takes_jobs
    later = with_job_ended(state, 9.0, failed=False)
    assert (later.status, later.ended, later.pending) == (S.FAILED, 2.0, 1)


def test_under_continue_the_session_has_failures_and_takes_jobs_after_a_failed_job() -> None:
    state = with_job_ended(with_jobs(1, CONTINUE), 2.0, failed=True)
    assert (state.status, state.ended) == (S.FAILURES, None)
    state = with_job_ended(with_job_accepted(state, 3.0), 4.0, failed=False)
    assert state.status is S.FAILURES
    assert (with_close_requested(state, 5.0).status, with_close_requested(state, 5.0).ended) == (S.FAILED, 5.0)


def test_under_continue_a_failure_while_closing_ends_failed_with_the_last_job() -> None:
    state = with_close_requested(with_jobs(2, CONTINUE), 2.0)
    state = with_job_ended(state, 3.0, failed=True)
    assert (state.status, state.ended) == (S.FAILURES, None)
    state = with_job_ended(state, 4.0, failed=False)
    assert (state.status, state.ended) == (S.FAILED, 4.0)


@pytest.mark.parametrize("policy", [ABORT, CONTINUE])
def test_a_cancelled_job_is_no_failure(policy: JobFailurePolicy) -> None:
    state = with_job_ended(with_jobs(1, policy), 2.0, failed=False)
    assert state.status is S.EXECUTING
    assert with_close_requested(state, 3.0).status is S.SUCCEEDED


def test_a_timed_out_session_is_timed_out_also_after_failures() -> None:
    state = with_job_ended(with_jobs(1, CONTINUE), 2.0, failed=True)
    assert with_time_out(state, 720.0).status is S.TIMED_OUT


@pytest.mark.parametrize(
    "end", [with_close_requested(opened(), 5.0), with_time_out(opened(), 720.0)], ids=["closed", "timed out"]
)
def test_a_close_leaves_a_terminal_session_unchanged_and_it_takes_no_jobs(end: SessionState) -> None:
    assert with_close_requested(end, 999.0) == end
    with pytest.raises(ValueError, match="takes no jobs"):
        with_job_accepted(end, 999.0)


@pytest.mark.parametrize("opening", [0.0, 1.0, 119.0, 120.0, 17_000_000.5])
def test_an_idle_session_times_out_on_the_grid_600_to_720_seconds_after_its_opening(opening: float) -> None:
    moment = idle_timeout_at(opened(at=opening), IdleRule.RECORDED)
    assert moment is not None
    assert moment % 120 == 0
    assert 600 <= moment - opening < 720


def test_by_the_recorded_rule_idling_counts_from_the_last_jobs_end_and_not_while_one_is_pending() -> None:
    state = with_jobs(1, at=500.0)
    assert idle_timeout_at(state, IdleRule.RECORDED) is None
    assert idle_timeout_at(with_job_ended(state, 5000.0, failed=False), IdleRule.RECORDED) == 5640.0


def test_by_the_documented_rule_idling_counts_from_the_last_submission_even_while_it_is_pending() -> None:
    state = with_jobs(1, at=480.0)
    assert idle_timeout_at(state, IdleRule.DOCUMENTED) == 1080.0
    assert idle_timeout_at(with_job_ended(state, 5000.0, failed=False), IdleRule.DOCUMENTED) == 1080.0


@pytest.mark.parametrize("rule", list(IdleRule))
def test_a_closing_or_ended_session_does_not_time_out(rule: IdleRule) -> None:
    assert idle_timeout_at(with_close_requested(with_jobs(1), 2.0), rule) is None
    assert idle_timeout_at(with_close_requested(opened(), 2.0), rule) is None


@given(
    st.sampled_from([ABORT, CONTINUE]),
    st.lists(st.sampled_from(["submit", "succeed", "fail", "cancel", "close", "time out"]), max_size=40),
)
def test_an_ended_session_keeps_its_status_and_end(policy: JobFailurePolicy, events: list[str]) -> None:
    state = opened(policy)
    for now, event in enumerate(events, 1):
        before = state
        if event == "submit" and state.takes_jobs:
            state = with_job_accepted(state, now)
        elif event in ("succeed", "fail", "cancel") and state.pending:
            state = with_job_ended(state, now, failed=event == "fail")
        elif event == "close":
            state = with_close_requested(state, now)
        elif event == "time out" and not state.is_terminal:
            state = with_time_out(state, now)
        if before.is_terminal:
            assert (state.status, state.ended) == (before.status, before.ended)
        assert state.is_terminal == (state.status in (S.SUCCEEDED, S.FAILED, S.TIMED_OUT))
        assert state.pending >= 0
        assert (state.status is S.WAITING) <= (state.pending == 0)
