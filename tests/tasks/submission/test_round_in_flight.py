"""A round in flight handles unusual job lists of the service, and its caller never waits forever."""

import itertools
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import Counts
from hybridloop.azure.client import PAGE_SIZE, ServiceClient
from hybridloop.errors import JobFailed
from hybridloop.journal import Job, Journal, Lease, PubRecord
from hybridloop.runtime.clock import RealClock
from hybridloop.settings.session_options import DEFAULT_OPTIONS
from hybridloop.targets import Target
from hybridloop.tasks.submission import round_in_flight
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey
from hybridloop.tasks.submission.job_in_flight import JobInFlight, JobPhase
from hybridloop.tasks.submission.jobs import JobSpec
from hybridloop.tasks.submission.results import read_counts
from hybridloop.tasks.submission.round_in_flight import RoundInFlight
from tests.conftest import Emulator
from tests.session_helpers import open_run_session, temporary_run
from tests.tasks.submission.test_service_faults import angled
from tests.tasks.test_session_closing import ones
from tests.waiting import PATIENCE_S, eventually

KEY = JobKey(RoundKey("3f0d3a57-64a1-4c5f-8f6b-3a9d5a1a7a01", "main", 0), 0, 0, 0)


@pytest.fixture
def connection() -> Iterator[Any]:
    """Return the parts of a session that a round uses, without a service."""
    with temporary_run("ionq.simulator", seed=0, uid=KEY.round.run_uid) as run:
        yield SimpleNamespace(
            ledger=SimpleNamespace(settle=lambda job_id, billed: billed),
            run=run,
            clock=RealClock(),
            options=DEFAULT_OPTIONS,
            workers=SimpleNamespace(submit=lambda call, first=False: call()),
            keep_alive=SimpleNamespace(ended=lambda at: None),
            sessions=SimpleNamespace(has_ended=lambda ordinal: False),
        )


def in_flight(connection: Any) -> RoundInFlight:
    spec = JobSpec(KEY, 0, 10, 1, b"program", "value")
    pub = PubRecord("circuit", None, 10, np.zeros((1, 0)), np.zeros((1, 0)), (0,), 1)
    connection.run.journal.begin_round(connection.run.lease, "main", 0, "ionq.simulator", [pub], [spec.intent(0)], {})
    return accepted(RoundInFlight(connection, KEY.round, [pub], [JobInFlight(spec)]))


def accepted(round_: RoundInFlight) -> RoundInFlight:
    """Return the round as it is once the service has accepted its jobs."""
    for job in round_._jobs.values():
        if job.phase < JobPhase.ACCEPTED:
            job.move(JobPhase.ACCEPTED)
    return round_


@pytest.mark.parametrize(
    ("listed", "complaint"),
    [
        ({"status": "Succeeded"}, "does not say where"),
        ({"status": "Succeeded", "outputDataUri": None}, "does not say where"),
        ({"status": "Failed"}, "gave no reason"),
        ({"status": "Failed", "errorData": {"code": None, "message": None}}, "gave no reason"),
        ({"status": "Cancelled", "errorData": {"code": "Stopped", "message": "by hand"}}, "Stopped by hand"),
    ],
)
def test_a_job_that_ended_without_counts_ends_its_round(
    connection: Any, listed: dict[str, Any], complaint: str
) -> None:
    round_ = in_flight(connection)
    round_.observe({"id": KEY.job_id(0), **listed})
    with pytest.raises(JobFailed, match=complaint):
        round_.result()


@pytest.mark.parametrize("status", ["Waiting", "Executing", "Finishing", "Pondering", None])
def test_an_unknown_status_is_not_terminal(connection: Any, status: str | None) -> None:
    round_ = in_flight(connection)
    round_.observe({"id": KEY.job_id(0), "status": status})
    round_.observe({"id": "somebody else's", "status": "Failed"})
    assert not round_.ended.is_set()


def test_a_job_whose_result_is_being_read_is_not_polled(connection: Any) -> None:
    later, asked = list[Any](), list[str]()
    connection.workers.submit = lambda call, first: later.append(call)

    def answer(session: str, **_query: object) -> list[Any]:
        asked.append(session)
        return []

    connection.sessions.rows = [SimpleNamespace(id="a session")]
    connection.service = SimpleNamespace(list_session_jobs=answer)
    round_ = in_flight(connection)
    round_._polls.poll()
    assert asked == ["a session"]
    round_.observe({"id": KEY.job_id(0), "status": "Succeeded"})
    assert len(later) == 1
    round_._polls.poll()
    assert asked == ["a session"]


