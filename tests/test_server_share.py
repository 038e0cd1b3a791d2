"""Tests that share the Prefect server share nothing else, so that they may run in any order."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectNotFound

from hybridloop.flows.vqe import vqe
from hybridloop.journal import open_journal
from hybridloop.journal.claimed_run import new_run
from hybridloop.local_stack import PrefectServer
from tests.prefect_server import prefect_client
from tests.server_share import new_share

OFTEN: Any = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(seconds=20)), active=True)


@pytest.mark.slow
@pytest.mark.parametrize("order", [("sweep", "program"), ("program", "sweep")], ids="-".join)
def test_two_tests_on_the_shared_server_may_run_in_either_order(
    order: tuple[str, str], shared_server: PrefectServer, shared_environ: Mapping[str, str]
) -> None:
    """Each takes all `killed-*` runs and waiting flow runs that it finds, and leaves a run and an active schedule."""
    with prefect_client(shared_server) as client:
        for name in order:
            share = new_share(shared_environ)
            tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[share.name]))
            with share.held_on(shared_server), open_journal() as journal:
                journal.add_run(new_run(name, key=f"killed-{name}", algorithm="vqe", problem="h2", target="t", seed=7))
                deployment = share.deploy(client, vqe, tags=[share.name], schedules=[OFTEN])
                problem = {"problem": {"name": "h2"}}
                waiting = client.create_flow_run_from_deployment(deployment, parameters=problem, tags=[share.name])
                assert [run.key for run in journal.runs() if run.key.startswith("killed-")] == [f"killed-{name}"]
                assert waiting.id in {run.id for run in client.read_flow_runs(flow_run_filter=tagged)}
            assert client.read_flow_runs(flow_run_filter=tagged) == []
            with pytest.raises(ObjectNotFound):
                client.read_deployment(deployment)
            with pytest.raises(ObjectNotFound):
                client.read_work_pool(share.name)
