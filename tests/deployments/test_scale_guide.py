"""Guide docs/scale.md: its commands set up PostgreSQL, a Prefect server and a worker on which a deployed flow runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hybridloop.runtime.workspace_variables import CONNECTION_VARIABLE
from hybridloop.setup_checks.services import check_prefect
from tests.cli.shell_helpers import Shell, connection_string
from tests.conftest import Emulator
from tests.deployments.checkout_helpers import DEPLOYS, LOCAL_TRY, PATH, run_of, shell_with_a_worker, typed
from tests.deployments.server_script import reserved_port, server_of
from tests.journal.postgresql_helpers import PASSWORD, running_server
from tests.long_form import long_only
from tests.paths import ROOT
from tests.prefect_server import own_environ

GUIDE = (ROOT / "docs" / "scale.md").read_text("utf-8")
SHOWN = re.findall(r"^\$ (.+)$", GUIDE, re.MULTILINE)
NOT_HERE = ("pip install", "docker compose")  # the package is installed; containers need an engine
SECRET = "prefect:of-this-test"


@long_only
@pytest.mark.slow
def test_a_deployed_flow_runs_with_journal_and_server_on_postgresql(emulator: Emulator, tmp_path: Path) -> None:
    with reserved_port() as port, running_server() as database:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        environ = own_environ(tmp_path / "home") | {
            **{"PGHOST": str(database.folder), "PGUSER": "postgres", "PGPASSWORD": PASSWORD},
            **{"PATH": f"{PATH}{os.pathsep}{programs}", "PREFECT_HOME": str(tmp_path / "prefect")},
        }

        def as_here(line: str) -> str:
            line = re.sub(r"://user:password@host/(\w+)", rf"://postgres:{PASSWORD}@/\1?host={database.folder}", line)
            return line.replace("SERVER:4200", f"127.0.0.1:{port}").replace("prefect:…", SECRET)

        before = SHOWN[: SHOWN.index("prefect server start --host 0.0.0.0") + 1]
        script = [as_here(line) for line in before if not line.startswith(NOT_HERE)]
        assert len(script) >= 8
        # what the guide says to set on every machine
        (journal,) = [line.partition("=")[2] for line in script if "HYBRIDLOOP_JOURNAL" in line]
        own = environ | {
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_API_AUTH_STRING": SECRET,
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "HYBRIDLOOP_JOURNAL": journal,
            CONNECTION_VARIABLE: connection_string(emulator.endpoint, emulator.api_key, "of-the-guide"),
        }
        with server_of("\n".join(script), port, own, environ, tmp_path / "server.log"):
            assert check_prefect(own).state.value == "ok"
            deploys = [line for line in SHOWN if line.startswith(DEPLOYS)]
            assert len(deploys) == len(DEPLOYS)
            for line in deploys:
                done = typed(own, [line])
                assert done.returncode == 0, done.stdout + done.stderr
            with shell_with_a_worker(own, [LOCAL_TRY[0][-1]], ROOT, tmp_path / "worker.log"):
                done = typed(own, LOCAL_TRY[1][1:])
            assert done.returncode == 0, done.stdout + done.stderr
            run = run_of(done.stdout, Shell(own))
            assert (run["problem"], run["status"]) == ("h2", "converged")