def test_a_job_whose_end_is_recorded_is_not_billed_or_read_again(connection: Any) -> None:
    specs = [JobSpec(JobKey(KEY.round, 0, point, 0), 0, 10, 1, b"program", "value") for point in range(2)]
    pub = PubRecord("circuit", None, 10, np.zeros((2, 0)), np.zeros((2, 0)), (0,), 1)
    run, billed = connection.run, []
    intents = [spec.intent(0) for spec in specs]
    run.journal.begin_round(run.lease, "main", 0, "ionq.simulator", [pub], intents, {})
    done = replace(intents[0], state="done", counts=(Counts.from_bitstrings({"1": 10}),))
    run.journal.record_outcomes(run.lease, "main", 0, [done], complete=False)
    connection.ledger.settle = lambda job_id, amounts: billed.append(job_id)
    recorded = run.journal.round(run.uid, "main", 0).jobs
    jobs = [JobInFlight.from_record(spec, job) for spec, job in zip(specs, recorded, strict=True)]
    round_ = accepted(RoundInFlight(connection, KEY.round, [pub], jobs))
    round_.observe({"id": specs[0].id, "status": "Succeeded"})  # it has no address of a result: reading it would fail
    assert (round_.in_flight, billed) == (1, [])
    round_.observe({"id": specs[1].id, "status": "Failed"})
    with pytest.raises(JobFailed, match=specs[1].id):
        round_.result()
    assert billed == [specs[1].id]


def test_results_are_read_and_jobs_retried_while_others_are_submitted(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, submit, add_attempts = PAGE_SIZE + 4, ServiceClient.submit, Journal.add_attempts
    read, retried, puts = threading.Event(), threading.Event(), itertools.count(1)

    def submit_last_one_late(
        client: ServiceClient, job_id: str, container: str, body: Mapping[str, Any], **more: bool
    ) -> dict[str, Any] | None:
        if (n := next(puts)) >= PAGE_SIZE:  # the first page is listed after one of these
            eventually(lambda: {"Failed", "Succeeded"} <= {job.details.status for job in workspace.list_jobs()})
        if n == jobs:
            assert read.wait(PATIENCE_S)
            assert retried.wait(PATIENCE_S)
        return submit(client, job_id, container, body, **more)

    def add(journal: Journal, lease: Lease, stream: str, sequence: int, intents: Sequence[Job]) -> None:
        add_attempts(journal, lease, stream, sequence, intents)
        retried.set()

    def read_one(data: bytearray, spec: JobSpec, target: Target, **more: bool) -> tuple[Counts, ...]:
        read.set()
        return read_counts(data, spec, target, **more)

    monkeypatch.setattr(ServiceClient, "submit", submit_last_one_late)
    monkeypatch.setattr(Journal, "add_attempts", add)
    monkeypatch.setattr(round_in_flight, "read_counts", read_one)
    workspace = emulator.workspace()
    rule = {"fault": "job-fails", "code": "TransientFailure", "nth": 7}
    with (
        temporary_run("ionq.simulator", seed=0) as run,
        open_run_session(workspace, "ionq.simulator", run=run) as session,
    ):
        emulator.admin("faults", {"rules": [rule]})
        (points,) = session.run_round([SamplerPub.coerce((angled(), [[0.0]] * jobs), 10)])
        details = run.journal.round(run.uid, "main", 0)
    assert [point.bitstrings() for point in points if isinstance(point, Counts)] == [{"0": 10}] * jobs
    assert details is not None
    assert Counter(job.state for job in details.jobs) == {"done": jobs, "failed": 1}


def test_a_log_that_exits_ends_the_run_and_leaves_no_session_open(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Closed(logging.Handler):  # as the console of a process whose worker was killed
        def emit(self, record: logging.LogRecord) -> None:
            if threading.current_thread() is not threading.main_thread() and "1 job" in record.getMessage():
                raise SystemExit(1)

    log = logging.getLogger("hybridloop.run")
    monkeypatch.setattr(log, "handlers", [Closed()])
    caplog.set_level(logging.INFO, log.name)
    workspace = emulator.workspace()
    with pytest.raises(SystemExit), open_run_session(workspace) as session:
        session.run_round([ones()])
    assert [row.details.status for row in workspace.list_sessions()] == ["Succeeded"]
