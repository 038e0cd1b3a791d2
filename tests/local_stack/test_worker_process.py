"""Prefect's worker, and housekeeping beside it, end with the process that started them."""

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
run_worker("none", None, os.environ)
"""


@pytest.mark.slow
def test_the_worker_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    # nothing answers at that address, so the worker waits for its server
    environ = {
        **os.environ,
        "HYBRIDLOOP_HOME": str(tmp_path),
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
        "PREFECT_HOME": str(tmp_path),
    }
    with subprocess.Popen([sys.executable, "-c", STARTER], env=environ, stderr=subprocess.DEVNULL) as starter:
        mine = psutil.Process(starter.pid)
        assert wait_until(
            lambda: len(mine.children()) == 2 and all(child.num_threads() > 1 for child in mine.children()), PATIENCE_S
        )
        started = mine.children()
        starter.kill()
        assert psutil.wait_procs(started, timeout=PATIENCE_S)[1] == []
