"""Standby process, as seen from this one: it sends prepared pings when no thread of this process can.

Some libraries hold Python's interpreter for a whole computation: during minutes of simulation no thread runs here. The
standby process (12 MB) has the moments of its requests beforehand, and each message from here postpones them.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hybridloop.azure.signed_request import SignedRequest
from hybridloop.runtime.clock import steady_s

_SCRIPT = Path(__file__).with_name("standby_process.py")
# For Python and TLS to start; nothing else, because the environment may hold a connection string.
ENVIRONMENT_OF_SENDERS = (
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PATH",
    "LANG",
    "LC_ALL",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
_HAND_OVER_S = 5.0
_END_S = 1.0


@dataclass(frozen=True, slots=True)
class SentPing:
    """Outcome of a request: the moment it was sent (of `steady_s`), and the status, or 0 and the trouble."""

    key: str
    at: float
    status: int
    trouble: str

    @property
    def is_accepted(self) -> bool:
        """True if the service accepted the request."""
        return 200 <= self.status < 300


class StandbyProcess:
    """Holds requests in a process of its own, which starts with the first; thread-safe.

    If the process has ended, or does not read its input, all calls do nothing from then on and `is_there` is False.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._output = b""
        self._lost = False
        self.was_killed = False  # perhaps while it sent a request

    @property
    def is_there(self) -> bool:
        """True if the process was started and lives."""
        return not self._lost and self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return None if self._process is None else self._process.pid

    def hold(self, key: str, request: SignedRequest) -> None:
        """Pass a request to the process, which sends it only once it is armed. May wait some seconds."""
        message = {"hold": key} | request.as_message()
        with self._lock:
            if self._process is None and not self._lost:
                self._start()
            self._write(message, _HAND_OVER_S)

    def arm(self, after_s: Mapping[str, float]) -> None:
        """Send these requests so many seconds from now, and no others. Never waits."""
        if self._lock.acquire(blocking=False):  # else a request is being passed, and is armed right after
            try:
                self._write({"arm": {key: steady_s() + after for key, after in after_s.items()}}, 0.0)
            finally:
                self._lock.release()

    def forget(self, key: str) -> None:
        """Drop a request."""
        with self._lock:
            self._write({"forget": key}, _HAND_OVER_S)

    def sent(self) -> list[SentPing]:
        """Return the outcomes of requests since the last call."""
        with self._lock:
            if self._process is None or self._process.stdout is None:
                return []
            out = self._process.stdout.fileno()
            while select.select([out], [], [], 0.0)[0] and (data := os.read(out, 1 << 16)):
                self._output += data
            *lines, self._output = self._output.split(b"\n")
        return [SentPing(**json.loads(line)) for line in lines]

    def close(self) -> list[SentPing]:
        """End the process and return its last outcomes. A request that is being sent may still arrive."""
        with self._lock:
            self._lost = True
            process = self._process
            if process is None:
                return []
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self.was_killed = True
                process.kill()
                process.wait()
        outcomes = self.sent()
        with self._lock:
            self._process = None
        assert process.stdout is not None
        process.stdout.close()
        return outcomes

    def _start(self) -> None:
        environment = {name: os.environ[name] for name in ENVIRONMENT_OF_SENDERS if name in os.environ}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SCRIPT), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd="/",
                start_new_session=True,  # so that a Ctrl-C at the terminal does not reach it
                bufsize=0,
            )
        except OSError:
            self._lost = True
            return
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)

    def _write(self, message: Mapping[str, object], within_s: float) -> None:
        """Write a line; a process that does not read it within the time is killed."""
        process = self._process
        if self._lost or process is None or process.stdin is None:
            return
        data = memoryview(json.dumps(message).encode() + b"\n")
        until = time.monotonic() + within_s
        pipe = process.stdin.fileno()
        while data:
            try:
                data = data[os.write(pipe, data) :]
            except BlockingIOError:
                left = until - time.monotonic()
                if left <= 0.0 or not select.select([], [pipe], [], left)[1]:
                    break
            except OSError:
                break
        if data:
            self._lost = self.was_killed = True
            process.kill()
