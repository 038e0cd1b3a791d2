"""VQE of H2 with an ansatz in Q# and in Cirq: killed, and resumed from the journal without the user's program."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hybridloop.inputs.circuits import circuit_text
from hybridloop.local_stack import PrefectServer
from tests.cli.shell_helpers import Shell, WorkspaceShell, run_in_process
from tests.conftest import Emulator
from tests.waiting import PATIENCE_S

EXACT_H2 = -1.1373060357534004
EXACTLY = ("value", "standard_error", "interval95", "parameters", "rounds", "shots", "history")
QSHARP = """
operation Ansatz(qs : Qubit[], angles : Double[]) : Unit {
    X(qs[0]);
    Rz(-2.0 * angles[1], qs[1]);
    Ry(angles[0], qs[1]);
    CNOT(qs[1], qs[0]);
}
"""
DECIDES = QSHARP.replace("X(qs[0]);", "if angles[0] < 20.0 { X(qs[0]); } if angles[0] > 3.0 { Z(qs[1]); }")
CIRQ = """
import sys
import cirq, sympy

first, second = cirq.LineQubit.range(2)
a, b = sympy.symbols("a b")
circuit = cirq.Circuit(cirq.X(first), cirq.rz(-2 * b)(second), cirq.ry(a)(second), cirq.CNOT(second, first))
"""
RUN_CIRQ = (
    CIRQ
    + """
import hybridloop as hl
hl.vqe("h2", ansatz=circuit, initial_point=[-0.2, 0.1], seed=7, run_key=sys.argv[1])
"""
)
RUN = ("run", "vqe", "h2", "--seed", "7", "--quiet", "--initial-point", "-0.2,0.1", "--ansatz")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shell(stack_environ: dict[str, str], prefect_server: PrefectServer) -> Shell:
    return Shell(stack_environ)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    (folder / "h2.qs").write_text(QSHARP)
    (folder / "decides.qs").write_text(DECIDES)
    return folder


def ansatz(folder: Path, name: str, num_angles: int = 2) -> str:
    return f"{folder / name}.qs,operation=Ansatz,num_qubits=2,num_angles={num_angles}"


@pytest.fixture(scope="module")
def killed(shell: Shell, emulator: Emulator, folder: Path) -> dict[str, WorkspaceShell]:
    """Kill a run of each language during the submission of its second round, side by side."""
    at = {name: shell.at(emulator, f"killed-{name}") for name in ("qsharp", "cirq")}
    dying = {name: mine.shell.with_variables(HYBRIDLOOP_CRASH_AT="put.after:3") for name, mine in at.items()}
    with ExitStack() as running:
        processes = [
            running.enter_context(dying["qsharp"].start(*RUN, ansatz(folder, "h2"), "--run-key", "killed-qsharp")),
            running.enter_context(dying["cirq"].start_python("-c", RUN_CIRQ, "killed-cirq")),
        ]
        for process in processes:
            running.callback(process.kill)
        said = [process.communicate(timeout=PATIENCE_S)[1] for process in processes]
        assert [process.returncode for process in processes] == [-signal.SIGKILL] * 2, said
    return at


@pytest.fixture(scope="module")
def reference(shell: Shell, emulator: Emulator, folder: Path) -> dict[str, Any]:
    """Return the undisturbed run: both programs are this circuit."""
    program: dict[str, Any] = {}
    exec(CIRQ, program)
    (folder / "h2.qasm").write_text(str(circuit_text(program["circuit"])))
    done: dict[str, Any] = shell.at(emulator, "undisturbed").shell.json_inside(*RUN, str(folder / "h2.qasm"))
    return done


@pytest.mark.parametrize("name", ["qsharp", "cirq"])
def test_a_killed_run_resumes_to_the_same_digits_without_the_program(
    name: str, killed: dict[str, WorkspaceShell], reference: dict[str, Any]
) -> None:
    resumed = killed[name].shell.json_inside("runs", "resume", f"killed-{name}", "--quiet")
    assert resumed["resumed"] is True
    assert {key: resumed[key] for key in EXACTLY} == {key: reference[key] for key in EXACTLY}
    assert abs(resumed["value"] - EXACT_H2) < 1.6e-3
    assert killed[name].session_statuses() == ["Succeeded"]


def test_an_operation_that_decides_on_an_angle_runs_with_one_warning_and_is_stored_as_its_source(
    shell: Shell, emulator: Emulator, folder: Path
) -> None:
    at = shell.at(emulator, "decides")
    limits = ("--precision", "0.2", "--max-rounds", "1", "--shots", "100")
    done = run_in_process(at.shell.environ, *RUN, ansatz(folder, "decides"), *limits, "--run-key", "decides", "--json")
    assert done.code == 0, done.err
    warned = [line for line in done.err.splitlines() if "compiled for each point" in line]
    assert len(warned) == 1
    assert warned[0].startswith("hybridloop: Ansatz is compiled for each point")
    result: dict[str, Any] = json.loads(done.out)
    assert any(choice.startswith("optimizer: trust-region") for choice in result["choices"])
    shown = at.shell.json_inside("runs", "show", "decides")
    assert shown["settings"]["ansatz"].endswith(DECIDES)
    again = at.shell.json_inside("runs", "resume", "decides", "--quiet")  # from the journal, without the file
    assert {key: again[key] for key in EXACTLY} == {key: result[key] for key in EXACTLY}
