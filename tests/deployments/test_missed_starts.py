"""Starts of a schedule that were missed without a worker make one run, of the latest; those of others stay."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule

from hybridloop.azure.workspace import identity_of
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.flows.algorithms import vqe
from hybridloop.journal import open_journal
from hybridloop.local_stack import PrefectServer
from hybridloop.runs.order import algorithm_order
from hybridloop.runs.run import describe_run
from hybridloop.settings import ProblemText
from tests.deployments.worker_helpers import of_hybridloop, place_for, worker
from tests.prefect_server import prefect_client
from tests.server_share import ServerShare
from tests.waiting import eventually

PERIODS = 3
SETTINGS = {"seed": 7, "precision": 0.05}


@pytest.mark.slow
def test_one_run_is_made_for_all_starts_that_were_missed(
    prefect_server: PrefectServer, share: ServerShare, tmp_path: Path
) -> None:
    with prefect_client(prefect_server) as client:
        parameters = {"problem": {"name": "h2"}, "settings": SETTINGS}
        every = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(seconds=6)))
        deployment = share.deploy(client, vqe, parameters=parameters, schedules=[every])
        of_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))

        def starts() -> list[FlowRun]:
            return client.read_flow_runs(deployment_filter=of_deployment, limit=200)

        eventually(lambda: sum(each.state_name == "Late" for each in starts()) >= PERIODS)
        for schedule in client.read_deployment_schedules(deployment):
            client.update_deployment_schedule(deployment, schedule.id, active=False)
        own = client.create_flow_run_from_deployment(deployment)
        with place_for(prefect_server, deployment, tmp_path) as place:
            # the run of the earliest has begun, so that it is resumed
            earliest = min(
                (each for each in starts() if each.auto_scheduled), key=lambda each: str(each.expected_start_time)
            )
            order = algorithm_order(
                "vqe",
                ProblemText(name="h2"),
                VqeSettings.model_validate(SETTINGS),
                workspace=identity_of(place.service.workspace("workers")),
                flow_run_id=str(earliest.id),
            )
            with open_journal(place.at.shell.environ) as journal:
                journal.add_run(describe_run(order).record)
            with worker(place.at.shell.environ, tmp_path, of_hybridloop(share.name)):
                eventually(lambda: all(each.state is not None and each.state.is_final() for each in starts()))
                eventually(lambda: client.read_flow_run(earliest.id).state_name == "Completed")
            scheduled = [each for each in starts() if each.auto_scheduled]
            ended = sorted(scheduled, key=lambda each: str(each.expected_start_time))
            assert len(ended) >= PERIODS
            assert {each.state_name for each in ended[1:-1]} == {"Skipped"}
            assert (ended[0].id, ended[0].state_name, ended[-1].state_name) == (earliest.id, "Completed", "Completed")
            assert ended[1].state is not None
            assert "one run is made for all missed starts" in str(ended[1].state.message)
            assert client.read_flow_run(own.id).state_name == "Completed"  # a person's
            assert {row["status"] for row in place.at.shell.json("runs", "list")} == {"converged"}
            assert len(place.at.shell.json("runs", "list")) == 3
