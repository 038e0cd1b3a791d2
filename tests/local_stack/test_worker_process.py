"""Prefect's worker ends with the process that started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hybridloop.local_stack.processes import wait_until
from tests.waiting import PATIENCE_S

STARTER = """
import os
from hybridloop.local_stack.worker import run_worker
run_worker(["--pool", "none", "--type", "process"], os.environ)
"""


@pytest.mark.slow
def test_the_worker_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    # nothing answers at that address, so the worker waits for its server
    environ = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", STARTER], env=environ, stderr=subprocess.DEVNULL) as starter:
        mine = psutil.Process(starter.pid)
        assert wait_until(lambda: any(child.num_threads() > 1 for child in mine.children()), PATIENCE_S)
        (worker,) = mine.children()
        starter.kill()
        assert psutil.wait_procs([worker], timeout=PATIENCE_S)[1] == []
