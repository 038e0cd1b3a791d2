"""Commands of `hybridloop` that the server starts, each in a process of its own that ends with the server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from typing import IO, Any

from mcp.server.mcpserver.exceptions import ToolError

from hybridloop.errors import NOTHING_SUBMITTED, InputError

POLL_S = 0.1
_WITH_RESULT = (0, 3, 4)  # exit codes of commands that print a document
_LONGEST = 100_000  # of an argument, of which Linux takes 128 KiB
_PREFIX = "hybridloop: "  # begins the line of an error


class Command:
    """A command in its process; its output goes to files, as nothing reads a pipe while no tool waits."""

    def __init__(self, *arguments: str) -> None:
        if too_long := next((each for each in arguments if "\0" in each or len(each.encode()) > _LONGEST), None):
            problem = f"{too_long[:80]!r} has a NUL character, or more than {_LONGEST:,} bytes"
            remedy = "Give a file in the server's folder in place of a long text."
            raise InputError("arguments", problem, remedy, NOTHING_SUBMITTED)
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        command = [sys.executable, "-P", "-m", "hybridloop.assistant.attached", *arguments]
        # in a session of its own: clients kill the server's process group soon after they have closed its input
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._out, stderr=self._err, start_new_session=True
        )

    @property
    def is_running(self) -> bool:
        """True until its process has ended."""
        return self._process.poll() is None

    def last_line(self) -> str:
        """Return the last line of its progress."""
        return (_text(self._err).splitlines() or [""])[-1]

    def document(self) -> Any:
        """Return the JSON document of a command that has ended. Raises ToolError with the command's error."""
        if self._process.returncode in _WITH_RESULT:
            return json.loads(_text(self._out))
        error = _text(self._err).strip()
        raise ToolError(error[max(error.rfind(f"\n{_PREFIX}"), 0) :].strip().removeprefix(_PREFIX) or "it was ended")

    async def ended(self) -> Any:
        """Wait for the end of the command, and return its document; a cancelled wait ends the command."""
        assert self._process.stdin is not None
        with self._process.stdin:
            while self.is_running:
                await asyncio.sleep(POLL_S)
        return self.document()


def _text(file: IO[bytes]) -> str:
    # pread: the file's position is the process's, too
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")
