"""Session that a program holds without a `with` block: it is closed, at the latest when the program ends."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from qiskit import QuantumCircuit

import hybridloop as hl
from hybridloop.azure.workspace import connection_string_of
from hybridloop.errors import InputError
from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator
from tests.prefect_server import own_environ

pytestmark = pytest.mark.usefixtures("own_journal")

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


def test_a_session_is_held_over_cells_from_open_to_close(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    workspace = emulator.workspace()
    session = hl.open_session("ionq.simulator", workspace=workspace, seed=1).open()
    gc.collect()  # the session holds its block
    assert session.status == "Waiting"
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    assert session.run(circuit, shots=10).counts == {"1": 10}
    session.close()
    session.close()
    assert caplog.messages == []
    assert [found.details.status for found in workspace.list_sessions()] == ["Succeeded"]
    with hl.open_session("ionq.simulator", workspace=workspace) as early:
        early.close()
    assert [found.details.status for found in workspace.list_sessions()] == ["Succeeded"] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"job_failure_policy": "abort"}, r"It is called failure here, such as hybridloop\.FailurePolicy"),
        ({"max_costs": "3USD"}, "max_costs: open_session has no such option.*Did you mean 'max_cost'"),
        ({"max_cost": "30"}, "max_cost must be amounts"),
        ({"backend": "x"}, "backend: open_session has no such option.*called target"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"session_slots": "a"}, "It is for algorithms and for session_flow"),
    ],
)
def test_an_invalid_option_is_refused_at_the_call(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        hl.open_session("ionq.simulator", **options)


@pytest.mark.slow
def test_a_session_that_a_script_leaves_open_is_closed_at_its_end(emulator: Emulator, tmp_path: Path) -> None:
    workspace = emulator.workspace()
    environ = own_environ(tmp_path)
    environ["AZURE_QUANTUM_CONNECTION_STRING"] = connection_string_of(workspace)
    done = Shell(environ).run_python("-c", ENTERED)
    assert done.returncode == 0, done.stderr
    (session,) = workspace.list_sessions()
    assert (session.id, session.details.status) == (done.stdout.strip(), "Succeeded")
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"session {session.id} was left open and is closed now; to close it where its work ends")
    assert lines[-1] == "run left-open is interrupted; to resume it: start the script again with run_key='left-open'"
    assert len(lines) == 3
