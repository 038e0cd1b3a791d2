"""Closing of the sessions that the checks opened, also if this process is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import TracebackType

from hybridloop.azure.transport import SignedRequest

_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR")
_LIMIT_S = 60.0


class ClosingProcess:
    """Context manager of a process that sends the held requests once this process, or the block, has ended.

    It has a session of its own, so that neither Ctrl-C nor a signal to the process group ends it.
    """

    def __enter__(self) -> ClosingProcess:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "hybridloop.setup_checks.live.closing_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            cwd="/",
            start_new_session=True,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_LIMIT_S)

    def hold(self, key: str, request: SignedRequest) -> None:
        """Arrange that a request is sent at the end."""
        self._write(
            {
                "hold": key,
                "method": request.method,
                "url": request.url,
                "headers": dict(request.headers),
                "body": request.body.decode(),
                "proxy": request.proxy,
                "ca": request.ca_file,
            }
        )

    def forget(self, key: str) -> None:
        """Drop a request."""
        self._write({"forget": key})

    def _write(self, message: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
