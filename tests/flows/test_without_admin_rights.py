"""A Prefect server that refuses /admin and changes of limits: runs and sweeps work, or say what to do."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL, temporary_settings

import hybridloop as hl
from hybridloop.errors import InputError
from hybridloop.flows.in_prefect.concurrency_slots import set_limit
from hybridloop.flows.sweep import session_limit_name
from hybridloop.local_stack import PrefectServer
from tests.cli.shell_helpers import Shell, WorkspaceShell, environment, run_in_process
from tests.conftest import Emulator
from tests.prefect_server import as_own_server, own_environ, prefect_client, send_what_is_pending
from tests.restricted_server import RestrictedServer, restricted_server
from tests.sweep_helpers import check_sessions, check_table

SPEC = {
    "name": "without-rights",
    "algorithm": "vqe",
    "problems": ["h2"],
    "settings": {"shots": 500, "precision": 0.005},
    "grid": {"seed": [1, 2]},
    "deployment": "none",
}
LIMITS = "/api/v2/concurrency_limits"


@pytest.fixture(scope="module")
def restricted(prefect_server: PrefectServer) -> Iterator[RestrictedServer]:
    with restricted_server(prefect_server.api_url) as server:
        yield server


@pytest.fixture
def user(
    restricted: RestrictedServer, prefect_server: PrefectServer, emulator: Emulator, tmp_path: Path
) -> WorkspaceShell:
    """Return the shell of a user of that server."""
    environ = {
        **own_environ(tmp_path / "home"),
        **as_own_server(prefect_server),
        "PREFECT_API_URL": restricted.api_url,
    }
    return Shell(environ).at(emulator, f"restricted-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def admin(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    with prefect_client(prefect_server) as client:
        yield client


def sweep(user: WorkspaceShell, restricted: RestrictedServer, **changes: Any) -> hl.SweepResult:
    send_what_is_pending()
    with environment(user.shell.environ), temporary_settings({PREFECT_API_URL: restricted.api_url}):
        try:
            return hl.sweep(SPEC, **changes)
        finally:
            send_what_is_pending()


def test_a_run_needs_no_admin_rights(user: WorkspaceShell, restricted: RestrictedServer) -> None:
    done = user.shell.run("run", "vqe", "h2", "--shots", "500", "--seed", "7", "--quiet", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] in {"converged", "finished"}
    assert user.session_statuses() == ["Succeeded"]
    assert "/api/events/in" in restricted.sockets
    assert not done.stderr


def test_a_missing_limit_is_what_an_administrator_is_to_create(
    user: WorkspaceShell, restricted: RestrictedServer
) -> None:
    name = session_limit_name(user.workspace, "rigetti.sim.qvm")
    with pytest.raises(InputError) as refusal:
        sweep(user, restricted, max_sessions=1)
    assert refusal.value.field == "max_sessions"
    assert f"prefect gcl create '{name}' --limit 1" in str(refusal.value)
    assert user.session_statuses() == []
    assert ("POST", f"{LIMITS}/") in restricted.refused


@pytest.mark.usefixtures("forked_points")
def test_a_sweep_uses_the_limit_that_an_administrator_created(
    user: WorkspaceShell, restricted: RestrictedServer, admin: SyncPrefectClient, emulator: Emulator
) -> None:
    name = session_limit_name(user.workspace, "rigetti.sim.qvm")
    admin.upsert_global_concurrency_limit_by_name(name, 1)
    result = sweep(user, restricted, max_sessions=2)
    check_table(result.rows)
    assert check_sessions(user.workspace, emulator, result.rows) == 1
    assert ("PATCH", f"{LIMITS}/{name}".replace(" ", "%20")) in restricted.refused
    limit = admin.read_global_concurrency_limit_by_name(name)
    assert (limit.limit, limit.active_slots) == (1, 0)


def test_a_limit_that_cannot_be_read_is_found_by_its_slots(
    prefect_server: PrefectServer, admin: SyncPrefectClient, tmp_path: Path
) -> None:
    name = f"sessions of {tmp_path.name}"

    @flow(name="slots", persist_result=False)
    def body(client: SyncPrefectClient) -> None:
        set_limit(client, name, 3, "max_sessions")

    text = prefect_server.environment["PREFECT_API_AUTH_STRING"]
    with (
        restricted_server(prefect_server.api_url) as server,
        SyncPrefectClient(server.api_url, auth_string=text) as user,
    ):
        server.hides_limits = True
        with pytest.raises(InputError, match="prefect gcl create"):
            body(user)
        admin.upsert_global_concurrency_limit_by_name(name, 1)
        body(user)
    assert admin.read_global_concurrency_limit_by_name(name).active_slots == 0


def test_doctor_accepts_the_server(user: WorkspaceShell) -> None:
    for variables, state in ({}, "warning"), ({"PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false"}, "ok"):
        result = run_in_process({**user.shell.environ, **variables}, "doctor", "--json")
        (found,) = (each for each in json.loads(result.out)["findings"] if each["check"] == "prefect")
        assert (found["state"], result.code) == (state, 0)
        assert state == "ok" or "VERSION_CHECK_ENABLED=false" in found["remedy"]
