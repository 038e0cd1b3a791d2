"""`hybridloop env`, `status` and `portal`: other programs and browsers use the local Prefect server and service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from azure.quantum.job.session import Session

from hybridloop.azure.workspace import connection_string_of, local_workspace
from hybridloop.local_stack import PrefectServer, RunningEmulator, ensure_emulator
from tests.cli.shell_helpers import Shell, environment, run_in_process
from tests.paths import DOCS
from tests.prefect_server import own_environ
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator_of_stack(shell: Shell) -> RunningEmulator:
    """Return the service that runs without an account use."""
    return ensure_emulator(shell.environ)


def test_prefects_own_command_works_with_the_printed_variables(shell: Shell, prefect_server: PrefectServer) -> None:
    script = 'eval "$(hybridloop env)" && prefect work-pool ls'
    environ = {**shell.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", script], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    script = 'eval "$(hybridloop env)" && PREFECT_API_AUTH_STRING=a:b prefect work-pool ls'
    done = subprocess.run(["sh", "-c", script], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_the_link_with_the_password_is_for_a_terminal_alone(shell: Shell, prefect_server: PrefectServer) -> None:
    """A pipe may lead to a log, or to the mail of cron."""
    assert prefect_server.sign_in_url is not None
    for arguments in (("status",), ("up",), ("status", "--json")):
        piped = shell.run(*arguments)
        assert piped.returncode == 0
        assert "/sign-in#" not in piped.stdout + piped.stderr
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "hybridloop", "status"]
    done = subprocess.run(command, env=dict(shell.environ), stdout=subprocess.DEVNULL, stderr=theirs, check=False)
    os.close(theirs)
    assert done.returncode == 0
    assert prefect_server.sign_in_url in os.read(ours, 1 << 16).decode()
    os.close(ours)


def test_a_link_opens_the_portal_of_the_service_that_runs_use(shell: Shell, emulator_of_stack: RunningEmulator) -> None:
    link = run_in_process(shell.environ, "portal", "--link").out.strip()
    assert link.startswith(f"{emulator_of_stack.url}/_portal/")
    with urllib.request.urlopen(link, timeout=PATIENCE_S) as page:
        assert page.headers["set-cookie"]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(link, timeout=PATIENCE_S)


def test_status_names_both_commands_and_its_connection_string_is_that_of_runs(
    shell: Shell, emulator_of_stack: RunningEmulator
) -> None:
    shown = run_in_process(shell.environ, "status").err
    assert "hybridloop portal" in shown
    assert "hybridloop status --connection-string" in shown
    assert emulator_of_stack.api_key not in shown
    text = run_in_process(shell.environ, "status", "--connection-string").out.strip()
    with environment(shell.environ):
        assert text == connection_string_of(local_workspace())


def test_the_shown_client_connects_to_the_workspace_of_runs(
    shell: Shell, emulator_of_stack: RunningEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    code = re.findall(r"```python\n(.*?)```", (DOCS / "emulator.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with environment({**shell.environ, "PATH": path}):
        session = Session(local_workspace(), name="of a run", provider_id="rigetti", target="rigetti.sim.qvm").open()
        exec(code, {})
        session.close()
    assert session.id in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("portal",), ("status", "--connection-string")])
def test_the_workspace_of_the_user_is_not_the_local_service(arguments: tuple[str, ...], shell: Shell) -> None:
    refused = run_in_process({**shell.environ, "AZURE_QUANTUM_CONNECTION_STRING": "mine"}, *arguments)
    assert refused.code == 2
    assert "AZURE_QUANTUM_CONNECTION_STRING: it names the workspace that your runs use" in refused.err


def test_a_service_that_does_not_run_is_not_started_for_its_connection_string(tmp_path: Path) -> None:
    refused = run_in_process(own_environ(tmp_path), "status", "--connection-string")
    assert (refused.code, refused.out) == (1, "")
    assert "the local service does not run. No run was affected. Start it: hybridloop up." in refused.err


def test_with_a_server_of_the_user_only_the_local_service_is_set(shell: Shell) -> None:
    own = shell.with_variables(PREFECT_API_URL="https://prefect.example/api")
    theirs = own.run("env")
    assert (theirs.returncode, theirs.stdout) == (0, "export HYBRIDLOOP_LOCAL_SERVICE=1\n")
    assert "your own Prefect server is used: https://prefect.example/api" in theirs.stderr
    nothing = own.with_variables(AZURE_QUANTUM_CONNECTION_STRING="mine").run("env")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "nothing to set: AZURE_QUANTUM_CONNECTION_STRING names the workspace of workers, too" in nothing.stderr
