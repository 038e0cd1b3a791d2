"""Prefect worker whose runs close their sessions before it ends, with housekeeping beside it.

`prefect worker start` kills the processes of its runs as soon as it gets SIGTERM or SIGINT, and their sessions stay
open. Housekeeping has a process of its own: as a flow run of the pool it would wait behind the runs that it rescues.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from hybridloop.local_stack.components import prefect_home
from hybridloop.local_stack.processes import wait_until
from hybridloop.runtime.waits import WORKER_END_S, WORKER_RUNS_END_S

AGAIN_S = 15.0  # after an end of housekeeping's process, until another one is started
_WORKER = "from hybridloop.local_stack.worker_process import main; main()"
_HOUSEKEEPER = "from hybridloop.flows.rescue.housekeeper import main; main()"


def run_worker(pool: str, limit: int | None, environ: Mapping[str, str]) -> int:
    """Run a Prefect worker of a pool until it ends, and return its exit code; `limit` is the maximum of runs at once.

    On SIGTERM or SIGINT its runs are told to end, and have `WORKER_RUNS_END_S` seconds; then the worker ends, and 0
    is returned. A second signal ends it at once. The caller raises SystemExit on SIGTERM (`exit_on_sigterm`).
    """
    # in the background of a script SIGINT is ignored; the worker, which ends itself by one, must not inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with _process(environ, _WORKER, pool, str(limit or "")) as worker, _housekeeping(environ, pool) as housekeepers:
        try:
            return worker.wait()
        except (KeyboardInterrupt, SystemExit):
            _end(worker, *housekeepers)
            return 0


def workers_of(folder: Path) -> list[int]:
    """Return the ids of the running workers, of this user, that use the Prefect server of the stack in this folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_worker = _WORKER in process.cmdline()
            if is_worker and process.environ().get("PREFECT_HOME") == str(prefect_home(folder)):
                found.append(process.pid)
    return found


@contextmanager
def _process(environ: Mapping[str, str], *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Hold a Python process, which is killed at the end of the block.

    It is in its own session, since Ctrl-C in a terminal would signal worker and runs at the same time. The pipe is its
    lifeline: it ends with this process, also after kill -9.
    """
    started = [sys.executable, "-c", *command]
    with subprocess.Popen(started, env=dict(environ), stdin=subprocess.PIPE, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def _housekeeping(environ: Mapping[str, str], pool: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep housekeeping's process running for the block; yield a list with the present one."""
    present, ended = list[subprocess.Popen[bytes]](), threading.Event()

    def keep_running() -> None:
        while not ended.is_set():
            with _process(environ, _HOUSEKEEPER, pool) as process:
                present[:] = [process]
                while not ended.is_set() and process.poll() is None:
                    ended.wait(1.0)
            ended.wait(AGAIN_S)

    thread = threading.Thread(target=keep_running, name="hybridloop-housekeeping")
    thread.start()
    try:
        yield present
    finally:
        ended.set()
        thread.join()


def _end(*parents: subprocess.Popen[bytes]) -> None:
    try:
        _end_runs([psutil.Process(parent.pid) for parent in parents if parent.poll() is None])
    finally:  # also on a second signal
        for parent in parents:
            parent.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            for parent in parents:
                parent.wait(WORKER_END_S)


def _end_runs(parents: list[psutil.Process]) -> None:
    """Send SIGTERM to each process of a run, those that are started meanwhile too, and wait until none is left."""
    told: set[psutil.Process] = set()

    def have_ended() -> bool:
        running = set[psutil.Process]()
        for parent in parents:
            with contextlib.suppress(psutil.NoSuchProcess):
                running |= set(parent.children())
        for run in running - told:
            with contextlib.suppress(psutil.NoSuchProcess):
                run.terminate()
        told.update(running)
        return not running

    wait_until(have_ended, WORKER_RUNS_END_S, poll_s=0.2)
