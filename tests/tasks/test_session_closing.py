"""Runs whose jobs fail, whose target is down or whose queue is long, in virtual time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.quantum import Workspace
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

import hybridloop as hl
from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub
from hybridloop.budget.caps import Caps
from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.errors import CapReached, InputError, JobFailed, RunParked, SessionEnded, TargetDown
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import HeldRun, hold_run
from hybridloop.settings.failure_policy import FailurePolicy, OnJobFailure, OnLostJob, OnTargetDown, target_down_text
from hybridloop.settings.keep_alive import ExclusiveAccess, KeepAliveSettings
from hybridloop.settings.session_options import SessionOptions
from hybridloop.tasks.orphans import close_session_by_hand
from hybridloop.tasks.submission.job_in_flight import JobPhase
from tests.conftest import Emulator
from tests.session_helpers import open_run_session
from tests.tasks.conftest import add_run
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("job_per_point")

TARGET = "rigetti.sim.qvm"
POINTS = 3
DOWN = {"fault": "error", "status": 409, "code": "TargetUnavailable", "operation": "submit"}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[HeldRun]:
    with Journal(journal_url(tmp_path / "journal.db")) as journal:
        with hold_run(journal, add_run(journal)) as held:
            yield held


@pytest.fixture
def workspace(service: Emulator) -> Workspace:
    return service.workspace()


def ones(shots: int = 10) -> SamplerPub:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    return SamplerPub.coerce(circuit, shots)


def assert_right(answers: list[MeasuredPub]) -> None:
    for (counts,) in answers:
        assert isinstance(counts, Counts)
        assert counts.bitstrings() == {"1": 10}


def books(service: Emulator, run: HeldRun) -> Any:
    return service.admin(f"ledger?run={run.uid}")


@pytest.mark.claim("a job fails with a transient error")
def test_a_transiently_failed_job_is_submitted_again_as_the_next_attempt(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun
) -> None:
    service.admin("faults", {"rules": [{"fault": "job-fails", "code": "InternalError", "nth": [1, 2, 4]}]})
    with open_run_session(workspace, run=run, clock=clock) as session:
        assert_right(session.run_round([ones()] * POINTS))
    found = books(service, run)
    assert (session.num_jobs, session.retried) == (POINTS, 3)
    assert (len(found["entries"]), found["duplicates"]["count"]) == (POINTS + 3, 0)
    assert sum(entry["attempt"] == "0" for entry in found["entries"]) == POINTS
    record = run.journal.round(run.uid, "main", 0)
    assert record is not None
    assert sorted(job.state for job in record.jobs) == ["done"] * POINTS + ["failed"] * 3


def test_no_attempt_begins_later_after_the_first_failure_than_the_policy_says(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun
) -> None:
    service.admin("targets", {TARGET: {"queue_s": 20}})
    service.admin("faults", {"rules": [{"fault": "job-fails", "code": "InternalError"}]})
    with (
        pytest.raises(JobFailed, match="after 2 attempts"),
        open_run_session(
            workspace, options=SessionOptions(failure=FailurePolicy(retries=5, retry_within_s=10)), run=run, clock=clock
        ) as session,
    ):
        session.run_round([ones()])


@pytest.mark.claim("No job is submitted twice")
def test_a_failed_attempt_is_recorded_before_the_next_is_sent(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun
) -> None:
    rules = [{"fault": "job-fails", "code": "InternalError", "times": 1}, {**DOWN, "before_s": 60}]
    service.admin("faults", {"rules": rules})
    with open_run_session(workspace, run=run, clock=clock) as session:
        round_ = session.rounds.start([ones()])
        clock.wait(threading.Event(), 30.0)
        record = run.journal.round(run.uid, "main", 0)
        assert record is not None
        assert [job.state for job in record.jobs] == ["failed", "intended"]
        assert_right(session.rounds.collect(round_))


@pytest.mark.claim("a job fails with a transient error")
def test_attempts_are_bounded_and_a_resume_starts_the_count_again(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun
) -> None:
    policy = FailurePolicy(retries=2)
    service.admin("faults", {"rules": [{"fault": "job-fails", "code": "InternalError"}]})
    with (
        pytest.raises(JobFailed, match="after 3 attempts"),
        open_run_session(workspace, options=SessionOptions(failure=policy), run=run, clock=clock) as session,
    ):
        session.run_round([ones()])
    assert len(books(service, run)["entries"]) == 3
    service.admin("faults", {"rules": []})
    with open_run_session(workspace, options=SessionOptions(failure=policy), run=run, clock=clock) as session:
        assert_right(session.run_round([ones()]))
    found = books(service, run)
    assert (len(found["entries"]), found["duplicates"]["count"]) == (4, 0)


@pytest.mark.claim("a job fails permanently")
@pytest.mark.parametrize(
    "policy",
    [FailurePolicy(on_lost_job=OnLostJob.PENALIZE, penalty=1.0), FailurePolicy(on_lost_job=OnLostJob.SKIP)],
    ids=["penalize", "skip"],
)
def test_a_failed_point_is_returned_as_failed_also_in_a_replay(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun, policy: FailurePolicy
) -> None:
    service.admin("faults", {"rules": [{"fault": "job-fails", "code": "InvalidInputData", "nth": 2}]})
    answers = []
    for _ in range(2):
        with open_run_session(workspace, options=SessionOptions(failure=policy), run=run, clock=clock) as session:
            answers.append(session.run_round([ones()] * POINTS))
    for answer in answers:
        kinds = sorted(type(counts).__name__ for (counts,) in answer)
        assert kinds == ["Counts", "Counts", "FailedPoint"]
        (lost,) = [counts for (counts,) in answer if isinstance(counts, FailedPoint)]
        assert "InvalidInputData" in lost.reason
    assert len(books(service, run)["entries"]) == POINTS
    with (
        pytest.raises(InputError, match="on_lost_job"),
        open_run_session(workspace, options=SessionOptions(failure=policy), run=run, clock=clock) as session,
    ):
        session.sampler()


@pytest.mark.claim("the service ends the session")
def test_a_failed_session_is_renewed_and_its_cancelled_jobs_are_submitted_again(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun
) -> None:
    service.admin("targets", {TARGET: {"queue_s": 60}})
    service.admin("faults", {"rules": [{"fault": "job-fails", "code": "InternalError", "nth": 2}]})
    policy = FailurePolicy(session_on_job_failure=OnJobFailure.ABORT)
    with open_run_session(workspace, options=SessionOptions(failure=policy), run=run, clock=clock) as session:
        assert_right(session.run_round([ones()] * POINTS))
    assert [row.status for row in session.sessions.rows] == ["Failed", "Succeeded"]
    assert books(service, run)["duplicates"]["count"] == 0


def test_one_resume_is_enough_after_a_failed_job_that_ended_the_session(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun
) -> None:
    service.admin("faults", {"rules": [{"fault": "job-fails", "code": "InvalidInputData", "nth": 1}]})
    policy = FailurePolicy(session_on_job_failure=OnJobFailure.ABORT, on_session_lost="fail")
    with (
        pytest.raises((SessionEnded, JobFailed)),
        open_run_session(workspace, options=SessionOptions(failure=policy), run=run, clock=clock) as session,
    ):
        session.run_round([ones()] * POINTS)
    with open_run_session(workspace, options=SessionOptions(failure=policy), run=run, clock=clock) as session:
        assert_right(session.run_round([ones()] * POINTS))
    assert books(service, run)["duplicates"]["count"] == 0


@pytest.mark.parametrize("failing", [[1], [1, 2]], ids=["once", "again"])
def test_a_resume_retries_once_a_job_that_failed_for_good_in_between(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun, failing: list[int]
) -> None:
    service.admin("targets", {TARGET: {"queue_s": 60}})
    service.admin("faults", {"rules": [{"fault": "job-fails", "code": "InvalidInputData", "nth": failing}]})
    with (
        pytest.raises(RunParked),
        open_run_session(workspace, options=SessionOptions(detach_after_s=1.0), run=run, clock=clock) as session,
    ):
        session.run_round([ones()])
    clock.wait(threading.Event(), 600.0)
    with open_run_session(workspace, run=run, clock=clock) as session:
        if len(failing) > 1:
            with pytest.raises(JobFailed):
                session.run_round([ones()])
        else:
            assert_right(session.run_round([ones()]))
    assert len(books(service, run)["entries"]) == 2


def test_a_session_that_times_out_during_a_run_is_renewed(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun
) -> None:
    service.admin("faults", {"rules": [{"fault": "session-times-out", "operation": "submit", "nth": 3}]})
    with open_run_session(workspace, run=run, clock=clock) as session:
        assert_right(session.run_round([ones()] * POINTS))
    assert [row.status for row in session.sessions.rows] == ["TimedOut", "Succeeded"]
    first, second = (workspace.get_session(row.id) for row in session.sessions.rows)
    assert second.details.name == f"{first.details.name} (after {first.id[:8]})"
    found = books(service, run)
    assert (len(found["entries"]), found["duplicates"]["count"]) == (POINTS, 0)


def test_a_run_waits_for_a_target_that_is_down_and_logs_duration_and_setting(
    service: Emulator,
    clock: ServiceClock,
    workspace: Workspace,
    run: HeldRun,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service.admin("faults", {"rules": [{**DOWN, "before_s": 600}]})
    start = clock.now()
    with open_run_session(workspace, run=run, clock=clock) as session:
        assert_right(session.run_round([ones()] * POINTS))
    assert 590 <= clock.now() - start <= 700
    assert service.admin("faults/log")["injected"] >= POINTS
    (warning,) = [message for message in caplog.messages if target_down_text(FailurePolicy(), 1800.0) in message]
    assert warning.startswith("the target takes no jobs: ")


@pytest.mark.claim("the target takes no jobs")
@pytest.mark.parametrize(
    ("policy", "ending", "least_s", "most_s"),
    [
        (FailurePolicy(on_target_down=OnTargetDown.FAIL), TargetDown, 0.0, 30.0),
        (FailurePolicy(target_down_wait_s=910), TargetDown, 910.0, 911.0),
        (FailurePolicy(on_target_down=OnTargetDown.PARK, target_down_wait_s=910), RunParked, 910.0, 911.0),
    ],
    ids=["fail", "wait", "park"],
)
def test_a_target_that_stays_down_ends_the_run_as_the_policy_says(
    service: Emulator,
    clock: ServiceClock,
    workspace: Workspace,
    run: HeldRun,
    policy: FailurePolicy,
    ending: type[Exception],
    least_s: float,
    most_s: float,
) -> None:
    service.admin("targets", {TARGET: {"availability": "Unavailable"}})
    with open_run_session(workspace, options=SessionOptions(failure=policy), run=run, clock=clock) as session:
        start = clock.now()
        with pytest.raises(ending, match=r"takes no jobs|was parked, with no job in flight"):
            session.run_round([ones()])
        assert least_s <= clock.now() - start <= most_s
    assert books(service, run)["entries"] == []


def test_each_outage_of_a_round_is_waited_for_as_long_as_the_policy_says(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun
) -> None:
    service.admin("targets", {TARGET: {"queue_s": 60}})
    failing = {"fault": "job-fails", "code": "InternalError", "times": 1}  # its next attempt meets the second outage
    outages = [{**DOWN, "before_s": 60}, {**DOWN, "after_s": 110, "before_s": 190}]
    service.admin("faults", {"rules": [*outages, failing]})
    with open_run_session(
        workspace, options=SessionOptions(failure=FailurePolicy(target_down_wait_s=100)), run=run, clock=clock
    ) as session:
        assert_right(session.run_round([ones()]))
    assert {entry["rule"] for entry in service.admin("faults/log")["log"]} == {1, 2, 3}


@pytest.mark.claim("the queue is long")
def test_a_run_whose_jobs_are_queued_long_is_parked_and_resumes_with_their_results(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun
) -> None:
    service.admin("targets", {TARGET: {"queue_s": 600}})
    with (
        pytest.raises(RunParked, match="3 job"),
        open_run_session(workspace, options=SessionOptions(detach_after_s=60.0), run=run, clock=clock) as session,
    ):
        session.run_round([ones()] * POINTS)
    assert session.status == "Executing"  # closed, while its jobs stay queued
    with open_run_session(workspace, run=run, clock=clock) as session:
        assert_right(session.run_round([ones()] * POINTS))
    assert [row.status for row in run.journal.sessions(run.uid)] == ["Succeeded"]
    found = books(service, run)
    assert (len(found["entries"]), found["duplicates"]["count"]) == (POINTS, 0)


def test_a_result_whose_signatures_have_expired_is_read_with_a_renewed_one(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun
) -> None:
    service.admin("targets", {TARGET: {"queue_s": 60}})
    with (
        pytest.raises(RunParked),
        open_run_session(workspace, options=SessionOptions(detach_after_s=1.0), run=run, clock=clock) as session,
    ):
        session.run_round([ones()])
    clock.wait(threading.Event(), 60.0)
    expired = {"fault": "signature-expired", "nth": 1}  # that of the job's document, and the container's first one
    service.admin("faults", {"rules": [{**expired, "operation": operation} for operation in ("get-job", "sas")]})
    with open_run_session(workspace, run=run, clock=clock) as session:
        assert_right(session.run_round([ones()]))
    assert service.admin("faults/log")["injected"] == 2


def test_jobs_in_flight_are_cancelled_at_the_end_on_request_and_submitted_again_on_resume(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun
) -> None:
    service.admin("targets", {TARGET: {"queue_s": 7200}})
    parking = open_run_session(
        workspace, options=SessionOptions(detach_after_s=60.0, cancel_in_flight=True), run=run, clock=clock
    )
    with pytest.raises(RunParked), parking as session:
        session.run_round([ones()] * POINTS)
    assert {job.details.status for job in workspace.list_jobs()} == {"Cancelled"}
    service.admin("targets", {TARGET: None})
    with open_run_session(workspace, run=run, clock=clock) as session:
        assert_right(session.run_round([ones()] * POINTS))
    found = books(service, run)
    assert (len(found["entries"]), found["duplicates"]["count"]) == (2 * POINTS, 0)


@pytest.mark.usefixtures("own_journal")
def test_jobs_in_flight_of_a_script_without_a_key_are_cancelled_at_an_error(
    service: Emulator, clock: ServiceClock, workspace: Workspace
) -> None:
    service.admin("targets", {TARGET: {"queue_s": 7200}})

    def script() -> None:
        with hl.open_session(TARGET, workspace=workspace, clock=clock) as session:
            round_ = session.rounds.start([ones()] * POINTS)
            eventually(lambda: all(job.phase is JobPhase.ACCEPTED for job in round_.jobs))
            raise RuntimeError("an error of the script")

    with pytest.raises(RuntimeError, match="of the script"):
        script()
    assert {job.details.status for job in workspace.list_jobs()} == {"Cancelled"}


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_session_closed_by_hand_has_its_jobs_cancelled_unless_a_run_waits_for_them(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun, *, is_stored: bool
) -> None:
    service.admin("targets", {TARGET: {"queue_s": 7200}})
    with open_run_session(workspace, run=run if is_stored else None, clock=clock) as session:
        round_ = session.rounds.start([ones()] * POINTS)
        eventually(lambda: all(job.phase is JobPhase.ACCEPTED for job in round_.jobs))
        closed = close_session_by_hand(run.journal, workspace, session.id)
        statuses = {job.details.status for job in workspace.list_jobs()}
        session.rounds.stop()
    assert (closed["id"], closed["cancelled_jobs"]) == (session.id, 0 if is_stored else POINTS)
    assert statuses == {"Waiting" if is_stored else "Cancelled"}


@pytest.mark.claim("so a cap holds")
def test_a_cap_ends_the_run_before_the_round_that_could_exceed_it_and_a_larger_one_resumes_it(
    service: Emulator, clock: ServiceClock, workspace: Workspace, run: HeldRun
) -> None:
    def rounds(caps: Caps) -> None:
        with open_run_session(workspace, options=SessionOptions(caps=caps), run=run, clock=clock) as session:
            for _ in range(3):
                assert_right(session.run_round([ones()] * POINTS))

    with pytest.raises(CapReached, match="max_jobs=9"):
        rounds(Caps(max_jobs=2 * POINTS + 1))
    assert len(books(service, run)["entries"]) == 2 * POINTS
    rounds(Caps(max_jobs=3 * POINTS))
    found = books(service, run)
    assert (len(found["entries"]), found["duplicates"]["count"]) == (3 * POINTS, 0)


def test_a_hold_on_an_unsupported_machine_is_refused_before_a_session_is_opened(
    clock: ServiceClock, workspace: Workspace, run: HeldRun
) -> None:
    keep_alive = KeepAliveSettings(hold=ExclusiveAccess(400.0, "HQC"))
    held = open_run_session(workspace, options=SessionOptions(keep_alive=keep_alive), run=run, clock=clock)
    with pytest.raises(InputError, match="exclusive_access_budget"), held:
        pass
    assert list(workspace.list_sessions()) == []
