"""Guards the ranges of prefect and sqlalchemy: beyond them one of these three things broke silently before."""

from __future__ import annotations

import os
from contextlib import chdir
from pathlib import Path

import pytest
from prefect.client.schemas.filters import FlowFilter, FlowFilterName

from hybridloop.local_stack import PrefectServer
from tests.cli.shell_helpers import Shell
from tests.prefect_server import prefect_client
from tests.waiting import eventually

FLOW = """
from prefect import flow, task

@task
def double(x: int) -> int:
    return 2 * x

@flow
def pinned(x: int = 21) -> int:
    return double(x)
"""

DEPLOYMENTS = """
pull: []
deployments:
- name: nightly
  entrypoint: pinned.py:pinned
  work_pool: {name: guard, work_queue_name: null}
  schedules:
  - cron: "0 3 * * *"
"""


@pytest.mark.slow
def test_a_flow_runs_and_prefect_deploy_works_and_a_schedule_makes_runs(
    prefect_server: PrefectServer, tmp_path: Path
) -> None:
    (tmp_path / "pinned.py").write_text(FLOW)
    (tmp_path / "prefect.yaml").write_text(DEPLOYMENTS)
    environ = {**os.environ, **prefect_server.environment}

    def run(*command: str) -> str:
        with chdir(tmp_path):
            done = Shell(environ).run_python(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert run("-c", "import pinned; print(pinned.pinned())") == "42\n"

    with prefect_client(prefect_server) as client:
        ours = FlowFilter(name=FlowFilterName(any_=["pinned"]))
        (completed,) = client.read_flow_runs(flow_filter=ours)
        assert completed.state is not None
        assert completed.state.is_completed()

        run("-m", "prefect", "work-pool", "create", "--type", "process", "guard")
        # a fastapi that Prefect does not know: 422 here; the deployment exists by then, so only the exit code tells
        run("-m", "prefect", "--no-prompt", "deploy", "--prefect-file", "prefect.yaml", "--all")
        nightly = client.read_deployment_by_name("pinned/nightly").id

        # a sqlalchemy that Prefect does not know: the scheduler raises on its bulk insert, so no run ever appears
        def is_scheduled() -> bool:
            runs = client.read_flow_runs(flow_filter=ours)
            return any(run.deployment_id == nightly and run.state_name == "Scheduled" for run in runs)

        eventually(is_scheduled)
