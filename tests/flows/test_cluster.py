"""Own flows whose tasks run in processes of a cluster: whole runs work, an open session is refused in words."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.task_runners import ProcessPoolTaskRunner

import hybridloop as hl
from hybridloop import tasks as public
from hybridloop.errors import InputError
from hybridloop.local_stack import PrefectServer
from tests.conftest import Emulator
from tests.paths import ROOT
from tests.prefect_server import as_own_server

tasks: Any = public  # Prefect types every call of a task as a coroutine, for mypy
GUIDE = (ROOT / "docs" / "prefect.md").read_text("utf-8")
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_guides_flow_makes_whole_runs_on_a_dask_cluster_of_two_processes(
    prefect_server: PrefectServer, stack_environ: dict[str, str], tmp_path: Path
) -> None:
    (snippet,) = (each for each in SNIPPET.findall(GUIDE) if "prefect_dask" in each)
    program = tmp_path / "own_flow.py"
    program.write_text(snippet)
    command = [sys.executable, str(program)]
    environ = {**stack_environ, **as_own_server(prefect_server)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    hydrogen, lithium_hydride = ast.literal_eval(done.stdout.splitlines()[-1])
    assert hydrogen == pytest.approx(-1.137, abs=0.01)
    assert -7.9 < lithium_hydride < -7.7


@pytest.mark.parametrize("name", ["submit", "map"])
@pytest.mark.usefixtures("prefect_server")
def test_a_session_is_not_sent_to_another_process(emulator: Emulator, name: str) -> None:
    workspace = emulator.workspace("cluster")

    runner: Any = ProcessPoolTaskRunner(max_workers=1)

    @flow(persist_result=False, task_runner=runner)
    def own() -> None:
        session = tasks.open_session(hl.open_session("ionq.simulator", workspace=workspace, seed=1))
        getattr(tasks.run_round, name)(session, [])

    run: Any = own
    with pytest.raises(InputError, match=r"ProcessPoolTaskRunner runs tasks in other processes.*hl\.vqe"):
        run()
