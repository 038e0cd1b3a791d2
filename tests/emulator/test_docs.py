"""Documentation of the service: its code runs and its options exist. Import cost of the light modules."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import Emulator
from tests.paths import DOCS, ROOT
from tests.waiting import PATIENCE_S

PAGE = (DOCS / "emulator.md").read_text(encoding="utf-8")


def distributions_of(named: str) -> set[str]:
    """Return the names of the installed distributions that a requirement brings, with those of its extras."""
    found, waiting = set[tuple[str, str]](), [Requirement(named)]
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            key = canonicalize_name(requirement.name), extra
            if key in found:
                continue
            found.add(key)
            for text in requires(requirement.name) or []:
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append(needed)
    return {name for name, _ in found}


BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
from qiskit import QuantumCircuit
circuit = QuantumCircuit(1, 1)
circuit.x(0)
circuit.measure(0, 0)
"""


def test_the_code_in_the_docs_needs_no_more_than_the_extra_that_they_name(emulator: Emulator) -> None:
    (extra,) = re.findall(r"pip install '(hybridloop\[\w+\])'", PAGE)
    allowed = distributions_of(extra)
    others = {
        name
        for name, owners in packages_distributions().items()
        if not allowed & {canonicalize_name(owner) for owner in owners}
    }
    assert {"pytest", "cirq", "pennylane", "dimod"} <= others
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    code = code.replace("the key it printed", emulator.api_key).replace("http://127.0.0.1:8099/", emulator.endpoint)
    command = [sys.executable, "-c", f"BLOCKED = {sorted(others)}{BLOCKER}{code}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert "{'1': 100}" in done.stdout, done.stderr


def test_the_docs_list_exactly_the_packages_that_the_service_imports() -> None:
    imported = set[str]()
    for path in (ROOT / "hybridloop" / "emulator").rglob("*.py"):
        if path.stem != "pytest_plugin":  # runs inside of pytest, with the SDK
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    imported.add(node.module.partition(".")[0])
    foreign = imported - sys.stdlib_module_names - {"hybridloop", "annotated_types"}  # which pydantic requires
    (listed,) = re.findall(r"^    pip install (?!--)(.*)$", PAGE, re.MULTILINE)
    owners = packages_distributions()
    assert {owners[name][0].lower() for name in foreign} == set(listed.split())


@pytest.mark.parametrize("command", ["hybridloop.emulator", "hybridloop emulator start"])
def test_the_docs_list_exactly_the_options_of_both_commands(command: str) -> None:
    wide = {**os.environ, "COLUMNS": "200"}  # so that no option is truncated
    arguments = [sys.executable, "-m", *command.split(), "--help"]
    help_text = subprocess.run(arguments, capture_output=True, text=True, check=True, env=wide).stdout
    options = set(re.findall(r"--[a-z][a-z-]+", help_text)) - {"--help"}
    commands = (DOCS / "reference" / "commands.md").read_text("utf-8")
    section = commands.partition("## hybridloop emulator start\n")[2].partition("\n## ")[0]
    table = "\n".join(line for line in section.splitlines() if line.startswith("| `--"))
    assert set(re.findall(r"`(--[a-z][a-z-]+)", table)) == options


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("hybridloop.emulator.settings", {"starlette", "uvicorn", "sqlite3", "numpy", "qiskit"}),
        ("hybridloop.emulator.server", {"numpy", "qiskit", "qiskit_aer", "pyqir", "sqlalchemy", "prefect", "azure"}),
    ],
)
def test_importing_a_module_does_not_load_heavy_packages(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")
    }  # it loads sqlite3
    loaded = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert heavy.isdisjoint(loaded.stdout.split())
