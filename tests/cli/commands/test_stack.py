"""`hybridloop env` and the link of `hybridloop status`: other programs and browsers use the local Prefect server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hybridloop.local_stack import PrefectServer
from tests.cli.shell_helpers import Shell

pytestmark = pytest.mark.slow


def test_prefects_own_command_works_with_the_printed_variables(shell: Shell, prefect_server: PrefectServer) -> None:
    script = 'eval "$(hybridloop env)" && prefect work-pool ls'
    environ = {**shell.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", script], env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    script = 'eval "$(hybridloop env)" && PREFECT_API_AUTH_STRING=a:b prefect work-pool ls'
    done = subprocess.run(["sh", "-c", script], env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    shown = shell.run("status")
    assert prefect_server.sign_in_url is not None
    assert prefect_server.sign_in_url in shown.stderr
    assert "/sign-in#" not in shell.run("status", "--json").stdout


def test_with_a_server_of_the_user_nothing_is_set(shell: Shell) -> None:
    theirs = shell.with_variables(PREFECT_API_URL="https://prefect.example/api").run("env")
    assert (theirs.returncode, theirs.stdout) == (0, "")
    assert "your own Prefect server is used: https://prefect.example/api" in theirs.stderr
