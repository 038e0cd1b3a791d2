"""Own flows whose tasks run in processes of a cluster: whole runs work, an open session is refused in words."""

from __future__ import annotations

import ast
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
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
from tests.waiting import PATIENCE_S

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
    output = _output_of(program, {**stack_environ, **as_own_server(prefect_server)})
    hydrogen, lithium_hydride = ast.literal_eval(output.splitlines()[-1])
    assert hydrogen == pytest.approx(-1.137, abs=0.01)
    assert -7.9 < lithium_hydride < -7.7


def _output_of(program: Path, environ: dict[str, str]) -> str:
    """Run a program to its end; one that does not come to it fails with the stacks of its processes' threads."""
    output, errors = program.with_suffix(".out"), program.with_suffix(".err")
    with output.open("w") as out, errors.open("w") as err:
        environ = {**environ, "PYTHONFAULTHANDLER": "1"}  # SIGABRT prints stacks
        process = subprocess.Popen([sys.executable, str(program)], env=environ, stdout=out, stderr=err)
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        started = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        lines = [f"{each.pid} {each.status()} {shlex.join(each.cmdline())}" for each in started]
        for each in started:
            each.send_signal(signal.SIGABRT)
        psutil.wait_procs(started, PATIENCE_S)
        pytest.fail("\n".join([*lines, output.read_text(), errors.read_text()]))
    assert process.returncode == 0, errors.read_text()
    return output.read_text()


@pytest.mark.parametrize("name", [pytest.param("submit", marks=pytest.mark.slow), "map"])
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
