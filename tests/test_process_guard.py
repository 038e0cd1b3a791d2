"""Test runs: an interrupted or killed one leaves no process, and a failed one shows the logs of its servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.paths import ROOT
from tests.process_guard import MARK, processes_of
from tests.waiting import PATIENCE_S, eventually

STUCK = """
import subprocess, sys, threading

def test_that_waits(emulator, tmp_path):
    subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"], start_new_session=True)
    (tmp_path.parents[1] / "running").touch()
    threading.Event().wait()
"""
LAST_WORDS = "the last words of a server"
FAILING = f"""
def test_that_fails(tmp_path):
    (tmp_path / "server.log").write_text({LAST_WORDS!r})
    raise AssertionError
"""
LEAVING = """
import subprocess, sys

def test_that_leaves_a_process():
    subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"], start_new_session=True)
"""


@contextmanager
def own_run(folder: Path, content: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Hold a pytest that runs a test file beside the fixtures of this folder."""
    (folder / "test_it.py").write_text(content)
    fixtures = ["-p", "tests.conftest", "-p", "tests.process_guard"]
    places = [f"--rootdir={folder}", f"--basetemp={folder}/temp"]
    command = [sys.executable, "-m", "pytest", "-q", *fixtures, *places, *options]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", MARK))}
    environ["TEST_RUN_GRACE_S"] = "0.2"
    with subprocess.Popen(
        [*command, str(folder / "test_it.py")], cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True
    ) as run:
        try:
            yield run
        finally:
            run.kill()


def run_id(run: subprocess.Popen[str]) -> str:
    """Return the mark of the processes of another pytest."""
    return next(
        mark for child in psutil.Process(run.pid).children(recursive=True) if (mark := child.environ().get(MARK))
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_interrupted_or_killed_leaves_no_process(how: signal.Signals, tmp_path: Path) -> None:
    with own_run(tmp_path, STUCK, "-n", "1") as run:
        eventually(lambda: any(tmp_path.rglob("running")))
        run_of_it = run_id(run)
        assert len(processes_of(run_of_it)) >= 3  # pytest's worker, the service, and what the test started
        run.send_signal(how)
        run.communicate(timeout=PATIENCE_S)
    eventually(lambda: not processes_of(run_of_it), lambda: processes_of(run_of_it))


@pytest.mark.slow
@pytest.mark.parametrize(("content", "shown"), [(LEAVING, "1 passed"), (FAILING, LAST_WORDS)], ids=["leaves", "fails"])
def test_a_run_that_leaves_a_process_fails_and_a_failure_shows_the_logs_of_that_time(
    content: str, shown: str, tmp_path: Path
) -> None:
    with own_run(tmp_path, content) as run:
        out = run.communicate(timeout=PATIENCE_S)[0]
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert shown in out
