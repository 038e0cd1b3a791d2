"""Runs of a deployment with a real worker: killed or cancelled, they resume to the undisturbed answer."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelling, Scheduled

from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.in_prefect.hooks import SECOND_REPORT
from hybridloop.journal import Journal, RunRecord, SessionRow, journal_url
from hybridloop.local_stack import PrefectServer
from hybridloop.local_stack.processes import wait_until
from hybridloop.settings import ProblemText
from hybridloop.tasks.orphans import unfinished_jobs
from tests.cli.shell_helpers import Shell
from tests.conftest import running_emulator
from tests.deployments.worker_helpers import Place, prefects_own, worker
from tests.flow_calls import call_flow
from tests.long_form import IS_LONG, long_form
from tests.prefect_server import own_environ, prefect_client
from tests.server_share import ServerShare
from tests.waiting import PATIENCE_S, eventually

__test__ = IS_LONG  # else pytest collects nothing here: each run and hook of a worker imports everything again
ENDS = ("killed", "cancelled")
SEED = 7
GIVEN = {"ansatz": "uccsd", "seed": SEED}
ANSWER = ("value", "standard_error", "interval95", "parameters", "rounds", "shots", "history")

# An interrupted run waits 5 s at most for the round in flight. The other 5 s are for the cancellation, which the run
# polls every 2 s unless the worker signals it, and for the request that closes the session.
CLOSED_WITHIN = timedelta(seconds=10)

# A worker marks a killed run as crashed twice, before and after its hooks, and then logs this line.
# The second mark would overwrite a state that was set in between.
LAST_WORD = "Check whether the flow run exceeded its memory allocation"


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that was ended early: its flow run, state, sessions and number of jobs in flight at that moment."""

    run: FlowRun
    state: State[Any]
    record: RunRecord
    sessions: tuple[SessionRow, ...]
    in_flight: int


@pytest.fixture(scope="module")
def place(
    prefect_server: PrefectServer, share: ServerShare, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("worked")
    environ = {
        **own_environ(str(folder / "home"), os.environ),
        **prefect_server.environment,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    with running_emulator() as service, prefect_client(prefect_server) as client:
        at = Shell(environ).at(service, "worked")
        deployment = share.deploy(client, vqe)
        with (
            worker(at.shell.environ, folder, prefects_own(share.name)),
            Journal(journal_url(folder / "home" / "journal.db")) as journal,
        ):
            yield Place(service, at, journal, client, deployment)


@pytest.fixture(scope="module")
def reference(place: Place) -> dict[str, Any]:
    """Return the stored result of an undisturbed run with the same seed."""
    workspace = place.service.workspace("undisturbed")
    result = call_flow(vqe, workspace, ProblemText(name="h2"), VqeSettings.model_validate(GIVEN))
    document: dict[str, Any] = json.loads(json.dumps(result.as_dict()))
    return document


@pytest.fixture(scope="module")
def ended_early(place: Place, reference: dict[str, Any]) -> dict[str, EndedRun]:
    """End one run each way in its second round; return them by way."""
    place.slow_down(2)
    parameters = {"problem": {"name": "h2"}, "settings": GIVEN}
    runs = {way: place.client.create_flow_run_from_deployment(place.deployment, parameters=parameters) for way in ENDS}
    eventually(lambda: all(place.has_measured(run) for run in runs.values()), poll_s=0.01)
    place.slow_down(9)  # no result of the second round arrives before the session is closed
    eventually(lambda: all(place.has_next_round_submitted(run) for run in runs.values()))
    for way, run in runs.items():
        if way == "killed":
            owner = place.record(run).owner
            assert owner is not None
            os.kill(owner.pid, signal.SIGKILL)
        else:
            place.client.set_flow_run_state(run.id, Cancelling())
    for run in runs.values():
        eventually(lambda run=run: place.state(run).is_final())  # type: ignore[misc]
        eventually(lambda run=run: place.is_closed(run))  # type: ignore[misc]
    place.slow_down(0)
    return {way: ended_run(place, run) for way, run in runs.items()}


def ended_run(place: Place, run: FlowRun) -> EndedRun:
    record = place.record(run)
    in_flight = len(unfinished_jobs(place.journal, record.uid))
    return EndedRun(run, place.state(run), record, tuple(place.journal.sessions(record.uid)), in_flight)


def log_contains(place: Place, run: FlowRun, text: str) -> bool:
    """Wait until the flow run's log at the server contains the text; return False after the timeout."""
    lines = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    return wait_until(lambda: any(text in line.message for line in place.client.read_logs(lines)), within_s=PATIENCE_S)


def retry_flow_run(place: Place, was: EndedRun) -> None:
    """Schedule the crashed flow run again; the worker picks it up."""
    assert (was.state.type.value, was.state.name) == ("CRASHED", "Crashed")
    assert log_contains(place, was.run, SECOND_REPORT)
    assert log_contains(place, was.run, LAST_WORD)
    place.client.set_flow_run_state(was.run.id, Scheduled(name="AwaitingRetry"))
    eventually(lambda: place.state(was.run).is_final())
    again = place.client.read_flow_run(was.run.id)
    assert (place.state(again).is_completed(), again.run_count) == (True, 2)


def resume_from_shell(place: Place, was: EndedRun) -> None:
    """Check that the cancelled run's session was closed in time, and resume the run from a shell."""
    assert (was.state.type.value, was.state.name) == ("CANCELLED", "Cancelled")
    (cancelling,) = [state for state in place.client.read_flow_run_states(was.run.id) if state.is_cancelling()]
    (session,) = [row for row in place.at.workspace.list_sessions() if row.id == was.sessions[0].id]
    assert session.details.end_execution_time - cancelling.timestamp <= CLOSED_WITHIN
    result = place.at.shell.json("runs", "resume", was.record.key, "--quiet")
    assert result["status"] == "converged"


RESUME = {"killed": retry_flow_run, "cancelled": resume_from_shell}


@long_form
@pytest.mark.slow
@pytest.mark.parametrize("way", ENDS)
def test_a_killed_or_cancelled_run_is_closed_and_resumes_to_the_same_answer(
    way: str, place: Place, ended_early: dict[str, EndedRun], reference: dict[str, Any]
) -> None:
    was = ended_early[way]
    assert was.record.status == "interrupted"
    assert [row.status for row in was.sessions] == ["Succeeded"]
    assert was.in_flight > 0
    assert log_contains(place, was.run, f"run {was.record.key} ended early with {was.in_flight} job(s) in flight")
    assert log_contains(place, was.run, f"hybridloop runs resume {was.record.key}")

    RESUME[way](place, was)
    record = place.journal.run(was.record.uid)
    result = record.result
    assert result is not None
    assert (record.status, result["resumed"]) == ("converged", True)
    assert {name: result[name] for name in ANSWER} == {name: reference[name] for name in ANSWER}
    ledger = place.service.admin(f"ledger?run={record.uid}&top=1000")
    assert (len(ledger["entries"]), ledger["duplicates"]["count"]) == (reference["jobs"]["total"], 0)
    assert len(place.journal.sessions(record.uid)) == 2
    assert place.session_statuses(record) == ["Succeeded", "Succeeded"]
