"""Process pool of a sweep: each process runs one point at a time; a dead process is replaced."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from hybridloop.flows.sweep_execution.scheduler import AttemptEnd
from hybridloop.flows.sweep_execution.spec import Point
from hybridloop.runtime.waits import POINT_END_S

_START = """
from hybridloop.runtime.foreign_folder import shut_out_current_folder
shut_out_current_folder()
from hybridloop.flows.sweep_execution.worker_process import main
main()
"""
COMMAND = (sys.executable, "-P", "-c", _START)


class ProcessPool:
    """Up to `size` worker processes, started when first needed; each gets `configuration` as its first line."""

    def __init__(
        self, size: int, environ: Mapping[str, str], configuration: Mapping[str, Any], command: Sequence[str] = COMMAND
    ) -> None:
        self._size = size
        self._environ = dict(environ)
        self._configuration = _line(configuration)
        self._command = command
        self._idle: list[subprocess.Popen[bytes]] = []
        self._busy: dict[subprocess.Popen[bytes], str] = {}
        self._answers = selectors.DefaultSelector()

    @property
    def room(self) -> int:
        return self._size - len(self._busy)

    @property
    def processes(self) -> list[int]:
        """The ids of the processes."""
        return [process.pid for process in (*self._busy, *self._idle)]

    def start(self, point: Point, /) -> None:
        """Send a point to an idle process, or to a new one."""
        order = {
            "algorithm": point.algorithm,
            "problem": point.problem.model_dump(mode="json"),
            "settings": point.settings.model_dump(mode="json"),
            "run_key": point.key,
        }
        process = self._idle.pop() if self._idle else self._launch()
        self._busy[process] = point.key
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has died: `ended` reports that
            process.stdin.write(_line(order))
            process.stdin.flush()

    def ended(self, within_s: float, /) -> list[AttemptEnd]:
        ends: list[AttemptEnd] = []
        for key, _ in self._answers.select(within_s):
            process: subprocess.Popen[bytes] = key.data
            assert process.stdout is not None
            answer = process.stdout.readline()
            run = self._busy.pop(process, None)
            if answer.endswith(b"\n"):
                self._idle.append(process)
                assert run is not None
                ends.append(AttemptEnd(run, **json.loads(answer)))
                continue
            if run is None:
                self._idle.remove(process)
            code = self._remove(process)
            if run is not None:
                ends.append(AttemptEnd(run, f"its process died (exit code {code})", again=True))
        return ends

    def close(self) -> None:
        """End all processes: SIGTERM for those at work, so that they close their sessions."""
        for process in (*self._idle, *self._busy):
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
        for process in self._busy:
            process.terminate()
        try:
            for process in (*self._idle, *self._busy):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(POINT_END_S)
        finally:  # a second signal comes here at once
            for process in (*self._idle, *self._busy):
                if process.poll() is None:
                    process.kill()
                self._remove(process)
            self._idle, self._busy = [], {}
            self._answers.close()

    def _launch(self) -> subprocess.Popen[bytes]:
        # its own process session: a Ctrl-C reaches it only through `close`, and once
        process = subprocess.Popen(
            (*self._command, str(os.getpid())),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environ,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.write(self._configuration)
            process.stdin.flush()
        self._answers.register(process.stdout, selectors.EVENT_READ, process)
        return process

    def _remove(self, process: subprocess.Popen[bytes]) -> int:
        """Close the pipes of an ending process, wait for it, and return its exit code."""
        assert process.stdout is not None
        with suppress(KeyError, ValueError):
            self._answers.unregister(process.stdout)
        with suppress(BrokenPipeError):
            process.__exit__(None, None, None)
        return process.returncode


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"
