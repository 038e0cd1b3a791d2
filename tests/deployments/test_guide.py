"""Guide docs/deploy.md: its commands run, and it names every deployment."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

import pytest
from prefect.client.schemas.responses import DeploymentResponse

from hybridloop.azure.workspace import identity_of
from hybridloop.blocks import load_workspace
from hybridloop.local_stack import PrefectServer
from hybridloop.runtime.workspace_variables import CONNECTION_VARIABLE
from tests.cli.shell_helpers import connection_string
from tests.conftest import Emulator
from tests.deployments.checkout_helpers import DEPLOYS, FILE, GUIDE, WRITTEN, full_name, prefect_inside, shown
from tests.deployments.worker_helpers import POOL
from tests.paths import ROOT
from tests.prefect_server import prefect_client

SERVERS = ("prefect server start",)  # these run until they are stopped; the tests start their own
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
REFUSED = re.compile(r"^\$ (?P<command>prefect .*)\n(?P<says>Error creating flow run: .*)$", re.MULTILINE)
IN_TABLE = re.compile(r"`([a-z]+/[a-z0-9-]+)`")
RUN_ID = re.compile(r"UUID: ([0-9a-f-]{36})")


@pytest.mark.slow
def test_the_commands_that_the_guide_shows_succeed_one_after_the_other(
    deployed: Mapping[str, DeploymentResponse],
    prefect_server: PrefectServer,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    watched = " --watch"  # needs a worker; `test_local_try` has one
    commands = [each for each in shown() if not each.startswith((*SERVERS, *DEPLOYS)) and watched not in each]
    assert len(commands) == 7
    run_ids = [""]
    for command in commands:
        done = prefect_inside(*shlex.split(command.replace("FLOW_RUN_ID", run_ids[-1]))[1:])
        assert done.exit_code == 0, (command, done.output)
        if command.startswith("prefect deployment run"):
            run_ids += RUN_ID.findall(done.output)

    (refused,) = REFUSED.finditer(GUIDE)
    done = prefect_inside(*shlex.split(refused["command"])[1:])
    assert (done.exit_code, refused["says"] in done.output) == (1, True), done.output

    text = connection_string(emulator.endpoint, emulator.api_key, "of-the-guide")
    monkeypatch.setenv(CONNECTION_VARIABLE, text)
    (snippet,) = SNIPPET.findall(GUIDE)
    exec(snippet, {})
    assert identity_of(load_workspace("prod")) == identity_of(emulator.workspace("of-the-guide"))

    again = prefect_inside("deploy", "--prefect-file", FILE, "--all", typed="")  # in a terminal, without a prompt
    assert again.exit_code == 0, again.output
    with prefect_client(prefect_server) as client:  # a schedule created by hand is removed
        for each in WRITTEN:
            there = client.read_deployment_by_name(full_name(each))
            assert len(there.schedules) == len(each.get("schedules", []))
        assert client.read_work_pool(POOL).concurrency_limit == 4


def test_the_guide_names_every_deployment() -> None:
    assert set(IN_TABLE.findall(GUIDE)) >= {full_name(each) for each in WRITTEN}
