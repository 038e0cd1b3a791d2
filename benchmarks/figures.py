"""Figures of the source: lines, words, files that name an algorithm, folders, circles of imports, the way of a setting.

`make figures` prints them. `tests/test_figures.py` holds bounds on all that need no run.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout, suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

from benchmarks.loaded import CASES, loaded_by
from benchmarks.startup import own_environment
from hybridloop.runtime.signals import exit_on_sigterm

ROOT = Path(__file__).parents[1]
SHOTS = 1237  # a value that no default has
_ALGORITHM = re.compile(r"[\"'](?:adapt|levels|sqd|scan|rqaoa)[\"']")
_MADE = re.compile(r"<!-- table of .*?<!-- end of the table -->", re.DOTALL)  # tables that code makes
_CARRIERS = ("shots", "settings", "wanted", "request", "prepared", "options")  # attributes that lead to the setting


@cache
def source_figures(root: Path) -> dict[str, int]:
    """Return the figures that are read from the files, by name."""
    package = root / "hybridloop"
    files = [path for path in package.rglob("*.py") if path.parent.name != "versions"]  # without database migrations
    emulator = [path for path in files if package / "emulator" in path.parents]
    orchestrator = [path for path in files if path not in set(emulator)]
    guides = [*(root / "docs").glob("*.md"), *root.glob("*.md")]
    folders = Counter(path.parent for path in files if path.name != "__init__.py")
    modules = {_module(path, root): path for path in files}
    trees = [ast.parse(path.read_text()) for path in orchestrator]
    raised = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return {
        "lines of the orchestrator": _lines(orchestrator),
        "lines of the emulator": _lines(emulator),
        "lines of the tests": _lines((root / "tests").rglob("*.py")),
        "words of the guides": sum(len(_MADE.sub("", path.read_text()).split()) for path in guides),
        "files that name an algorithm": sum(bool(_ALGORITHM.search(path.read_text())) for path in orchestrator),
        "files in the fullest folder": max(folders.values()),
        "circles of imports": len(import_circles(modules)),
        "files in circles by names": sum(map(len, import_circles(modules, by_name=True))),
        "imports inside functions": sum(map(_inner_imports, trees)),
        "raise statements": len(raised),
        "lines of raise statements": sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in raised),
        "imports of the fullest module": max(imports_by_module(root).values()),
        "most parameters of a function": max(parameters_by_function(root).values()),
    }


@cache
def imports_by_module(root: Path) -> dict[str, int]:
    """Return the number of our modules that each module imports, in functions and for type checkers too.

    The way to import a module later is none of them.
    """
    modules = {_module(path, root): path for path in (root / "hybridloop").rglob("*.py")}
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        named = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        pairs = [(node.module or "", alias.name) for node in named for alias in node.names]
        found[name] = {inner if (inner := f"{module}.{alias}") in modules else module for module, alias in pairs}
    ours = modules.keys() - {"hybridloop.runtime.leaves"}
    return {name: len(imported & (ours - {name})) for name, imported in found.items()}


@cache
def parameters_by_function(root: Path) -> dict[str, int]:
    """Return the number of parameters of each function, without self and cls, by "module:name"."""
    found = dict[str, int]()
    for path in (root / "hybridloop").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                key = f"{_module(path, root)}:{node.name}"
                found[key] = max(found.get(key, 0), len([each for each in given if each.arg not in ("self", "cls")]))
    return found


def _lines(paths: Iterable[Path]) -> int:
    return sum(len(path.read_text(errors="replace").splitlines()) for path in paths)


def _module(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def _inner_imports(tree: ast.AST) -> int:
    """Return the number of imports of our modules inside functions."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inner = {node for function in functions for node in ast.walk(function) if isinstance(node, ast.ImportFrom)}
    return sum((node.module or "").startswith("hybridloop") for node in inner)


