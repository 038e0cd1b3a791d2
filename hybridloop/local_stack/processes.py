"""Processes of the local stack, one group per component: start, find and stop them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from hybridloop.errors import StackError
from hybridloop.local_stack.log_rotation import previous_log
from hybridloop.local_stack.state_files import ProcessRecord

MARK = "HYBRIDLOOP_STACK_PART"
"""Environment variable that names the component and the stack that a process belongs to.

A process keeps it and passes it to its children. So processes are found even if no state file names them: when the
leader has died and its children live, or when the starter was killed before it wrote the state file.
"""

POLL_S = 0.05
CLOCK_DRIFT_S = 2.0  # start times are relative to the boot time, which changes when the clock is set


def wait_until(probe: Callable[[], bool], within_s: float, poll_s: float = POLL_S) -> bool:
    """Poll `probe` every `poll_s` seconds, at least once; return False if it was not true within `within_s`.

    For changes that send no notification: in another process, on a page.
    """
    deadline = time.monotonic() + within_s
    while not probe():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_s)
    return True


def spawn(
    command: Sequence[str], *, mark: str, environ: Mapping[str, str], folder: Path, output: Path
) -> subprocess.Popen[bytes]:
    """Start `command` in its own session, with its output in a file and `folder` as its working folder.

    A Ctrl-C in this terminal does not reach another session. From `folder` it reads no `.env` or `prefect.toml` of the
    user's current folder.
    """
    if output.exists():
        output.replace(previous_log(output))
    output.touch(mode=0o600)
    with output.open("ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**environ, MARK: mark},
            start_new_session=True,
            umask=0o077,
        )


def start_time(pid: int) -> float:
    """Return a process's start time in seconds since the epoch."""
    return psutil.Process(pid).create_time()


def is_leader_alive(record: ProcessRecord) -> bool:
    """Return True if the recorded process is alive; a later process with the same id does not count."""
    try:
        process = psutil.Process(record.pid)
        is_same = abs(process.create_time() - record.started) < CLOCK_DRIFT_S
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def marked_processes(mark: str) -> list[psutil.Process]:
    """Return the living processes with the mark, except this one and its group."""
    return [process for process in psutil.process_iter() if _has_mark(process, mark)]


def _has_mark(process: psutil.Process, mark: str) -> bool:
    try:
        return (
            process.environ().get(MARK) == mark
            and process.status() != psutil.STATUS_ZOMBIE
            and os.getpgid(process.pid) != os.getpgrp()
        )
    except (psutil.Error, OSError):  # it has ended, or belongs to another user
        return False


def stop_groups(mark: str, leader: ProcessRecord | None, within_s: float) -> int:
    """Stop every process group with the mark: SIGTERM, then SIGKILL after `within_s`. Return the number of processes.

    The recorded leader's group is stopped too, in case the system hides the environment of processes.
    """

    def living() -> list[psutil.Process]:
        processes = marked_processes(mark)
        if leader is not None and is_leader_alive(leader) and all(process.pid != leader.pid for process in processes):
            processes.append(psutil.Process(leader.pid))
        return processes

    processes = remaining = living()
    for number in (signal.SIGTERM, signal.SIGKILL):
        for group in _groups(remaining):
            _signal(group, number)
            _signal(group, signal.SIGCONT)  # a suspended process can't handle SIGTERM
        if wait_until(lambda: not living(), within_s):
            break
        remaining = living()
    psutil.wait_procs(processes, timeout=0)  # reaps those that are our children
    if remaining := living():
        numbers = ", ".join(str(process.pid) for process in remaining)
        raise StackError(f"the processes {numbers} of the local stack did not end after SIGKILL", "End them by hand.")
    return len(processes)


def _groups(processes: Iterable[psutil.Process]) -> set[int]:
    groups = set()
    for process in processes:
        try:
            groups.add(os.getpgid(process.pid))
        except ProcessLookupError:
            continue
    return groups


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
