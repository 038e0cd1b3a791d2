"""Modules that a run or a command loads: the rooms that it does not use stay out, and lines only fall."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.loaded import CASES, Loaded, loaded_by
from tests.paths import ROOT

MOST = {"a measured VQE": 37_450, "a QAOA": 39_400, "runs list": 7_500, "--help": 10_300}  # lines
OF_OTHERS = (
    *("assistant", "compiler.languages", "estimate", "reports.plots", "setup_checks", "flows.sweep_execution"),
    *("algorithms.adapt", "algorithms.grown", "algorithms.sqd", "algorithms.levels", "algorithms.scan"),
    *("tasks.circuit_jobs", "tasks.primitives.backend", "tasks.primitives.estimator", "tasks.primitives.sampler"),
    *("algorithms.mitigation.folding", "algorithms.mitigation.readout", "algorithms.mitigation.zne"),
    *("inputs.circuits", "inputs.operators", "inputs.problem_objects.molecules", "inputs.formats.clauses"),
    *("inputs.formats.graphs", "inputs.formats.programs", "inputs.formats.binary_json", "algorithms.optimizers.scipy"),
)
UNUSED = {
    "a measured VQE": (
        *OF_OTHERS,
        "algorithms.qaoa",
        "algorithms.binary",
        "inputs.formats.binary",
        "descriptions.qaoa",
    ),
    "a QAOA": (*OF_OTHERS, "algorithms.vqe", "inputs.formats.electron_operators", "preparation.vqe"),
    "runs list": (*OF_OTHERS, "algorithms.vqe", "algorithms.qaoa", "descriptions", "inputs", "settings", "tasks"),
    "--help": (*OF_OTHERS, "algorithms.vqe", "algorithms.qaoa", "compiler.programs", "journal", "tasks"),
}


@pytest.fixture(scope="module")
def loads(stack_environ: Mapping[str, str]) -> dict[str, Loaded]:
    """Return the modules of each case, beside one local stack."""
    return {case: loaded_by(case, stack_environ) for case in CASES}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_case_loads_no_room_that_it_does_not_use_and_no_more_lines(case: str, loads: dict[str, Loaded]) -> None:
    loaded = loads[case]
    unused = [f"hybridloop.{room}" for room in UNUSED[case]]
    assert [name for name in loaded.lines for room in unused if f"{name}.".startswith(f"{room}.")] == []
    assert 0.9 * MOST[case] < loaded.total <= MOST[case]


def leaves(path: Path) -> dict[str, str]:
    """Return the module of each leaf of a file, by its name there."""
    found = dict[str, str]()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id="leaf"), args=[ast.Constant(value=str(module))]),
            ):
                found[name] = module
    return found


def for_type_checkers(path: Path) -> dict[str, str]:
    """Return what a file imports of ours for type checkers alone, by its name there."""
    blocks = [
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in imports for alias in node.names}


def test_a_leaf_is_used_and_is_the_module_that_type_checkers_see() -> None:
    files = [path for path in (ROOT / "hybridloop").rglob("*.py") if leaves(path)]
    assert len(files) > 20
    for path in files:
        seen = for_type_checkers(path)
        assert {name: seen.get(name) for name in leaves(path)} == leaves(path), path
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        used = {node.value.id for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}
        assert used >= leaves(path).keys(), path