def import_circles(modules: Mapping[str, Path], *, by_name: bool = False) -> list[set[str]]:
    """Return the groups of modules that import each other, also inside functions, but not for type checkers alone.

    With `by_name`, texts count that name a module, as descriptions and leaves do.
    """
    imports = {name: _imports(path, modules, by_name=by_name) - {name} for name, path in modules.items()}
    reached = {name: _reached(name, imports) for name in imports}
    circles = [{other for other in reached[name] if name in reached[other]} for name in imports]
    return [circle for i, circle in enumerate(circles) if circle and circle not in circles[:i]]


def _imports(path: Path, modules: Mapping[str, Path], *, by_name: bool) -> set[str]:
    found, nodes = set[str](), list[ast.AST](ast.parse(path.read_text()).body)
    while nodes:
        match nodes.pop():
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=other):
                nodes += other
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(module), names=names):
                paths = (f"{module}.{alias.name}" for alias in names)
                found |= {path if path in modules else module for path in paths}
            case ast.Constant(value=str(text)) if by_name:
                found.add(text.partition(":")[0])
            case node:
                nodes += ast.iter_child_nodes(node)
    return found & modules.keys()


def _reached(start: str, imports: Mapping[str, set[str]]) -> set[str]:
    reached, ahead = set[str](), [start]
    while ahead:
        new = imports[ahead.pop()] - reached
        reached |= new
        ahead += new
    return reached


def _carries(value: Any, depth: int = 0) -> bool:
    """Return whether a value is the setting, or holds it one or two attributes deep."""
    if type(value) is int or depth > 2:
        return type(value) is int and value == SHOTS
    if isinstance(value, dict):
        return bool(value.get("shots") == SHOTS)
    if isinstance(value, list | tuple):
        return 0 < len(value) < 50 and _carries(value[0], depth + 1)
    slots = getattr(type(value), "__slots__", ())
    held = (vars(value) if hasattr(value, "__dict__") else {}) | {
        name: getattr(value, name, None) for name in _CARRIERS if name in slots
    }
    return any(_carries(held[name], depth + 1) for name in _CARRIERS if held.get(name) is not None)


def trace_shots() -> dict[str, int]:
    """Run a VQE with `--shots`, and count the functions that the value passes, in the order of their first calls.

    A step leads from one module to another; a step back leads to one that was left. It counts what stands in arguments,
    so it is a comparison, no proof.
    """
    package, way = f"{ROOT / 'hybridloop'}{os.sep}", dict[tuple[str, str], None]()

    def see(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        key = (code.co_filename, code.co_name)
        if event == "call" and key[0].startswith(package) and not key[1].startswith("<") and key not in way:
            try:
                if any(map(_carries, list(frame.f_locals.values()))):
                    way[key] = None
            except Exception:  # objects of other libraries may refuse to be looked at
                return

    sys.setprofile(see)
    threading.setprofile(see)
    try:
        from hybridloop.cli import program

        sys.argv = ["hybridloop", "run", "vqe", "h2", "--seed", "7", "--shots", str(SHOTS), "--precision", "0.02"]
        sys.argv += ["--quiet", "--json"]
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), suppress(SystemExit):
            program()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    modules = [path for path, _ in way]
    steps = [(i, after) for i, (before, after) in enumerate(pairwise(modules)) if before != after]
    back = sum(after in modules[: i + 1] for i, after in steps)
    return {"functions that --shots passes": len(way), "steps between their modules": len(steps), "steps back": back}


def main() -> None:
    """Print all figures; the run that is followed has a local stack of its own."""
    with exit_on_sigterm(), TemporaryDirectory() as home:
        own = own_environment(home)
        os.environ.clear()
        os.environ.update(own)
        try:
            loads = {case: loaded_by(case, own) for case in CASES}
            for name, figure in (source_figures(ROOT) | trace_shots()).items():
                print(f"{name:<32}{figure:>8,}")
            for case, loaded in loads.items():
                largest = ", ".join(f"{room} {lines:,}" for room, lines in loaded.rooms.most_common(5))
                print(f"loaded by {case:<22}{loaded.total:>8,}")
                print(f"  {len(loaded.lines)} modules, {loaded.import_s:.2f} s of CPU to import; {largest}")
        finally:
            subprocess.run([sys.executable, "-m", "hybridloop", "down"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
