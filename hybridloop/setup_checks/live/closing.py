"""End of the jobs and sessions that the checks created, also if this process is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from types import TracebackType

from hybridloop.azure.signed_request import SignedRequest
from hybridloop.errors import HybridloopError
from hybridloop.setup_checks.live.closing_process import READY

_LIMIT_S = 60.0
# For Python and TLS to start; nothing else, because the environment may hold a connection string.
_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR")


class ClosingProcess:
    """Context manager of a process that sends the added requests once this process, or the block, has ended.

    It has a session of its own, so that neither Ctrl-C nor a signal to the process group ends it. Raises
    HybridloopError if it does not start, or has ended: nothing may be created that it does not know.
    """

    def __enter__(self) -> ClosingProcess:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "hybridloop.setup_checks.live.closing_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            cwd="/",
            start_new_session=True,
            text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != READY:
            self._process.kill()
            self._process.wait()
            raise _not_running()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):  # it ends by itself
            self._process.wait(_LIMIT_S)

    def add(self, key: str, request: SignedRequest) -> None:
        """Arrange that a request is sent at the end."""
        try:
            self._write({"add": key} | request.as_message())
        except OSError as error:
            raise _not_running() from error

    def forget(self, key: str) -> None:
        """Drop a request."""
        with suppress(OSError):
            self._write({"forget": key})

    def _write(self, message: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()


def _not_running() -> HybridloopError:
    return HybridloopError("the process that closes the sessions of the checks does not run; nothing more is sent")
