"""The service's steps without HTTP: what happens together, and what never happens twice."""

from __future__ import annotations

import pytest

from hybridloop.emulator.faults import ServiceFault
from hybridloop.emulator.job import JobError
from hybridloop.emulator.session import JobFailurePolicy
from hybridloop.emulator.settings import IdleRule
from tests.emulator.bench import START, USAGE, Bench

ERROR = JobError("InvalidInputData", "no circuit")


def test_under_abort_a_failed_job_cancels_the_pending_ones_in_the_same_step() -> None:
    bench = Bench(JobFailurePolicy.ABORT)
    failing, running, waiting = (bench.submit() for _ in range(3))
    for job in (failing, running):
        assert bench.service.begin(job.key) is not None
    bench.service.fail(failing.key, ERROR)
    assert [bench.job_status(job) for job in (failing, running, waiting)] == ["Failed", "Cancelled", "Cancelled"]
    assert bench.session_status() == "Failed"
    assert sorted(bench.queue.dropped) == [running.key, waiting.key]
    assert bench.service.begin(waiting.key) is None
    with pytest.raises(ServiceFault, match="Session is already in a terminal state"):
        bench.submit()


def test_a_result_that_comes_after_the_cancellation_changes_nothing() -> None:
    bench = Bench(JobFailurePolicy.CONTINUE)
    job = bench.submit()
    bench.service.begin(job.key)
    bench.service.cancel_job("w", job.id)
    bench.service.succeed(job.key, b"{}", USAGE)
    bench.service.fail(job.key, ERROR)
    assert bench.job_status(job) == "Cancelled"
    assert bench.service.containers.find(job.request.container, "outputData") is None
    assert bench.service.session("w", bench.session_id).state.failed == 0


def test_a_job_that_ended_twice_is_counted_once() -> None:
    bench = Bench(JobFailurePolicy.CONTINUE)
    job = bench.submit()
    bench.service.begin(job.key)
    bench.service.succeed(job.key, b"{}", USAGE)
    bench.clock.advance_to(START + 50)
    bench.service.succeed(job.key, b"{}", USAGE)
    state = bench.service.session("w", bench.session_id).state
    assert (state.pending, state.last_job_end) == (0, START)


def test_the_same_job_again_is_the_one_that_is_there_and_other_content_is_a_conflict() -> None:
    bench = Bench(JobFailurePolicy.CONTINUE)
    job = bench.submit("j1", params={"shots": 5, "nested": {"a": [1, 2.5]}}, tags=("x",))
    again = bench.submit("j1", params={"shots": 5, "nested": {"a": [1, 2.5]}}, tags=("x",))
    assert again == job
    assert bench.queue.added == [job.key]
    with pytest.raises(ServiceFault) as refusal:
        bench.submit("j1", params={"shots": 6})
    assert refusal.value.status == 409


def test_an_id_stays_taken_after_its_job_was_deleted() -> None:
    bench = Bench(JobFailurePolicy.CONTINUE)
    job = bench.submit("j1")
    bench.service.delete_job("w", job.id)
    with pytest.raises(ServiceFault) as gone:
        bench.service.job("w", job.id)
    assert gone.value.status == 404
    with pytest.raises(ServiceFault) as refusal:
        bench.submit("j1")
    assert refusal.value.status == 409


def test_the_sweeper_ends_sessions_at_their_own_moment_however_far_the_clock_jumped() -> None:
    bench = Bench(JobFailurePolicy.CONTINUE)
    bench.service.sweep()
    assert bench.session_status() == "Waiting"
    bench.service.advance(bench.clock, START + 599)
    assert bench.session_status() == "Waiting"
    bench.service.advance(bench.clock, START + 86_400)
    state = bench.service.session("w", bench.session_id).state
    assert (state.status, state.ended) == ("TimedOut", START + 600)


def test_by_the_recorded_rule_a_pending_job_keeps_the_session_and_by_the_documented_one_it_does_not() -> None:
    for rule, expected in ((IdleRule.RECORDED, "Executing"), (IdleRule.DOCUMENTED, "TimedOut")):
        bench = Bench(JobFailurePolicy.CONTINUE, rule)
        job = bench.submit()
        bench.service.advance(bench.clock, START + 7200)
        assert bench.session_status() == expected
        assert bench.job_status(job) == "Waiting"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"target": "rigetti.sim.other"}, 403, "InvalidJobDefinition"),
        ({"provider_id": "ionq"}, 403, "InvalidJobDefinition"),
        ({"target": "ionq.simulator", "provider_id": "ionq"}, 400, "InvalidJobDefinition"),
        ({"session_id": "nowhere"}, 404, "NotFound"),
        ({"target": "ionq.qpu.aria-1", "provider_id": "ionq", "session_id": None}, 409, "TargetUnavailable"),
    ],
)
def test_a_job_that_is_not_accepted_leaves_no_trace(changes: dict[str, object], status: int, code: str) -> None:
    bench = Bench(JobFailurePolicy.CONTINUE)
    with pytest.raises(ServiceFault) as refusal:
        bench.submit("j1", **changes)
    assert (refusal.value.status, refusal.value.code) == (status, code)
    assert bench.session_status() == "Waiting"
    assert bench.queue.added == []
    bench.submit("j1")


def test_a_closing_session_takes_no_more_jobs() -> None:
    bench = Bench(JobFailurePolicy.CONTINUE)
    bench.submit()
    assert bench.service.close_session("w", bench.session_id).state.status == "Executing"
    with pytest.raises(ServiceFault, match="Session is already in a terminal state"):
        bench.submit()
