"""Fixtures for all tests: one local stack for each worker of pytest-xdist, in its own folder.

A Prefect server on an empty database takes about 10 s of CPU time to start, so all tests of a worker share it. The
migrations are 6 s of them: only the first server of a test run makes them, and the others start on a copy. With one
server for all workers, single requests waited a minute for the lock of SQLite.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from hybridloop import local_stack as stack
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


def own_environ(home: str | Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return `environ` with its stack in `home`, and without the developer's Prefect server and workspace."""
    foreign = ("PREFECT_", "AZURE_", "HYBRIDLOOP_")
    kept = {name: value for name, value in environ.items() if not name.startswith(foreign)}
    return {**kept, "HYBRIDLOOP_HOME": str(home), "PREFECT_PROFILES_PATH": f"{home}/profiles.toml"}


def as_own_server(server: stack.PrefectServer) -> dict[str, str]:
    """Return the variables by which a user names this server as their own."""
    return {name: server.environment[name] for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")}


def prefect_client(server: stack.PrefectServer) -> SyncPrefectClient:
    """Return a client of this server, not yet entered."""
    from prefect.client.orchestration import SyncPrefectClient

    return SyncPrefectClient(server.api_url, auth_string=server.environment.get("PREFECT_API_AUTH_STRING"))


DATABASE, MEMO = "prefect.db", "memo_store.toml"  # the server's database, and its note that the blocks are registered


def server_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder with the files of the stack's server."""
    return Path(environ["HYBRIDLOOP_HOME"]) / "prefect"


def copy_server(folder: Path, into: Path) -> None:
    """Copy the files of a Prefect server, which may be running, into a new folder."""
    into.mkdir(parents=True, mode=0o700, exist_ok=True)
    with closing(sqlite3.connect(folder / DATABASE)) as source, closing(sqlite3.connect(into / DATABASE)) as copy:
        source.backup(copy)
    shutil.copy(folder / MEMO, into)


@pytest.fixture(scope="session")
def _first_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], Path]]:
    """Hold the session's stack; return its environment, and a copy of a server's files after its first start.

    The first worker of pytest-xdist that comes here starts its server on an empty folder, and makes the copy.
    """
    environ = own_environ(tmp_path_factory.mktemp("home"))
    own = tmp_path_factory.getbasetemp()
    migrated = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "migrated"
    try:
        with FileLock(f"{migrated}.lock"):
            if not migrated.exists():
                stack.ensure_prefect(environ)
                copy_server(server_folder(environ), migrated)
        yield environ, migrated
    finally:
        stack.down(environ)


@pytest.fixture(scope="session")
def migrated_server(_first_start: tuple[dict[str, str], Path]) -> Path:
    """Return a folder with the files of a Prefect server after its first start, to be copied for another server."""
    return _first_start[1]


@pytest.fixture(scope="session")
def shared_environ(_first_start: tuple[dict[str, str], Path]) -> dict[str, str]:
    """Return the environment of processes that share the session's stack; the first test that needs it starts it."""
    environ, migrated = _first_start
    if not server_folder(environ).exists():
        copy_server(migrated, server_folder(environ))
    return environ


def send_what_is_pending() -> None:
    """Send the logs and events of flows in this process while their server still runs.

    Prefect's threads that send them keep their server: with another one, or at the process's end, each event would wait
    for a minute.
    """
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=PATIENCE_S)


@pytest.fixture(scope="session")
def shared_server(shared_environ: Mapping[str, str]) -> Iterator[stack.PrefectServer]:
    """Hold a real Prefect server, on which flows that are called in this process run; see `tests.server_share`."""
    server = stack.ensure_prefect(shared_environ)
    with stack.run_flows_on(server):
        yield server
        send_what_is_pending()
