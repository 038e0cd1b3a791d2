"""Python processes without start-up: forked from a server that has imported the modules of a run once.

A new interpreter takes more than 3 s of CPU time to import Qiskit and Prefect. `ForkedPython` behaves as one, but for
what was imported before: arguments, environment, folder, standard streams, signals and exit status are its own.

All workers of pytest-xdist share one server, which takes 260 MB. It ends with the last process that uses it.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, process, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.process_guard import MARK

# the first makes the server, the others have main functions of processes
PRELOADED = [
    "tests.fork_server",
    "tests.chaos.process_helpers",
    "tests.chaos.test_database",
    "tests.journal.test_leases",
    "tests.journal.test_migrations",
]


SERVER = "from tests.forked_processes import serve; serve({!r}, {!r})"


class _Process(ForkServerProcess):
    """A process whose end only its own thread reads.

    Each start of another polls all children. Where a thread waits for one that ends at that moment, one of both finds
    its status read, and takes 255 for it.
    """

    def start(self) -> None:
        super().start()
        vars(process)["_children"].discard(self)


class _Context(ForkServerContext):
    Process = _Process


def context() -> ForkServerContext:
    """Return a context that forks processes from a server without threads; the tests' process has some."""
    vars(forkserver)["connect_to_new_process"] = _shared.connect_to_new_process
    return _Context()


class _SharedServer(forkserver.ForkServer):
    """Connection to the fork server of this test run; the first process that forks one starts the server.

    The server reads a named pipe, `users`, which each of its users holds open to write: it ends when none does.
    """

    _forkserver_address: str
    _forkserver_alive_fd: int | None = None
    _process: subprocess.Popen[bytes] | None = None

    def ensure_running(self) -> None:
        if self._forkserver_alive_fd is not None:
            return
        with pytest.MonkeyPatch.context() as patch:  # it is of no test's stack, whose processes a test may count
            patch.delenv("HYBRIDLOOP_HOME", raising=False)
            resource_tracker.ensure_running()
            self._find_or_start()

    def _find_or_start(self) -> None:
        folder = Path(os.environ[MARK])
        users, address = folder / "users", folder / "fork_server"
        with FileLock(folder / "fork_server.lock"):
            try:
                self._forkserver_alive_fd = os.open(users, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENXIO):  # no server yet, or it has ended
                    raise
                for path in (users, address):
                    path.unlink(missing_ok=True)
                os.mkfifo(users)
                command = [sys.executable, "-P", "-c", SERVER.format(str(address), str(users))]
                self._process = subprocess.Popen(command)
                self._forkserver_alive_fd = os.open(users, os.O_WRONLY)  # waits until the server reads
        self._forkserver_address = str(address)


_shared = _SharedServer()


def serve(address: str, users: str) -> None:
    """Serve forks at the address until no process has the named pipe open: the server's main function."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        forkserver.main(listener.detach(), os.open(users, os.O_RDONLY), PRELOADED)


class ForkedPython(subprocess.Popen[str]):
    """Process of a command `python …`, forked from the server, which reaps it.

    Of the interpreter's options it knows `-c`, `-m` and `-P -c`, and of those of `Popen` the streams, `cwd`, `env`,
    `text` and `start_new_session`.
    """

    _process: ForkServerProcess

    def _execute_child(self, args: Sequence[str], *given: Any) -> None:
        pipes = given[9:15]  # both ends for standard input, output and error; -1 for an inherited stream
        ends = [_Sent(number if end == -1 else end) for number, end in enumerate((pipes[0], pipes[3], pipes[5]))]
        environ, folder = dict(given[5] or os.environ), str(given[4] or os.getcwd())
        command = Command(args[1:], environ, folder, ends, os.getpid(), is_session_leader=given[20])
        self._process = context().Process(target=_behave_as_interpreter, args=[command], daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def poll(self) -> int | None:
        """Return the exit status, None while the process runs."""
        if self.returncode is None:
            self.returncode = self._process.exitcode
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process, and return its exit status."""
        if self.poll() is None:
            wait([self._process.sentinel], timeout)
            if self.poll() is None:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode


@dataclass(frozen=True, slots=True)
class Command:
    """Command `python …`: its arguments, environment, folder and open files for the three standard streams."""

    arguments: Sequence[str]
    environ: Mapping[str, str]
    folder: str
    streams: Sequence[Any]
    parent: int
    is_session_leader: bool


def _behave_as_interpreter(command: Command) -> None:
    from tests.fork_server import behave_as_interpreter

    behave_as_interpreter(command)


class _Sent:
    """File descriptor that is sent to a new process when it is pickled."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self._number),)


def _received(sent: Any) -> int:
    return int(sent.detach())
