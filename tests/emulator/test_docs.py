"""What the documentation says can be done is done here; and what is light stays light."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from qiskit import QuantumCircuit

from tests.conftest import Emulator

PAGE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")


def test_the_pages_code_connects_and_runs_a_job(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]  # the next is a test of somebody else's project
    code = code.replace("the key it printed", emulator.api_key).replace("http://127.0.0.1:8099/", emulator.endpoint)
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    exec(code, {"circuit": circuit})
    assert "{'1': 100}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["hybridloop.emulator", "hybridloop emulator start"])
def test_the_page_names_every_option_of_both_commands_and_no_other(command: str) -> None:
    wide = {**os.environ, "COLUMNS": "200"}  # no option is cut for want of room
    arguments = [sys.executable, "-m", *command.split(), "--help"]
    shown = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=30, env=wide).stdout
    options = set(re.findall(r"--[a-z][a-z-]+", shown)) - {"--help"}
    table = "\n".join(line for line in PAGE.splitlines() if line.startswith("| `--"))
    assert set(re.findall(r"`(--[a-z][a-z-]+)", table)) == options


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("hybridloop.emulator.settings", {"starlette", "uvicorn", "sqlite3", "numpy", "qiskit"}),
        ("hybridloop.emulator.server", {"numpy", "qiskit", "qiskit_aer", "pyqir", "sqlalchemy", "prefect", "azure"}),
    ],
)
def test_importing_it_does_not_load_what_is_heavy(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert heavy.isdisjoint(loaded.stdout.split())
