"""A sweep as a caller gives it, made into what the flow takes: files and folders become problems as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hybridloop.errors import InputError
from hybridloop.flows.sweep_execution.spec import PROBLEM, SweepSpec
from hybridloop.settings import SETTINGS, ProblemText
from hybridloop.settings.inputs import circuit_text, read_problem
from hybridloop.settings.renamed import accept_former_names
from hybridloop.settings.sources import user_defaults
from hybridloop.settings.validation import validate
from hybridloop.settings.yaml import read_yaml

MAX_BYTES = 1024 * 1024
_PATTERN = frozenset("*?[")


def read_sweep(spec: str | Path | Mapping[str, Any] | SweepSpec, **changes: Any) -> SweepSpec:
    """The sweep of a YAML file, or of values by name, with some of them changed. Raises InputError.

    Problems are built-in names, files, folders, or patterns such as `molecules/*.fcidump`; relative paths of a YAML
    file start at its folder.
    """
    if isinstance(spec, SweepSpec):
        return validate(SweepSpec, {**spec.model_dump(), **changes})
    folder, values = Path(), spec
    if not isinstance(values, Mapping):
        path = Path(values)
        folder, values = path.parent, {"name": path.stem, **read_yaml(path, "sweep", max_bytes=MAX_BYTES)}
    return validate(SweepSpec, {**_with_defaults(_with_texts(values, folder)), **changes})


def _with_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """The values, their settings on top of what the user's own variables and file say for the algorithm."""
    algorithm, settings = values.get("algorithm"), values.get("settings") or {}
    if not (isinstance(algorithm, str) and algorithm in SETTINGS and isinstance(settings, Mapping)):
        return values
    settings, own = accept_former_names(settings), user_defaults(algorithm)
    inner = settings["failure"] if isinstance(settings.get("failure"), Mapping) else {}
    given = {**settings, **{f"failure.{name}": value for name, value in inner.items()}}
    if inner:
        del given["failure"]
    return {**values, "settings": {**own, **given}}


def _with_texts(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The values, what names a file replaced by its text. What is no such value is left to the model to refuse."""
    found = dict(values)
    if isinstance(given := found.get("problems"), list | tuple | str | Path | ProblemText):
        listed = [given] if isinstance(given, str | Path | ProblemText) else given
        found["problems"] = [problem for each in listed for problem in _problems(each, folder)]
    if isinstance(points := found.get("points"), list | tuple):
        found["points"] = [_point(each, folder) if isinstance(each, Mapping) else each for each in points]
    for name in ("settings", "grid"):
        if isinstance(settings := found.get(name), Mapping) and "ansatz" in settings:
            ansatz = settings["ansatz"]
            text = [_circuit(each, folder) for each in ansatz] if isinstance(ansatz, list) else _circuit(ansatz, folder)
            found[name] = {**settings, "ansatz": text}
    return found


def _point(point: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    found = dict(point)
    if isinstance(problem := found.get(PROBLEM), str | Path):
        (*_, found[PROBLEM]) = _one(problem, folder)
    if "ansatz" in found:
        found["ansatz"] = _circuit(found["ansatz"], folder)
    return found


def _problems(given: Any, folder: Path) -> Iterator[Any]:
    """The problems that one entry stands for, in the order of their names."""
    if not isinstance(given, str | Path):
        yield given
        return
    path = folder / given
    if path.is_dir():
        found: Iterable[Path] = path.iterdir()
    elif _PATTERN & set(str(given)):
        found = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    else:
        yield from _one(given, folder)
        return
    files = sorted(each for each in found if each.is_file() and not each.name.startswith("."))
    if not files:
        raise InputError("problems", f"{given} stands for no file", "Check the folder, or the pattern.")
    for each in files:
        yield read_problem(each)


def _one(given: str | Path, folder: Path) -> Iterator[ProblemText]:
    path = folder / given
    yield read_problem(path if path.is_file() or isinstance(given, Path) else given)


def _circuit(given: object, folder: Path) -> object:
    is_file = isinstance(given, str) and len(given) < 256 and "\n" not in given and (folder / given).is_file()
    return circuit_text(folder / given if is_file else given)  # type: ignore[operator]
