"""Fixtures for all tests: one local stack for the whole test run, shared by the workers of pytest-xdist.

A Prefect server on an empty database takes about 10 s of CPU time to start, so all tests that need one share it. The
migrations are 6 s of them: servers that a test starts for itself begin with a copy of the shared one's files.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from hybridloop import local_stack as stack

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


def own_environ(home: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` with its stack in `home`, and without the developer's Prefect server and workspace."""
    foreign = ("PREFECT_", "AZURE_", "HYBRIDLOOP_")
    kept = {name: value for name, value in environ.items() if not name.startswith(foreign)}
    return {**kept, "HYBRIDLOOP_HOME": home, "PREFECT_PROFILES_PATH": f"{home}/profiles.toml"}


def as_own_server(server: stack.PrefectServer) -> dict[str, str]:
    """Return the variables by which a user names this server as their own."""
    return {name: server.environment[name] for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")}


def prefect_client(server: stack.PrefectServer) -> SyncPrefectClient:
    """Return a client of this server, not yet entered."""
    from prefect.client.orchestration import SyncPrefectClient

    return SyncPrefectClient(server.api_url, auth_string=server.environment.get("PREFECT_API_AUTH_STRING"))


SHARED, MIGRATED = "shared", "migrated"  # folders: of the stack that the workers share, and of a server's first files
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


def _is_worker(config: pytest.Config) -> bool:
    """Return True in a worker of pytest-xdist, whose temporary files are in a folder of its controller's."""
    return hasattr(config, "workerinput")


@pytest.fixture(scope="session")
def _shared(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the stack that all workers share."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if _is_worker(pytestconfig) else own) / SHARED


@pytest.fixture(scope="session")
def shared_environ(_shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of processes that use the stack; the first of them starts it.

    Logs and pictures are in a folder of this worker's own.
    """
    home = tmp_path_factory.mktemp("home")
    for name in ("emulator", "prefect", "stack"):
        (_shared / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / name).symlink_to(_shared / name)
    return own_environ(str(home), os.environ)


def pytest_configure(config: pytest.Config) -> None:
    """Let SIGTERM end the controller of pytest-xdist as Ctrl-C does."""
    if not _is_worker(config) and config.getoption("numprocesses", None):
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Stop the shared stack when all workers have ended, also after Ctrl-C, even in the midst of that."""
    try:
        yield
    finally:
        if not _is_worker(session.config):
            temporary: Path = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
            stack.down({"HYBRIDLOOP_HOME": str(temporary / SHARED)})


@pytest.fixture(scope="session")
def shared_server(shared_environ: Mapping[str, str], _shared: Path) -> Iterator[stack.PrefectServer]:
    """Hold a real Prefect server, on which flows that are called in this process run; see `tests.server_share`.

    Tests of other workers use it at the same time.
    """
    server = stack.ensure_prefect(shared_environ)
    with FileLock(_shared / "migrated.lock"):
        if not (_shared / MIGRATED).exists():
            copy_server(_shared / "prefect", _shared / MIGRATED)
    with stack.run_flows_on(server):
        yield server
        # Send the pending logs of flows in this process while the server still runs: otherwise the process, at its end,
        # tries for more than a minute to reach a server.
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        for worker in (APILogWorker, EventsWorker):
            worker.drain_all(timeout=30)


@pytest.fixture(scope="session")
def migrated_server(shared_server: stack.PrefectServer, _shared: Path) -> Path:
    """Return a folder with the files of a Prefect server after its first start, to be copied for another server."""
    return _shared / MIGRATED
