"""Session that a program holds without a `with` block: it is closed, at the latest when the program ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import hybridloop as hl
from hybridloop.azure.workspace import connection_string_of
from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator
from tests.prefect_server import own_environ

ENTERED = """
import hybridloop as hl
block = hl.open_session("ionq.simulator", run_key="left-open")
print(block.__enter__().id)
"""


def test_a_session_is_asked_for_by_a_with_block(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    with pytest.raises(AttributeError, match=r"no 'sampler'.*with hybridloop\.open_session\(…\) as session: session\."):
        hl.open_session("ionq.simulator", workspace=workspace).sampler()
    assert list(workspace.list_sessions()) == []


def test_a_session_whose_block_is_lost_is_closed(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    workspace = emulator.workspace()
    block = hl.open_session("ionq.simulator", workspace=workspace)
    session = block.__enter__()
    with hl.open_session("ionq.simulator", workspace=workspace):
        pass
    assert caplog.messages == []  # the block has closed its own
    del block
    assert f"session {session.id} was left open and is closed now" in caplog.messages[0]
    assert [found.details.status for found in workspace.list_sessions()] == ["Succeeded"] * 2


@pytest.mark.slow
def test_a_session_that_a_script_leaves_open_is_closed_at_its_end(emulator: Emulator, tmp_path: Path) -> None:
    workspace = emulator.workspace()
    environ = own_environ(str(tmp_path), os.environ)
    environ["AZURE_QUANTUM_CONNECTION_STRING"] = connection_string_of(workspace)
    done = Shell(environ).run_python("-c", ENTERED)
    assert done.returncode == 0, done.stderr
    (session,) = workspace.list_sessions()
    assert (session.id, session.details.status) == (done.stdout.strip(), "Succeeded")
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"session {session.id} was left open and is closed now; to close it where its work ends")
    assert lines[-1] == "run left-open is interrupted; to resume it: start the script again with run_key='left-open'"
    assert len(lines) == 3
