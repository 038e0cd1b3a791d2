"""Starts, recognises and stops the processes of the local stack, each a group of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from hybridloop.errors import StackError
from hybridloop.stack.bounded_output import previous
from hybridloop.stack.records import Record

MARK = "HYBRIDLOOP_STACK_PART"
"""Environment variable that says which part of which stack a process belongs to.

A process keeps it for life and hands it to its children. So what must be stopped is found even where no
record names it: the leader is dead and its children live, or a starter was killed before it wrote its record.
"""

POLL_S = 0.05
CLOCK_DRIFT_S = 2.0  # a process's start is told relative to the boot time, which moves when the clock is set


def wait_until(probe: Callable[[], bool], within_s: float, poll_s: float = POLL_S) -> bool:
    """Whether `probe` came true in time; it is asked at least once, and every `poll_s` seconds.

    For what tells nobody that it happens: another process, a page.
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
    """Start `command` as the leader of its own session, its output in a file, its working folder `folder`.

    The session keeps a Ctrl-C meant for us from reaching it; the folder keeps it from reading a `.env` or a
    `prefect.toml` of wherever we happen to be started.
    """
    if output.exists():
        output.replace(previous(output))
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


def started_at(pid: int) -> float:
    """When the process started, in seconds since 1970."""
    return psutil.Process(pid).create_time()


def leads(record: Record) -> bool:
    """Whether the process that the record names is alive, and no later one under a number used again."""
    try:
        process = psutil.Process(record.pid)
        same = abs(process.create_time() - record.started) < CLOCK_DRIFT_S
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def marked(mark: str) -> list[psutil.Process]:
    """The living processes that carry the mark, this one and its group excepted."""
    return [process for process in psutil.process_iter() if _carries(process, mark)]


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        return (
            process.environ().get(MARK) == mark
            and process.status() != psutil.STATUS_ZOMBIE
            and os.getpgid(process.pid) != os.getpgrp()
        )
    except (psutil.Error, OSError):  # gone meanwhile, or somebody else's
        return False


def stop(mark: str, leader: Record | None, within_s: float) -> int:
    """Stop every process group with the mark: SIGTERM, SIGKILL after `within_s`. Returns how many processes.

    The recorded leader's group goes too, should the system hide a process's environment.
    """

    def living() -> list[psutil.Process]:
        found = marked(mark)
        if leader is not None and leads(leader) and all(process.pid != leader.pid for process in found):
            found.append(psutil.Process(leader.pid))
        return found

    processes = remaining = living()
    for number in (signal.SIGTERM, signal.SIGKILL):
        for group in _groups(remaining):
            _signal(group, number)
            _signal(group, signal.SIGCONT)  # one that is suspended could not act on SIGTERM
        if wait_until(lambda: not living(), within_s):
            break
        remaining = living()
    psutil.wait_procs(processes, timeout=0)  # collects those that are our children: no zombies
    if remaining := living():
        numbers = ", ".join(str(process.pid) for process in remaining)
        raise StackError(f"the processes {numbers} of the local stack do not end", "End them by hand.")
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
