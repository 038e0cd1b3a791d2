"""Guide docs/deploy.md: a Prefect server that is started as it shows is closed to pages of other sites."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hybridloop.setup_checks.services import check_prefect
from tests.deployments.checkout_helpers import GUIDE
from tests.deployments.server_script import reserved_port, server_of
from tests.prefect_server import copy_server, own_environ

(SCRIPT,) = re.findall(
    r"^ +export PREFECT_SERVER_API_AUTH_STRING.*\n(?:.*\n){1,3} +prefect server start$", GUIDE, re.MULTILINE
)
SECRET = "prefect:of-this-test"


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
