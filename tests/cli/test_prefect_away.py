"""The Prefect server dies during a run: the result is not lost."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybridloop import local_stack as stack
from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator, running_emulator
from tests.long_form import long_form, long_only
from tests.prefect_server import own_environ
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.slow, long_form, long_only]  # its own stack, and the time until Prefect gives up


@pytest.fixture
def own_shell(tmp_path: Path) -> Iterator[Shell]:
    """Return a shell with its own stack, so that the server can be killed."""
    environ = own_environ(str(tmp_path), os.environ)
    try:
        yield Shell(environ)
    finally:
        stack.down(environ)


@pytest.fixture
def slow_service() -> Iterator[Emulator]:
    """Delay every poll of a round's jobs by a second, so that a run of three rounds lasts after the first."""
    with running_emulator() as running:
        running.admin("faults", {"rules": [{"fault": "slow-answer", "operation": "list", "seconds": 1}]})
        yield running


def test_a_run_whose_prefect_server_is_killed_ends_with_its_result_and_its_session_closed(
    own_shell: Shell, slow_service: Emulator
) -> None:
    mine = own_shell.at(slow_service, "prefect-away")
    assert mine.shell.run("up").returncode == 0
    (server,) = [part for part in mine.shell.json("status")["parts"] if part["part"] == "prefect"]
    options = ("--seed", "7", "--json")
    with mine.shell.start("run", "vqe", "h2", *options) as run:
        try:
            assert run.stderr is not None
            assert run.stderr.readline().startswith("round   1")
            os.kill(server["pid"], signal.SIGKILL)
            out, err = run.communicate(timeout=PATIENCE_S)
        except BaseException:  # an interrupted test must not leave the process behind
            run.kill()
            raise
    assert run.returncode == 0, err
    result = json.loads(out)
    assert result["status"] == "converged"
    assert "Prefect could not store the end of the run, which is finished" in err
    assert "Traceback" not in err
    assert mine.session_statuses() == ["Succeeded"]
    (listed,) = mine.shell.json("runs", "list")
    assert (listed["status"], listed["value"]) == ("converged", result["value"])
