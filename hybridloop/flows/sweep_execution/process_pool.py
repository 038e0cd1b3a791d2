"""Points in processes on this machine, each of which runs one after the other; one that dies is replaced."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from hybridloop.flows.sweep_execution.scheduler import Ended
from hybridloop.flows.sweep_execution.spec import Point

COMMAND = (sys.executable, "-m", "hybridloop.flows.sweep_execution.worker_process")
LEAVE_WITHIN_S = 30.0  # an interrupted run waits 5 s for its round, then closes its session


class PointPool:
    """Up to `size` processes, each started when it is first needed; `greeting` is told to each."""

    def __init__(
        self, size: int, environ: Mapping[str, str], greeting: Mapping[str, Any], command: Sequence[str] = COMMAND
    ) -> None:
        self._size = size
        self._environ = dict(environ)
        self._greeting = _line(greeting)
        self._command = command
        self._idle: list[subprocess.Popen[bytes]] = []
        self._busy: dict[subprocess.Popen[bytes], str] = {}
        self._answers = selectors.DefaultSelector()

    @property
    def room(self) -> int:
        """How many points can be taken now."""
        return self._size - len(self._busy)

    @property
    def processes(self) -> list[int]:
        """The ids of the processes there are."""
        return [process.pid for process in (*self._busy, *self._idle)]

    def start(self, point: Point, /) -> None:
        """Hand a point to a process that is idle, or to a new one."""
        order = {
            "algorithm": point.algorithm,
            "problem": point.problem.model_dump(mode="json"),
            "settings": point.settings.model_dump(mode="json"),
            "run_key": point.key,
        }
        process = self._idle.pop() if self._idle else self._launched()
        self._busy[process] = point.key
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has died: its end is heard of like any other's
            process.stdin.write(_line(order))
            process.stdin.flush()

    def ended(self, within_s: float, /) -> list[Ended]:
        """The attempts that ended, as soon as there is one; none after that time."""
        found: list[Ended] = []
        for key, _ in self._answers.select(within_s):
            process: subprocess.Popen[bytes] = key.data
            assert process.stdout is not None
            answer = process.stdout.readline()
            run = self._busy.pop(process, None)
            if answer.endswith(b"\n"):
                self._idle.append(process)
                assert run is not None
                found.append(Ended(run, **json.loads(answer)))
                continue
            if run is None:
                self._idle.remove(process)
            code = self._forgotten(process)
            if run is not None:
                found.append(Ended(run, f"its process ended without a word (exit code {code})", again=True))
        return found

    def close(self) -> None:
        """End all processes: those that are idle at once, the others in order, so that they close their sessions."""
        for process in (*self._idle, *self._busy):
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
        for process in self._busy:
            process.terminate()
        try:
            for process in (*self._idle, *self._busy):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(LEAVE_WITHIN_S)
        finally:  # a second signal comes here at once
            for process in (*self._idle, *self._busy):
                if process.poll() is None:
                    process.kill()
                self._forgotten(process)
            self._idle, self._busy = [], {}
            self._answers.close()

    def _launched(self) -> subprocess.Popen[bytes]:
        # a session of its own, so that a Ctrl-C reaches it through us alone, and once
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environ,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.write(self._greeting)
            process.stdin.flush()
        self._answers.register(process.stdout, selectors.EVENT_READ, process)
        return process

    def _forgotten(self, process: subprocess.Popen[bytes]) -> int:
        """The exit code of a process that has ended, or is about to."""
        assert process.stdout is not None
        with suppress(KeyError, ValueError):
            self._answers.unregister(process.stdout)
        with suppress(BrokenPipeError):
            process.__exit__(None, None, None)  # closes the pipes and waits
        return process.returncode


@contextmanager
def point_pool(size: int, environ: Mapping[str, str], greeting: Mapping[str, Any]) -> Iterator[PointPool]:
    """Hold a pool; however the block ends, its processes do too."""
    pool = PointPool(size, environ, greeting)
    try:
        yield pool
    finally:
        pool.close()


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"
