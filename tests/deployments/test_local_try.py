"""Guide docs/deploy.md: trying it on the local service works as written, without an account."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from hybridloop import local_stack
from hybridloop.azure.workspace import LOCAL_SERVICE_VARIABLE
from hybridloop.errors import InputError
from hybridloop.flows.lifecycle.workspace import find_workspace
from hybridloop.runtime.workspace_variables import CONNECTION_VARIABLE
from tests.cli.shell_helpers import Shell
from tests.deployments.checkout_helpers import LOCAL_TRY, PATH, run_of, shell_with_a_worker, typed
from tests.long_form import long_only
from tests.paths import ROOT
from tests.prefect_server import own_environ


def check(shell: Shell, told: str, log: str) -> None:
    """Check the shown output, the journal's run and the flow run's log."""
    assert "Completed" in told
    run = run_of(told, shell)
    assert (run["problem"], run["status"]) == ("h2", "converged")
    assert f"{CONNECTION_VARIABLE} is not set: workers run on the local service" in log
    assert "a local service, which bills nothing" in log


@pytest.mark.slow
@pytest.mark.usefixtures("names_of_the_guide")
def test_the_first_run_of_a_deployment_succeeds_without_an_account(
    stack_environ: Mapping[str, str], tmp_path: Path
) -> None:
    environ = {**stack_environ, "PATH": PATH, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    first, second = LOCAL_TRY
    log = tmp_path / "worker.log"
    with shell_with_a_worker(environ, first, ROOT, log):
        done = typed(environ, second)
    assert done.returncode == 0, done.stdout + done.stderr
    check(Shell(environ), done.stdout, log.read_text())


@long_only
def test_the_guide_works_from_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    subprocess.run(["make", ".venv/ready", f"PYTHON={sys.executable}"], cwd=clone, check=True)
    environ = own_environ(tmp_path / "home")
    environ["PATH"] = f"{clone}/.venv/bin{os.pathsep}{os.environ['PATH']}"
    first, second = LOCAL_TRY
    log = tmp_path / "worker.log"
    try:
        with shell_with_a_worker(environ, first, clone, log):
            done = typed(environ, second, clone)
        assert done.returncode == 0, done.stdout + done.stderr
        check(Shell(environ), done.stdout, log.read_text())
    finally:
        local_stack.down(environ)


def test_a_flow_run_without_a_workspace_is_not_sent_to_the_local_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONNECTION_VARIABLE, raising=False)
    monkeypatch.delenv(LOCAL_SERVICE_VARIABLE, raising=False)
    with pytest.raises(InputError, match="the flow run has none"):
        find_workspace(None)
