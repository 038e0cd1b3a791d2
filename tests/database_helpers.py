"""Prefect server and journal on one PostgreSQL server, which can be restarted under both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from hybridloop.local_stack import PrefectServer
from hybridloop.local_stack.prefect_settings import client_environment, server_environment
from tests.journal.postgresql_helpers import Server, new_database, running_server
from tests.prefect_server import own_environ
from tests.waiting import PATIENCE_S, eventually


@contextmanager
def on_postgresql(folder: Path) -> Iterator[tuple[PrefectServer, Callable[[], None]]]:
    """Hold both, and yield a function that restarts the database. Skips the test if PostgreSQL is not installed."""
    with running_server() as database, prefect_on(database, folder) as process, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDLOOP_JOURNAL", new_database(database))
        yield process.server, restart(database.folder)


DATABASE_URL = "PREFECT_API_DATABASE_CONNECTION_URL"


class ServerProcess:
    """A Prefect server, which can be killed and started again at its address."""

    def __init__(self, folder: Path, environ: Mapping[str, str], home: Path) -> None:
        self._folder, self._environ, self._port = folder, environ, 0
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        self.server = PrefectServer(self._api_url, is_local=True, environment=client_environment(self._api_url, home))

    def start(self) -> None:
        """Start the server, and wait until it is healthy."""
        log = self._folder / "server.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hybridloop.local_stack.prefect_server", "--port", str(self._port)],
                env=dict(self._environ),
                cwd=self._folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        eventually(lambda: "listening on" in log.read_text(errors="replace"))
        (line,) = [line for line in log.read_text(errors="replace").splitlines() if "listening on" in line]
        self._api_url = line.split()[-1] + "api"
        self._port = int(self._api_url.split(":")[-1].split("/")[0])
        eventually(lambda: _is_healthy(self._api_url), poll_s=0.2)

    def kill(self) -> None:
        """Kill the server."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE_S)

    def suspend(self) -> None:
        """Let the server answer nothing: it accepts connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a suspended server answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        eventually(lambda: _is_healthy(self._api_url), poll_s=0.2)

    def stored_states(self) -> list[str]:
        """Return the types of the flow runs' states in its database, also while it is down."""
        with psycopg.connect(self._environ[DATABASE_URL].replace("+asyncpg", "")) as connection:
            return [str(kind) for (kind,) in connection.execute("SELECT state_type FROM flow_run")]

    def close(self) -> None:
        """End the server."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        finally:
            self._process.kill()


@contextmanager
def prefect_on(database: Server, folder: Path) -> Iterator[ServerProcess]:
    """Hold a Prefect server on a new database of PostgreSQL."""
    ours = new_database(database)
    with psycopg.connect(ours, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_trgm")
    home = folder / "prefect"
    environ = {
        **server_environment(own_environ(folder / "home"), home),
        DATABASE_URL: ours.replace("postgresql://", "postgresql+asyncpg://"),
    }
    process = ServerProcess(folder, environ, home)
    try:
        yield process
    finally:
        process.close()


def restart(folder: Path) -> Callable[[], None]:
    """Return a function that stops the database server as in a crash, and starts it again."""

    def restarted() -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))[-1]
        subprocess.run(
            [programs, "-D", str(folder / "data"), "-m", "immediate", "-w", "restart"],
            user="nobody" if os.geteuid() == 0 else None,
            cwd=folder,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=PATIENCE_S,
        )

    return restarted


def _is_healthy(api_url: str) -> bool:
    import httpx

    try:
        return httpx.get(f"{api_url}/health", timeout=5.0).status_code == 200
    except httpx.HTTPError:
        return False
