"""Service and network errors: exit code 1, or 2 for a wrong key, a message, and no session."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from hybridloop.journal import open_journal
from hybridloop.journal.held_run import NOT_MADE
from hybridloop.local_stack import PrefectServer
from tests.cli.shell_helpers import CommandResult, Shell, WorkspaceShell, connection_string
from tests.conftest import SUBSCRIPTION, Emulator

WORKSPACES = "providers/Microsoft.Quantum/Workspaces"


@pytest.fixture
def nowhere() -> Iterator[str]:
    """Return a local endpoint without a listener: the port is reserved, and stays closed."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


@pytest.mark.parametrize("command", [("targets",), ("sessions", "list")], ids=" ".join)
def test_an_unreachable_workspace_is_named(
    command: tuple[str, ...], nowhere: str, run_command: Callable[..., CommandResult]
) -> None:
    result = run_command(*command, AZURE_QUANTUM_CONNECTION_STRING=connection_string(nowhere, "key", "mine"))
    assert (result.code, result.out) == (1, "")
    assert nowhere.split("/")[2] in result.err
    assert "Nothing was changed." in result.err or "submitted no job and costs nothing." in result.err
    assert "Traceback" not in result.err


@pytest.mark.slow
def test_a_run_at_an_unreachable_workspace_says_that_nothing_was_spent(
    nowhere: str, shell: Shell, prefect_server: PrefectServer
) -> None:
    text = connection_string(nowhere, "key", "mine")
    run = shell.with_variables(AZURE_QUANTUM_CONNECTION_STRING=text).run("run", "vqe", "h2")
    assert (run.returncode, run.stdout) == (1, "")
    assert f"listing the targets at {nowhere.split('/')[2]} failed" in run.stderr
    assert "This request submitted no job and costs nothing." in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.slow
def test_an_unreachable_prefect_server_is_named_and_no_session_is_opened(
    nowhere: str, at_workspace: WorkspaceShell
) -> None:
    away = at_workspace.shell.with_variables(PREFECT_API_URL=f"{nowhere}api")
    run = away.run("run", "vqe", "h2", "--require-prefect")
    assert (run.returncode, run.stdout) == (1, "")
    assert f"Prefect's server at {nowhere}api" in run.stderr
    assert "has not answered for 30 s. No run was affected." in run.stderr
    assert "Traceback" not in run.stderr
    assert at_workspace.session_statuses() == []


@pytest.mark.slow
@pytest.mark.claim("it is away at the start")
def test_a_run_begins_without_a_server_that_is_away_and_keeps_its_end_for_it(
    nowhere: str, at_workspace: WorkspaceShell
) -> None:
    away = at_workspace.shell.with_variables(PREFECT_API_URL=f"{nowhere}api")
    run = away.run("run", "vqe", "h2", "--seed", "7", "--precision", "0.05", "--run-key", "begun-alone")
    assert run.returncode in (0, 4), run.stderr
    assert "has not answered for 30 s: the run continues without it, and its page gets the end later" in run.stderr
    assert "Traceback" not in run.stderr
    with open_journal(away.environ) as journal:
        uid = journal.run("begun-alone").uid
        assert [(end.run_uid, end.starts) for end in journal.untold_ends()] == [(uid, NOT_MADE)]


@pytest.mark.slow
def test_a_prefect_server_that_wants_another_password_names_the_variable(
    at_workspace: WorkspaceShell, prefect_server: PrefectServer
) -> None:
    wrong = {"PREFECT_API_URL": prefect_server.api_url, "PREFECT_API_AUTH_STRING": "prefect:wrong"}
    run = at_workspace.shell.with_variables(**wrong).run("run", "vqe", "h2")
    assert (run.returncode, run.stdout) == (1, "")
    assert "set PREFECT_API_AUTH_STRING to that of the server" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_wrong_key_has_exit_code_2(emulator: Emulator, run_command: Callable[..., CommandResult]) -> None:
    text = connection_string(emulator.endpoint, "wrong-key", "mine")
    result = run_command("sessions", "list", AZURE_QUANTUM_CONNECTION_STRING=text)
    assert (result.code, result.out) == (2, "")
    assert "workspace: " in result.err
    assert "does not accept the key" in result.err
    assert "wrong-key" not in result.err
    assert "Traceback" not in result.err


@pytest.mark.slow
def test_a_run_with_a_wrong_key_opens_no_session(
    emulator: Emulator, inside: Callable[..., CommandResult], shell: Shell, prefect_server: PrefectServer
) -> None:
    text = connection_string(emulator.endpoint, "wrong-key", "wrong-key-of-a-run")
    result = inside({**shell.environ, "AZURE_QUANTUM_CONNECTION_STRING": text}, "run", "vqe", "h2", "--quiet")
    assert (result.code, result.out) == (2, "")
    assert "does not accept the key" in result.err
    assert list(emulator.workspace("wrong-key-of-a-run").list_sessions()) == []


@pytest.mark.claim("Without either, all commands use the local service")
@pytest.mark.parametrize(
    ("options", "variables"),
    [
        ((), {"AZURE_QUANTUM_WORKSPACE_NAME": "mine"}),
        (("--resource-id", f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/{WORKSPACES}/mine"), {}),
        (("--workspace", f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/{WORKSPACES}/mine"), {}),
    ],
    ids=["variables", "resource id", "resource id as the workspace"],
)
def test_who_names_a_workspace_in_azure_without_signing_in_does_not_land_on_the_local_service(
    options: tuple[str, ...], variables: dict[str, str], run_command: Callable[..., CommandResult]
) -> None:
    unsigned = {"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential"}  # the others use the network
    for command in (("targets",), ("run", "vqe", "h2", "--quiet")):
        result = run_command(*command, *options, **variables, **unsigned)
        assert (result.code, result.out) == (2, "")
        assert "signing in with an Azure identity failed" in result.err
        assert "az login" in result.err
        assert "(EnvironmentCredential: " in result.err  # the reason, and not the SDK's report of up to 20 lines
        assert len(result.err.splitlines()) <= 2
        assert "Traceback" not in result.err
    if variables:
        shown = run_command("config", **variables)
        assert "AZURE_QUANTUM_WORKSPACE_NAME" in shown.out
        assert "AZURE_QUANTUM_WORKSPACE_NAME" in run_command("portal", "--link", **variables).err
