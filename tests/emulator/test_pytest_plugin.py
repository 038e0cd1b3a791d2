"""The pytest plug-in in another project: found without configuration, light, with a clock that stands still."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.paths import DOCS
from tests.waiting import PATIENCE_S

PAGE = DOCS / "emulator.md"
HEAVY = (
    "azure",
    "numpy",
    "prefect",
    "qiskit",
    "starlette",
    "sqlalchemy",
    "urllib.request",
    "hybridloop.emulator.server",
)
PROJECT = '''
import sys

import pytest
from azure.quantum.job.job import Job

QIR = b"""define void @main() #0 {
  call void @__quantum__qis__x__body(ptr null)
  call void @__quantum__qis__mz__body(ptr null, ptr null)
  call void @__quantum__rt__result_record_output(ptr null, ptr null)
  ret void
}
attributes #0 = { "entry_point" "qir_profiles"="base_profile" "required_num_qubits"="1" }
"""


def test_a_job_gives_its_result(azure_quantum_emulator):
    job = Job.from_input_data(
        workspace=azure_quantum_emulator.workspace(), name="one", target="rigetti.sim.qvm", input_data=QIR,
        provider_id="rigetti", input_data_format="qir.v1", output_data_format="microsoft.quantum-results.v2",
        input_params={"shots": 7},
    )
    assert job.get_results(timeout_secs=30) == {"1": 1.0}


def test_a_service_of_its_own(start_azure_quantum_emulator, azure_quantum_emulator, tmp_path):
    own = start_azure_quantum_emulator("--clock", "virtual", state=tmp_path)
    assert own.endpoint != azure_quantum_emulator.endpoint
    before = azure_quantum_emulator.admin("clock")["seconds"]
    own.advance(60)
    assert azure_quantum_emulator.admin("clock")["seconds"] == before
    assert own.stop() == 0
    assert (tmp_path / "service.sqlite").exists()
    with pytest.raises(RuntimeError, match="did not start"):
        start_azure_quantum_emulator("--port", "-1")
'''


def run_pytest(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in another project, without this project's settings."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "HYBRIDLOOP_"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=project, env=others, capture_output=True, text=True, timeout=PATIENCE_S)


@pytest.mark.slow
def test_another_project_gets_an_emulator_by_the_name_of_a_fixture(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```python\n([^`]*azure_quantum_emulator.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "test_theirs.py").write_text(PROJECT)
    (tmp_path / "test_as_shown.py").write_text(shown)
    done = run_pytest(tmp_path, "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


@pytest.mark.claim("test tool for other Azure Quantum clients")
def test_the_plugin_is_registered_and_can_be_disabled(tmp_path: Path) -> None:
    (plugin,) = entry_points(group="pytest11", name="hybridloop_emulator")
    assert plugin.value == "hybridloop.emulator.pytest_plugin"
    (tmp_path / "test_theirs.py").write_text("def test_that_needs_it(azure_quantum_emulator): ...\n")
    without = run_pytest(tmp_path, "-q", "-p", "no:hybridloop_emulator")
    assert "fixture 'azure_quantum_emulator' not found" in without.stdout


def test_an_unused_plugin_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        f"import sys\ndef test_nothing():\n    assert 'hybridloop.emulator.pytest_plugin' in sys.modules\n"
        f"    assert set({HEAVY!r}).isdisjoint(sys.modules)\n"
    )
    done = run_pytest(tmp_path, "-q", "-p", "no:anyio", "-p", "no:hypothesispytest")
    assert done.returncode == 0, done.stdout
