"""A deployment's runs with a real worker: killed or cancelled, they go on to the answer of a run that was neither."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelling, Scheduled
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker

from hybridloop.flows.lifecycle.caller_context import CallerContext, caller_context
from hybridloop.flows.vqe import vqe
from hybridloop.journal import Journal, RunRecord, SessionRow, journal_url
from hybridloop.local_stack import PrefectServer
from hybridloop.local_stack.processes import wait_until
from hybridloop.settings import ProblemText, VqeSettings
from hybridloop.tasks.orphans import unfinished_jobs
from tests.cli.shell_helpers import PATIENCE_S, Shell
from tests.conftest import running_emulator
from tests.deployments.worker_helpers import Place, worker
from tests.long_form import IS_LONG, long_form
from tests.prefect_server import own_environ

__test__ = IS_LONG  # pytest collects nothing here else: each run and hook of a worker imports everything again
WAYS = ("killed", "cancelled")
POOL = "processes"
SEED = 7
ANSWER = ("value", "standard_error", "interval95", "parameters", "rounds", "shots", "history")

# an interrupted run waits for 5 s at most for the round in flight; as long again for the cancellation to get from the
# server to the run, which asks every 2 s should the worker not tell it, and for the request that closes the session
CLOSED_WITHIN = timedelta(seconds=10)

# A worker marks a run that was killed as crashed twice, before its hooks and after them, and then says this in its log.
# The second time would undo what was set meanwhile.
LAST_WORD = "Check whether the flow run exceeded its memory allocation"


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that was ended early: its flow run, its state and its sessions then, and how many jobs were in flight."""

    run: FlowRun
    state: State[Any]
    record: RunRecord
    sessions: tuple[SessionRow, ...]
    in_flight: int


def deployed(client: SyncPrefectClient) -> UUID:
    """A deployment of the flow as it is installed: its entrypoint is a module, and nothing is pulled."""
    template = ProcessWorker.get_default_base_job_template()
    client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
    return client.create_deployment(
        client.create_flow(vqe),
        "worked",
        entrypoint="hybridloop.flows.vqe.vqe",
        work_pool_name=POOL,
        pull_steps=[],
        parameter_openapi_schema=parameter_schema(vqe).model_dump(),
        enforce_parameter_schema=True,
    )


@pytest.fixture(scope="module")
def place(prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("worked")
    environ = {
        **own_environ(str(folder / "home"), os.environ),
        **prefect_server.environment,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    with running_emulator() as service, SyncPrefectClient(prefect_server.api_url) as client:
        at = Shell(environ).at(service, "worked")
        deployment = deployed(client)
        with (
            worker(at.shell.environ, folder, POOL),
            Journal(journal_url(folder / "home" / "journal.db")) as journal,
        ):
            yield Place(service, at, journal, client, deployment)


@pytest.fixture(scope="module")
def reference(place: Place) -> dict[str, Any]:
    """The result of a run of the same seed that nobody disturbs, as the journal has it."""
    with caller_context(CallerContext(place.service.workspace("undisturbed"))):
        result = vqe(ProblemText(name="h2"), VqeSettings(seed=SEED))
    document: dict[str, Any] = json.loads(json.dumps(result.as_dict()))
    return document


@pytest.fixture(scope="module")
def ended_early(place: Place, reference: dict[str, Any]) -> dict[str, Ended]:
    """Runs that were ended in their second round, side by side."""
    place.slow_down(2)
    parameters = {"problem": {"name": "h2"}, "settings": {"seed": SEED}}
    runs = {way: place.client.create_flow_run_from_deployment(place.deployment, parameters=parameters) for way in WAYS}
    assert wait_until(lambda: all(place.has_measured(run) for run in runs.values()), within_s=PATIENCE_S, poll_s=0.01)
    place.slow_down(9)  # nobody hears of the second round's jobs before the session is closed
    assert wait_until(lambda: all(place.is_in_its_midst(run) for run in runs.values()), within_s=PATIENCE_S)
    for way, run in runs.items():
        if way == "killed":
            owner = place.record(run).owner
            assert owner is not None
            os.kill(owner.pid, signal.SIGKILL)
        else:
            place.client.set_flow_run_state(run.id, Cancelling())
    for run in runs.values():
        assert wait_until(lambda run=run: place.state(run).is_final(), within_s=PATIENCE_S)  # type: ignore[misc]
        assert wait_until(lambda run=run: place.is_closed(run), within_s=PATIENCE_S)  # type: ignore[misc]
    place.slow_down(0)
    return {way: ended(place, run) for way, run in runs.items()}


def ended(place: Place, run: FlowRun) -> Ended:
    record = place.record(run)
    in_flight = len(unfinished_jobs(place.journal, record.uid))
    return Ended(run, place.state(run), record, tuple(place.journal.sessions(record.uid)), in_flight)


def said(place: Place, run: FlowRun, text: str) -> bool:
    """Whether the flow run's log at the server comes to hold the text."""
    lines = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    return wait_until(lambda: any(text in line.message for line in place.client.read_logs(lines)), within_s=PATIENCE_S)


def retried(place: Place, was: Ended) -> None:
    """The worker's own: set to be run once more, the crashed flow run is picked up."""
    assert (was.state.type.value, was.state.name) == ("CRASHED", "Crashed")
    assert said(place, was.run, LAST_WORD)
    place.client.set_flow_run_state(was.run.id, Scheduled(name="AwaitingRetry"))
    assert wait_until(lambda: place.state(was.run).is_final(), within_s=PATIENCE_S)
    again = place.client.read_flow_run(was.run.id)
    assert (place.state(again).is_completed(), again.run_count) == (True, 2)


def resumed(place: Place, was: Ended) -> None:
    """A cancelled run's session was closed soon; it goes on from a shell."""
    assert (was.state.type.value, was.state.name) == ("CANCELLED", "Cancelled")
    (asked,) = [each for each in place.client.read_flow_run_states(was.run.id) if each.is_cancelling()]
    (session,) = [each for each in place.at.workspace.list_sessions() if each.id == was.sessions[0].id]
    assert session.details.end_execution_time - asked.timestamp <= CLOSED_WITHIN
    gone_on = place.at.shell.json("runs", "resume", was.record.key, "--quiet")
    assert gone_on["status"] == "converged"


GO_ON = {"killed": retried, "cancelled": resumed}


@long_form
@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_a_worker_lost_is_closed_and_goes_on_to_the_same_answer(
    way: str, place: Place, ended_early: dict[str, Ended], reference: dict[str, Any]
) -> None:
    was = ended_early[way]
    assert was.record.status == "interrupted"
    assert [row.status for row in was.sessions] == ["Succeeded"]
    assert was.in_flight > 0
    assert said(place, was.run, f"run {was.record.key} ended early with {was.in_flight} job(s) in flight")
    assert said(place, was.run, f"hybridloop runs resume {was.record.key}")

    GO_ON[way](place, was)
    record = place.journal.run(was.record.uid)
    result = record.result
    assert result is not None
    assert (record.status, result["resumed"]) == ("converged", True)
    assert {name: result[name] for name in ANSWER} == {name: reference[name] for name in ANSWER}
    books = place.service.admin(f"ledger?run={record.uid}&top=1000")
    assert (len(books["entries"]), books["duplicates"]["count"]) == (reference["jobs"]["total"], 0)
    assert len(place.journal.sessions(record.uid)) == 2
    assert place.session_statuses(record) == ["Succeeded", "Succeeded"]
