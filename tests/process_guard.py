"""End of a test run: no process that it started outlives it, however it ends.

All processes of a run inherit a mark in their environment, the path of a folder for what its workers share. A guard, a
process of its own session, waits for the end of pytest by a pipe that closes, also after kill -9, and ends what still
has the mark.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

MARK = "TEST_RUN_FOLDER"
GRACE_S = float(os.environ.get("TEST_RUN_GRACE_S", "20"))  # for processes that are about to end, on a loaded machine
GUARD = "import sys; from tests.process_guard import guard; guard(sys.argv[1])"
_guard = pytest.StashKey[subprocess.Popen[bytes]]()


def processes_of(run: str, *, but: frozenset[int] = frozenset()) -> list[psutil.Process]:
    """Return the living processes with the mark of a test run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid not in but and process.environ().get(MARK) == run:
                found.append(process)
    return found


def guard(run: str) -> None:
    """Wait for the end of standard input, then kill what is left of the run; the main function of the guard."""
    sys.stdin.buffer.read()
    while left := processes_of(run, but=frozenset({os.getpid()})):
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=0.2)  # not longer: those of pytest stay zombies, as it waits for this process
    shutil.rmtree(run)


def pytest_configure(config: pytest.Config) -> None:
    """Start the guard, in the process that the user started."""
    if hasattr(config, "workerinput"):
        return
    # what is left in the temporary folder is removed with the run's; the folders of `tmp_path` stay where they are kept
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    os.environ[MARK] = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="test-run-")
    Path(os.environ[MARK]).chmod(0o711)  # PostgreSQL runs as another user
    tempfile.tempdir = None
    config.stash[_guard] = subprocess.Popen(
        [sys.executable, "-P", "-c", GUARD, os.environ[MARK]],
        stdin=subprocess.PIPE,
        start_new_session=True,
        cwd=config.rootpath,
        env={**_without_mark(os.environ), "PYTHONPATH": str(config.rootpath)},
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Fail a run that left processes of its own, and name them."""
    yield
    if _guard not in session.config.stash:
        return
    left = [each for each in processes_of(os.environ[MARK], but=frozenset({os.getpid()})) if not _ends_by_itself(each)]
    _, left = psutil.wait_procs(left, timeout=GRACE_S)
    for process in left:
        with contextlib.suppress(psutil.Error):
            print(f"\nleft by the tests: {process.pid} {' '.join(process.cmdline())}", file=sys.stderr)
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the guard, which kills what is left."""
    if process := config.stash.get(_guard, None):
        process.communicate()


def _ends_by_itself(process: psutil.Process) -> bool:
    """Return True for a process that ends with the one that uses it.

    These are fork servers, Python's resource tracker, and the compiler of Q#.
    """
    used = ("from multiprocessing.", "from tests.forked_processes", "from hybridloop.compiler.qsharp_worker")
    try:
        command = " ".join(process.cmdline())
        return any(each in command for each in used)
    except psutil.Error:
        return False


def _without_mark(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name != MARK}
