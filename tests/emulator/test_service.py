"""Operations of the service without HTTP: atomic steps, repeated requests, refused jobs."""

from __future__ import annotations

import pytest

from hybridloop.emulator.admin.target_status import TargetStatusOverrides
from hybridloop.emulator.model.errors import ApiError
from hybridloop.emulator.model.job import JobError
from hybridloop.emulator.model.latency import LatencyModel
from hybridloop.emulator.model.session import JobFailurePolicy
from hybridloop.emulator.settings import IdleRule
from tests.emulator.store_load_helpers import START, USAGE, ServiceHarness

ERROR = JobError("InvalidInputData", "no circuit")


def test_under_abort_a_failed_job_cancels_the_pending_ones_in_the_same_step() -> None:
    harness = ServiceHarness(JobFailurePolicy.ABORT)
    failing, running, waiting = (harness.submit() for _ in range(3))
    for job in (failing, running):
        assert harness.service.begin(job.key) is not None
    harness.service.fail(failing.key, ERROR)
    assert [harness.job_status(job) for job in (failing, running, waiting)] == ["Failed", "Cancelled", "Cancelled"]
    assert harness.session_status() == "Failed"
    assert sorted(harness.queue.dropped) == [running.key, waiting.key]
    assert harness.service.begin(waiting.key) is None
    with pytest.raises(ApiError, match="Session is already in a terminal state"):
        harness.submit()


def test_a_result_after_the_cancellation_changes_nothing() -> None:
    harness = ServiceHarness(JobFailurePolicy.CONTINUE)
    job = harness.submit()
    harness.service.begin(job.key)
    harness.service.cancel_job("w", job.id)
    harness.service.succeed(job.key, b"{}", USAGE)
    harness.service.fail(job.key, ERROR)
    assert harness.job_status(job) == "Cancelled"
    assert harness.service.store.blob(job.request.container, "outputData") is None
    assert harness.service.session("w", harness.session_id).state.failed == 0


def test_a_job_that_ended_twice_is_counted_once() -> None:
    harness = ServiceHarness(JobFailurePolicy.CONTINUE)
    job = harness.submit()
    harness.service.begin(job.key)
    harness.service.succeed(job.key, b"{}", USAGE)
    harness.clock.advance_to(START + 50)
    harness.service.succeed(job.key, b"{}", USAGE)
    state = harness.service.session("w", harness.session_id).state
    assert (state.pending, state.last_job_end) == (0, START)


def test_a_repeated_submission_returns_the_existing_job_and_other_content_is_a_conflict() -> None:
    harness = ServiceHarness(JobFailurePolicy.CONTINUE)
    job = harness.submit("j1", params={"shots": 5, "nested": {"a": [1, 2.5]}}, tags=("x",))
    again = harness.submit("j1", params={"shots": 5, "nested": {"a": [1, 2.5]}}, tags=("x",))
    assert again == job
    assert harness.queue.added == [job.key]
    with pytest.raises(ApiError) as refusal:
        harness.submit("j1", params={"shots": 6})
    assert refusal.value.status == 409


def test_the_id_of_a_deleted_job_stays_taken() -> None:
    harness = ServiceHarness(JobFailurePolicy.CONTINUE)
    job = harness.submit("j1")
    harness.service.delete_job("w", job.id)
    with pytest.raises(ApiError) as gone:
        harness.service.job("w", job.id)
    assert gone.value.status == 404
    with pytest.raises(ApiError) as refusal:
        harness.submit("j1")
    assert refusal.value.status == 409


def test_an_idle_session_ends_at_its_own_time_however_far_the_clock_jumped() -> None:
    harness = ServiceHarness(JobFailurePolicy.CONTINUE)
    harness.service.end_idle_sessions()
    assert harness.session_status() == "Waiting"
    harness.service.advance(harness.clock, START + 599)
    assert harness.session_status() == "Waiting"
    harness.service.advance(harness.clock, START + 86_400)
    state = harness.service.session("w", harness.session_id).state
    assert (state.status, state.ended) == ("TimedOut", START + 600)


def test_a_pending_job_prevents_the_timeout_by_the_recorded_rule_but_not_by_the_documented_one() -> None:
    for rule, expected in ((IdleRule.RECORDED, "Executing"), (IdleRule.DOCUMENTED, "TimedOut")):
        harness = ServiceHarness(JobFailurePolicy.CONTINUE, rule)
        job = harness.submit()
        harness.service.advance(harness.clock, START + 7200)
        assert harness.session_status() == expected
        assert harness.job_status(job) == "Waiting"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"target": "rigetti.sim.other"}, 403, "InvalidJobDefinition"),
        ({"provider_id": "ionq"}, 403, "InvalidJobDefinition"),
        ({"target": "ionq.simulator", "provider_id": "ionq"}, 400, "InvalidJobDefinition"),
        ({"session_id": "nowhere"}, 404, "NotFound"),
        ({"target": "ionq.qpu.forte-1", "provider_id": "ionq", "session_id": None}, 409, "TargetUnavailable"),
    ],
)
def test_a_refused_job_leaves_no_trace(changes: dict[str, object], status: int, code: str) -> None:
    harness = ServiceHarness(JobFailurePolicy.CONTINUE)
    conditions = TargetStatusOverrides(harness.service, LatencyModel({}, 0))
    conditions.change({"ionq.qpu.forte-1": {"availability": "Unavailable"}})
    with pytest.raises(ApiError) as refusal:
        harness.submit("j1", **changes)
    assert (refusal.value.status, refusal.value.code) == (status, code)
    assert harness.session_status() == "Waiting"
    assert harness.queue.added == []
    harness.submit("j1")


def test_a_closing_session_takes_no_more_jobs() -> None:
    harness = ServiceHarness(JobFailurePolicy.CONTINUE)
    harness.submit()
    assert harness.service.close_session("w", harness.session_id).state.status == "Executing"
    with pytest.raises(ApiError, match="Session is already in a terminal state"):
        harness.submit()
