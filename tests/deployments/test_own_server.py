"""A Prefect server of one's own, started as docs/deploy.md shows: it is closed, and the guides' commands use it."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hybridloop import local_stack
from hybridloop.setup_checks.services import check_prefect
from tests.cli.shell_helpers import Shell
from tests.deployments.checkout_helpers import GUIDE, LOCAL_TRY, PATH, run_of, shell_with_a_worker, typed
from tests.deployments.messages import heard
from tests.deployments.server_script import reserved_port, server_of
from tests.paths import DATA, ROOT
from tests.prefect_server import copy_server, own_environ
from tests.waiting import PATIENCE_S

(SCRIPT,) = re.findall(
    r"^ +export PREFECT_SERVER_API_AUTH_STRING.*\n(?:.*\n){1,3} +prefect server start$", GUIDE, re.MULTILINE
)
(CLIENT,) = re.findall(r"^ +(export PREFECT_API_URL=.*)$", GUIDE, re.MULTILINE)
NIGHTS = (ROOT / "docs" / "for-nightly-batches.md").read_text(encoding="utf-8")
DEPLOY, WORKER, TEST_NOTIFY = re.findall(r"^(hybridloop .*)$", NIGHTS, re.MULTILINE)
(ONCE,) = re.findall(r"^Once, on the same worker: `(.*)`\.$", NIGHTS, re.MULTILINE)
SECRET = "prefect:of-this-test"


@pytest.fixture(scope="module")
def own_server(migrated_server: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start a server as the guide shows; return the environment of a shell on its machine, with no workspace.

    `GUIDE_CLIENT` is the line that the guide has for every shell.
    """
    tmp_path = tmp_path_factory.mktemp("own")
    own = own_environ(tmp_path / "home") | {"PATH": PATH, "PREFECT_HOME": str(tmp_path / "server")}
    copy_server(migrated_server, tmp_path / "server")
    client = own | {"PREFECT_API_AUTH_STRING": SECRET}
    with reserved_port() as port:
        script = re.sub(r"prefect:\$\(.*\)", SECRET, SCRIPT).replace("4200", str(port))
        with server_of(script, port, client, own, tmp_path / "server.log") as url:
            assert url == CLIENT.partition("=")[2].partition(" ")[0].replace("4200", str(port))
            shell = own | {"PREFECT_SERVER_API_AUTH_STRING": SECRET, "PREFECT_WORKER_QUERY_SECONDS": "1"}
            try:
                yield shell | {"GUIDE_CLIENT": CLIENT.replace("4200", str(port))}
            finally:
                local_stack.down(shell)


@pytest.mark.slow
def test_the_commands_for_nightly_batches_work_as_written(own_server: dict[str, str], tmp_path: Path) -> None:
    shutil.copy(DATA / "H2_0.735.fcidump", tmp_path / "molecule.fcidump")
    client = own_server["GUIDE_CLIENT"]
    with heard() as (url, told):
        first = [client, DEPLOY.replace("https://…", url), WORKER]
        with shell_with_a_worker(own_server, first, tmp_path, tmp_path / "worker.log"):
            done = typed(own_server, [client, TEST_NOTIFY, ONCE], tmp_path)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "converged" in done.stdout
            assert told.get(timeout=PATIENCE_S)  # of the test; the run's own is for a person
    assert "workers run on the local service" in (tmp_path / "worker.log").read_text()


@pytest.mark.slow
def test_the_deployments_of_the_guide_work_as_written(own_server: dict[str, str], tmp_path: Path) -> None:
    client = own_server["GUIDE_CLIENT"]
    first, second = LOCAL_TRY
    with shell_with_a_worker(own_server, [client, *first], ROOT, tmp_path / "worker.log"):
        done = typed(own_server, [client, *second])
    assert done.returncode == 0, done.stdout + done.stderr
    assert run_of(done.stdout, Shell(own_server))["status"] == "converged"


@pytest.mark.slow
def test_a_server_that_is_started_as_the_guide_shows_is_closed_and_one_without_its_settings_is_open(
    migrated_server: Path, tmp_path: Path
) -> None:
    closed = re.sub(r"prefect:\$\(.*\)", SECRET, SCRIPT)
    assert SECRET in closed
    own = own_environ(tmp_path)
    own["PATH"] = f"{Path(sys.executable).parent}:{own['PATH']}"

    with reserved_port() as port, reserved_port() as open_port:

        def started(name: str, script: str, port: int, client: Mapping[str, str]) -> AbstractContextManager[str]:
            copy_server(migrated_server, tmp_path / name)
            environ = own | {"PREFECT_HOME": str(tmp_path / name)}
            return server_of(script.replace("4200", str(port)), port, client, environ, tmp_path / f"{name}.log")

        known, another = (own | {"PREFECT_API_AUTH_STRING": secret} for secret in (SECRET, "prefect:another"))
        with started("closed", closed, port, known) as url:
            kept = check_prefect(known | {"PREFECT_API_URL": url})
            assert (kept.state.value, kept.found.partition(",")[0]) == ("ok", url)
            refused = check_prefect(another | {"PREFECT_API_URL": url})
            assert "denies access" in refused.found
        with started("open", "prefect server start", open_port, own) as url:
            stolen = check_prefect(own | {"PREFECT_API_URL": url})
            assert (stolen.state.value, "is open" in stolen.found) == ("warning", True)
