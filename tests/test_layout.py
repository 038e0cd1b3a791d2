"""Layout of the checkout: links at the root, pinned and installed versions."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.paths import ROOT

CONSTRAINTS = (ROOT / "constraints.txt").read_text().splitlines()


@pytest.mark.parametrize("room", ["algorithms", "flows", "tasks"])
def test_the_link_at_the_root_leads_to_the_room(room: str) -> None:
    assert (ROOT / room).resolve() == ROOT / "hybridloop" / room


@pytest.mark.claim("the `hybridloop` command is on your path")
def test_the_command_stands_beside_the_interpreter() -> None:
    assert shutil.which("hybridloop", path=str(Path(sys.executable).parent))


def test_constraints_are_plain_pins_as_pip_requires() -> None:
    assert [line for line in CONSTRAINTS if not re.fullmatch(r"[a-z0-9._-]+==[0-9][0-9a-z.+]*", line)] == []


def test_every_requirement_is_pinned_and_met_by_the_installed_version() -> None:
    pins = dict(line.split("==") for line in CONSTRAINTS)
    for requirement in map(Requirement, requires("hybridloop") or []):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": "dev"}):
            continue  # an extra that is not needed for development
        pinned = pins[requirement.name.lower()]
        assert requirement.specifier.contains(pinned), requirement
        assert requirement.specifier.contains(version(requirement.name)), requirement


OPTIONAL = {
    "IPython": "a notebook has it",
    "cirq": "a circuit given brings it",
    "openfermion": "an operator given brings it",
    "pyscf": "an extra",
    "pytest": "the plug-in runs inside of it",
}


def test_all_imported_packages_are_declared() -> None:
    declared = {_normalized(Requirement(line).name) for line in requires("hybridloop") or []}
    owners = packages_distributions()
    undeclared = set()
    for module in _imported():
        first, second, *_ = (*module.split("."), "")
        distributions = [f"azure-{second}"] if first == "azure" else owners.get(first, [])
        if not declared & {_normalized(name) for name in distributions}:
            undeclared.add(first)
    assert undeclared - OPTIONAL.keys() == set()


def _normalized(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _imported() -> set[str]:
    """Return the names of all foreign modules that the product imports, inside functions too."""
    names: set[str] = set()
    for path in (ROOT / "hybridloop").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    return {name for name in names if name.split(".")[0] not in sys.stdlib_module_names | {"hybridloop"}}


def test_what_has_a_long_form_is_marked_so_that_it_runs() -> None:
    paths = [path for path in (ROOT / "tests").rglob("test_*.py") if path.parent.name != "chaos"]  # that runs whole
    assert [f"{path.name}, {test}" for path in paths for test in _unmarked(ast.parse(path.read_text()))] == []


def _unmarked(module: ast.Module) -> list[str]:
    """Return the tests that have a long form and no marker of it."""
    assigned = [node for node in module.body if isinstance(node, ast.Assign)]
    if any("long_form" in _names(node.value) for node in assigned):
        return []
    sizes = {"short_or_long", "IS_LONG"}
    sizes |= {name for node in assigned if _names(node.value) & sizes for name in map(ast.unparse, node.targets)}
    tests = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return [test.name for test in tests if _names(test) & sizes and "long_form" not in _names(test)]


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
