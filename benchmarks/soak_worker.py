"""Prefect process worker with schedules of a few seconds, for the soak."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

POOL = DEPLOYMENT = "soak"
REST_WITHIN_S = 180.0
EVERY_S = {"qaoa": 20.0, "vqe": 40.0, "housekeeping": 60.0}
PARAMETERS: dict[str, dict[str, Any]] = {
    "qaoa": {"problem": {"name": "petersen"}, "settings": {"resume_automatically": "interrupted"}},
    "vqe": {"problem": {"name": "h2"}, "settings": {"target": "ionq.simulator", "resume_automatically": "interrupted"}},
    "housekeeping": {},
}

# the process that started the soak may ignore SIGINT; a worker would inherit that, and it ends by sending itself one
WORKER = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("prefect", run_name="__main__")
"""


@contextmanager
def scheduled(api_url: str, folder: Path) -> Iterator[int]:
    """Hold a worker with its deployments; yield the worker's process id."""
    _deploy(api_url)
    command = [sys.executable, "-c", WORKER, "worker", "start", "--pool", POOL, "--type", "process", "--limit", "2"]
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, env=dict(os.environ), cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(120)
        finally:
            process.kill()


def come_to_rest(api_url: str) -> int:
    """Start no more runs, and wait until the current ones have ended; return the number of completed runs."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import WorkPoolUpdate
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterName,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType

    def number(client: SyncPrefectClient, *states: StateType) -> int:
        ours = DeploymentFilter(name=DeploymentFilterName(any_=[DEPLOYMENT]))
        in_state = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states))))
        return client.count_flow_runs(deployment_filter=ours, flow_run_filter=in_state)

    with SyncPrefectClient(api_url, auth_string=os.environ.get("PREFECT_API_AUTH_STRING")) as client:
        client.update_work_pool(POOL, WorkPoolUpdate(is_paused=True))
        until = time.monotonic() + REST_WITHIN_S
        while number(client, StateType.PENDING, StateType.RUNNING) and time.monotonic() < until:
            time.sleep(1.0)
        return number(client, StateType.COMPLETED)


def _deploy(api_url: str) -> None:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
    from prefect.client.schemas.schedules import IntervalSchedule
    from prefect.utilities.callables import parameter_schema
    from prefect.workers.process import ProcessWorker

    from hybridloop.flows import load_flow
    from hybridloop.flows.housekeeping import housekeeping

    template = ProcessWorker.get_default_base_job_template()
    with SyncPrefectClient(api_url, auth_string=os.environ.get("PREFECT_API_AUTH_STRING")) as client:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
        for name, every_s in EVERY_S.items():
            flow = housekeeping if name == "housekeeping" else load_flow(name)
            schedule = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(seconds=every_s)))
            client.create_deployment(
                client.create_flow(flow),
                DEPLOYMENT,
                entrypoint=f"hybridloop.flows.algorithms.{name}",
                work_pool_name=POOL,
                pull_steps=[],
                parameters=PARAMETERS[name],
                parameter_openapi_schema=parameter_schema(flow).model_dump(),
                enforce_parameter_schema=True,
                schedules=[schedule],
            )
