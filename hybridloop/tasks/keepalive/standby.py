"""A process beside this one that sends prepared pings when no thread of this one can.

Some libraries keep Python's interpreter for the whole of a computation: during minutes of simulation no thread runs
here. The process knows the moments beforehand, and each sign of life from here puts them off.
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

from hybridloop.azure.transport import SignedRequest
from hybridloop.tasks.keepalive.standby_process import now_s

_SCRIPT = Path(__file__).with_name("standby_process.py")
# What Python and TLS may need to start; nothing else, because the environment may hold a connection string.
_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR")
_HAND_OVER_S = 5.0
_END_S = 1.0


@dataclass(frozen=True, slots=True)
class SentPing:
    """What became of a request: when it was sent (seconds since the epoch), and the status, or 0 and the trouble."""

    key: str
    at: float
    status: int
    trouble: str

    @property
    def is_accepted(self) -> bool:
        """Whether the service said yes."""
        return 200 <= self.status < 300


class StandbyProcess:
    """Holds requests in a process of its own, which starts with the first; may be used from several threads.

    If the process is gone, or does not listen, all calls do nothing from then on and `is_there` is false.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._heard = b""
        self._lost = False
        self.was_killed = False  # in the midst of whatever it did

    @property
    def is_there(self) -> bool:
        """Whether the process was started and lives."""
        return not self._lost and self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return None if self._process is None else self._process.pid

    def hold(self, key: str, request: SignedRequest) -> None:
        """Hand a request over, which is not sent before it is armed. May wait a moment for the process to listen."""
        message = {
            "hold": key,
            "url": request.url,
            "headers": dict(request.headers),
            "body": request.body.decode(),
            "proxy": request.proxy,
            "ca": request.ca_file,
        }
        with self._lock:
            if self._process is None and not self._lost:
                self._start()
            self._write(message, _HAND_OVER_S)

    def arm(self, after_s: Mapping[str, float]) -> None:
        """Have these requests sent so many seconds from now, and no others. Never waits."""
        if self._lock.acquire(blocking=False):  # else a request is handed over right now, and armed right after
            try:
                self._write({"arm": {key: now_s() + after for key, after in after_s.items()}}, 0.0)
            finally:
                self._lock.release()

    def forget(self, key: str) -> None:
        """Have it never sent."""
        with self._lock:
            self._write({"forget": key}, _HAND_OVER_S)

    def sent(self) -> list[SentPing]:
        """What was sent, or given up, since this was last asked."""
        with self._lock:
            if self._process is None or self._process.stdout is None:
                return []
            out = self._process.stdout.fileno()
            while select.select([out], [], [], 0.0)[0] and (data := os.read(out, 1 << 16)):
                self._heard += data
            *lines, self._heard = self._heard.split(b"\n")
        return [SentPing(**json.loads(line)) for line in lines]

    def close(self) -> list[SentPing]:
        """End the process; what it had sent. A request that is on its way may arrive all the same."""
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
        heard = self.sent()
        with self._lock:
            self._process = None
        assert process.stdout is not None
        process.stdout.close()
        return heard

    def _start(self) -> None:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SCRIPT), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd="/",
                start_new_session=True,  # a Ctrl-C at the terminal is not meant for it
                bufsize=0,
            )
        except OSError:
            self._lost = True
            return
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)

    def _write(self, message: Mapping[str, object], within_s: float) -> None:
        """Write a line; a process that does not take it within the time is given up, as one that has died."""
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
