"""Worker with deployed flows: scheduled runs, the deployment's settings, cancellation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelling

from hybridloop.flows.algorithms import vqe
from hybridloop.local_stack import PrefectServer
from tests.deployments.checkout_helpers import WRITTEN, full_name
from tests.deployments.worker_helpers import Place, of_hybridloop, place_for, worker
from tests.prefect_server import as_own_server, prefect_client
from tests.server_share import ServerShare
from tests.waiting import eventually

READ_RESULT = """
import json
from prefect.client.orchestration import get_client

with get_client(sync_client=True) as client:
    result = client.read_flow_run("{flow_run}").state.result()
print(json.dumps([type(result).__name__, result.value, result.status]))
"""
pytestmark = pytest.mark.slow
(NIGHTLY,) = [each for each in WRITTEN if full_name(each) == "vqe/nightly"]


@pytest.fixture(scope="module")
def place(
    prefect_server: PrefectServer, share: ServerShare, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("working")
    often: Any = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(seconds=20)), active=True)
    with prefect_client(prefect_server) as client:
        deployment = share.deploy(client, vqe, parameters=NIGHTLY["parameters"], schedules=[often], paused=True)
    with (
        place_for(prefect_server, deployment, folder) as held,
        worker(held.at.shell.environ, folder, of_hybridloop(share.name)),
    ):
        yield held


@dataclass(frozen=True, slots=True)
class Runs:
    """A scheduled run, and one that was cancelled while it ran."""

    scheduled: FlowRun
    cancelled: FlowRun


@pytest.fixture(scope="module")
def runs(place: Place) -> Runs:
    """Make both runs at once, as each process imports for seconds."""
    client = place.client
    client.resume_deployment(place.deployment)
    place.slow_down(2)
    given = {"settings": {"ansatz": "uccsd", "shots": 100, "seed": 7}}
    cancelled = client.create_flow_run_from_deployment(place.deployment, parameters=given)
    eventually(lambda: place.has_measured(cancelled), poll_s=0.01)
    place.slow_down(9)  # the second round's jobs do not end before the session is closed
    eventually(lambda: place.has_next_round_submitted(cancelled))
    client.set_flow_run_state(cancelled.id, Cancelling())
    eventually(lambda: place.state(cancelled).is_final())
    eventually(lambda: place.is_closed(cancelled))
    place.slow_down(0)

    eventually(lambda: bool(started_by_schedule(place)))
    client.pause_deployment(place.deployment)  # one is enough
    scheduled = started_by_schedule(place)[0]
    eventually(lambda: place.state(scheduled).is_final())
    return Runs(scheduled, cancelled)


def started_by_schedule(place: Place) -> list[FlowRun]:
    """Return the first flow run of the schedule that the worker has started."""
    ours = DeploymentFilter(id=DeploymentFilterId(any_=[place.deployment]))
    runs = place.client.read_flow_runs(deployment_filter=ours, sort=FlowRunSort.EXPECTED_START_TIME_ASC)
    return [run for run in runs if run.auto_scheduled and run.start_time is not None]


def test_a_scheduled_run_has_a_result(place: Place, runs: Runs) -> None:
    assert place.state(runs.scheduled).is_completed()
    record = place.record(runs.scheduled)
    assert (record.status, record.problem) == ("converged", "h2")
    assert record.settings["settings"]["precision"] == 0.001
    assert place.session_statuses(record) == ["Succeeded"]


def test_its_result_is_read_by_a_process_that_knows_only_the_server(
    place: Place, runs: Runs, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    known = as_own_server(prefect_server) | {"PREFECT_HOME": str(tmp_path / "prefect"), "HOME": str(tmp_path)}
    environ = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")} | known
    script = READ_RESULT.format(flow_run=runs.scheduled.id)
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = place.record(runs.scheduled).result
    assert result is not None
    assert json.loads(done.stdout.splitlines()[-1]) == ["RunResult", result["value"], "converged"]


def test_a_flow_run_is_named_by_its_run_and_tagged(place: Place, runs: Runs) -> None:
    found, record = place.client.read_flow_run(runs.scheduled.id), place.record(runs.scheduled)
    assert found.name == record.key
    assert {"hybridloop", "algorithm:vqe", "problem:h2", f"target:{record.target}"} <= set(found.tags)


def test_settings_not_given_to_a_run_come_from_its_deployment(place: Place, runs: Runs) -> None:
    settings = place.record(runs.cancelled).settings["settings"]
    assert runs.cancelled.parameters["settings"] == {
        "ansatz": "uccsd",
        "shots": 100,
        "seed": 7,
    }  # Prefect shows only these
    log = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[runs.cancelled.id]))
    messages = [line.message for line in place.client.read_logs(log)]
    assert any(line.startswith("settings inherited from the deployment: ") for line in messages)
    told = {name: settings[name] for name in ("shots", "seed", "precision", "max_jobs", "deadline")}
    assert told == {"shots": 100, "seed": 7, "precision": 0.001, "max_jobs": 200, "deadline": 7200.0}


def test_the_session_of_a_cancelled_run_is_closed(place: Place, runs: Runs) -> None:
    record, state = place.record(runs.cancelled), place.state(runs.cancelled)
    assert (state.type.value, record.status) == ("CANCELLED", "interrupted")
    assert place.session_statuses(record) == ["Succeeded"]
    books = place.service.admin(f"ledger?run={record.uid}&top=1000")
    assert books["duplicates"]["count"] == 0
