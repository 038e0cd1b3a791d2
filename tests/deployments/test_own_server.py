"""Guide docs/deploy.md: a Prefect server that is started as it shows is closed to pages of other sites."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from hybridloop.setup_checks.check_result import CheckResult
from hybridloop.setup_checks.services import check_prefect
from tests.deployments.checkout_helpers import GUIDE
from tests.prefect_server import copy_server, own_environ
from tests.waiting import eventually

(SCRIPT,) = re.findall(
    r"^ +export PREFECT_SERVER_API_AUTH_STRING.*\n(?:.*\n){1,3} +prefect server start$", GUIDE, re.MULTILINE
)
SECRET = "prefect:of-this-test"


@contextmanager
def own_server(folder: Path, script: str) -> Iterator[str]:
    """Run a script that starts a server, on a free port in place of 4200; yield the address of its API."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    environ = own_environ(str(folder), os.environ)
    environ |= {"PREFECT_HOME": str(folder), "PREFECT_SERVER_API_PORT": port}
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    process = subprocess.Popen(
        ["bash", "-ec", script.replace("4200", port)],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield f"http://127.0.0.1:{port}/api"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def checked(environ: Mapping[str, str]) -> CheckResult:
    """Return the check's result, once the server answers."""
    eventually(lambda: "does not answer" not in check_prefect(environ).found)
    return check_prefect(environ)


@pytest.mark.slow
def test_a_server_that_is_started_as_the_guide_shows_is_closed_and_one_without_its_settings_is_open(
    migrated_server: Path, tmp_path: Path
) -> None:
    closed = re.sub(r"prefect:\$\(.*\)", SECRET, SCRIPT)
    assert SECRET in closed
    folders = [tmp_path / "closed", tmp_path / "open"]
    for folder in folders:
        copy_server(migrated_server, folder)
    with own_server(folders[0], closed) as url, own_server(folders[1], "prefect server start") as open_url:
        environ = own_environ(str(tmp_path), os.environ)
        kept = checked({**environ, "PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": SECRET})
        assert (kept.state.value, kept.found.partition(",")[0]) == ("ok", url)
        refused = checked({**environ, "PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": "prefect:another"})
        assert "denies access" in refused.found
        stolen = checked({**environ, "PREFECT_API_URL": open_url})
        assert (stolen.state.value, "is open" in stolen.found) == ("warning", True)
