"""Fixtures for all tests: one local stack for the whole test session, in its own folder.

A Prefect server on an empty database takes about 9 s to start, so all tests that need one share it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

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


@pytest.fixture(scope="session")
def stack_environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return the environment of processes that share the session's stack; the first test that needs it starts it."""
    environ = own_environ(str(tmp_path_factory.mktemp("home")), os.environ)
    try:
        yield environ
    finally:
        stack.down(environ)


@pytest.fixture(scope="session")
def prefect_server(stack_environ: Mapping[str, str]) -> Iterator[stack.PrefectServer]:
    """Hold a real Prefect server; flows that are called in this process run on it."""
    server = stack.ensure_prefect(stack_environ)
    with stack.run_flows_on(server), pytest.MonkeyPatch.context() as patch:
        # a separate journal, not the developer's; with a whole state folder, stray processes would count as ours
        patch.setenv("HYBRIDLOOP_JOURNAL", f"sqlite:///{stack_environ['HYBRIDLOOP_HOME']}/journal-of-flows.db")
        yield server
        # Send the pending logs of flows in this process while the server still runs: otherwise the process, at its end,
        # tries for more than a minute to reach a server.
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        for worker in (APILogWorker, EventsWorker):
            worker.drain_all(timeout=30)
