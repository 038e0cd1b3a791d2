"""Prefect worker whose runs close their sessions before it ends.

`prefect worker start` kills the processes of its runs as soon as it gets SIGTERM or SIGINT, and their sessions stay
open.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from hybridloop.local_stack.components import prefect_home
from hybridloop.local_stack.processes import wait_until

GRACE_S = 40.0  # a run closes its session within ten seconds; on a loaded machine, or with many runs, it takes longer
END_S = 15.0  # for the worker itself
_START = "from hybridloop.local_stack.worker_process import main; main()"


def run_worker(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `prefect worker start` with these arguments until it ends, and return its exit code.

    On SIGTERM or SIGINT its runs are told to end, and have `GRACE_S` seconds; then the worker ends, and 0 is returned.
    A second signal ends it at once. The caller raises SystemExit on SIGTERM (`exit_on_sigterm`).
    """
    # in the background of a script SIGINT is ignored; the worker, which ends itself by one, must not inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-c", _START, "worker", "start", *arguments]
    # in its own session, since Ctrl-C in a terminal would signal worker and runs at the same time; the pipe is its
    # lifeline: after a kill -9 of this process it takes no further runs
    with subprocess.Popen(command, env=dict(environ), stdin=subprocess.PIPE, start_new_session=True) as worker:
        try:
            return worker.wait()
        except (KeyboardInterrupt, SystemExit):
            _end(worker)
            return 0
        finally:
            worker.kill()


def workers_of(folder: Path) -> list[int]:
    """Return the ids of the running workers, of this user, that use the Prefect server of the stack in this folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_worker = _START in process.cmdline()
            if is_worker and process.environ().get("PREFECT_HOME") == str(prefect_home(folder)):
                found.append(process.pid)
    return found


def _end(worker: subprocess.Popen[bytes]) -> None:
    try:
        _end_runs(psutil.Process(worker.pid))
    finally:  # also on a second signal
        worker.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(END_S)


def _end_runs(worker: psutil.Process) -> None:
    """Send SIGTERM to each process of a run, those that are started meanwhile too, and wait until none is left."""
    told: set[psutil.Process] = set()

    def have_ended() -> bool:
        running = set(worker.children())
        for run in running - told:
            with contextlib.suppress(psutil.NoSuchProcess):
                run.terminate()
        told.update(running)
        return not running

    wait_until(have_ended, GRACE_S, poll_s=0.2)
