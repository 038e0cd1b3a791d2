"""Every use of what Prefect keeps to itself stands in the list of `hybridloop.flows.in_prefect`, with its reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from hybridloop.flows import in_prefect
from tests.paths import ROOT

INNER_MODULES = ("prefect.flow_engine", "prefect.task_engine", "prefect.utilities.engine")
INNER_NAMES = {"SettingsContext"}
ROW = re.compile(r"^- `([a-z_/]+\.py)`: ([^.]+)\. .+?Request: .+?\.$", re.MULTILINE | re.DOTALL)


def inner_uses(path: Path) -> set[str]:
    """Return the names in a module that Prefect does not document: private ones, its engine, states set by force."""
    tree = ast.parse(path.read_text("utf-8"))
    imports = [each for each in ast.walk(tree) if isinstance(each, ast.ImportFrom) and each.module is not None]
    ours = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    if not any(str(each.module).split(".")[0] == "prefect" for each in imports):
        return set()
    found = set[str]()
    for each in imports:
        if str(each.module).split(".")[0] == "prefect":
            is_inner = each.module in INNER_MODULES or any(part.startswith("_") for part in str(each.module).split("."))
            found |= {alias.name for alias in each.names if is_inner or alias.name.startswith("_")}
            found |= {alias.name for alias in each.names} & INNER_NAMES
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            is_dunder = node.attr.startswith("__") and node.attr != "__var__"
            of_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            is_own = of_self and (node.attr in ours or node.attr in _assigned(tree))
            if not is_dunder and not is_own:
                found.add(node.attr)
        if isinstance(node, ast.keyword) and node.arg == "force" and getattr(node.value, "value", None) is True:
            found.add("force=True")
    return found - {"__init__"}


def _assigned(tree: ast.Module) -> set[str]:
    """Return the attributes that a module's own classes set or declare."""
    names = set[str]()
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "self":
                    names.add(part.attr)
    return names


def test_what_prefect_keeps_to_itself_is_used_where_the_table_says_so() -> None:
    table = {path: set(re.findall("`([^`]+)`", names)) for path, names in ROW.findall(str(in_prefect.__doc__))}
    rooms = [ROOT / "hybridloop" / room for room in ("flows", "tasks", "local_stack")]
    modules = [path for room in rooms for path in sorted(room.rglob("*.py"))] + [ROOT / "hybridloop" / "blocks.py"]
    found = {str(path.relative_to(ROOT / "hybridloop")): inner_uses(path) for path in modules}
    assert {path: names for path, names in found.items() if names} == table
