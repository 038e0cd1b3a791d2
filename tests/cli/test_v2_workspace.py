"""A v2 workspace: runs have the digits of a v1 workspace, also after kill -9, and its lists have its own statuses."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator

pytestmark = pytest.mark.slow  # processes that are killed

QSHARP = """
operation Ansatz(qubits : Qubit[], angles : Double[]) : Unit {
    X(qubits[0]);
    Ry(angles[0], qubits[1]);
    CNOT(qubits[1], qubits[0]);
    Ry(angles[1], qubits[0]);
}
"""


def digits(result: dict[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("status", "value", "standard_error", "parameters", "shots", "jobs")}


@pytest.mark.parametrize("given", [("vqe", "h2"), ("qaoa", "petersen"), ("vqe", "h2", "--ansatz", "PROGRAM")])
def test_a_killed_run_on_a_v2_workspace_has_the_digits_of_v1(
    shell: Shell, start_emulator: Callable[..., Emulator], tmp_path: Path, given: tuple[str, ...]
) -> None:
    (tmp_path / "own.qs").write_text(QSHARP)
    program = f"{tmp_path}/own.qs,operation=Ansatz,num_qubits=2,num_angles=2"
    words = [word.replace("PROGRAM", program) for word in given]
    key = f"of-{secrets.token_hex(4)}"
    command = ("run", *words, "--seed", "7", "--search", "measured", "--max-rounds", "3")
    wanted = shell.at(start_emulator(), f"v1-{key}").shell.json(*command, "--run-key", f"v1-{key}", "--quiet")
    service = start_emulator("--workspace-kind", "v2")
    at = shell.at(service, f"v2-{key}")
    dying = at.shell.with_variables(HYBRIDLOOP_CRASH_AT="put.after:2")
    assert dying.run(*command, "--run-key", f"v2-{key}", "--quiet").returncode == -signal.SIGKILL
    result = at.shell.json("runs", "resume", f"v2-{key}", "--quiet")
    assert result["resumed"]
    assert digits(result) == digits(wanted)
    assert at.session_statuses() == ["Succeeded"] * len(result["sessions"])
    assert {job.details.status for job in at.workspace.list_jobs()} == {"Completed"}
    assert len(at.workspace.list_jobs(status=["Completed"])) == result["jobs"]["total"]
    assert at.workspace.list_jobs(status=["Queued"]) == []
    books = service.admin("ledger")
    assert books["duplicates"]["count"] == 0
