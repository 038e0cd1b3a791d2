"""Read a sweep specification from a file or values; files and folders become problems as text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError, InvalidValue
from hybridloop.flows.sweep_execution.spec import MAX_POINTS, PROBLEM, SweepSpec
from hybridloop.inputs.circuits import circuit_text
from hybridloop.inputs.formats.geometry import is_geometry
from hybridloop.inputs.problem_objects.geometry_options import OF_GEOMETRY, GeometryOptions
from hybridloop.inputs.problems import (
    depends_on_space,
    format_of,
    is_file,
    read_problem_at,
    read_problems,
    with_given,
)
from hybridloop.inputs.sources import user_defaults
from hybridloop.inputs.validation import validate
from hybridloop.inputs.yaml import read_yaml
from hybridloop.settings import PART_OF_MOLECULE
from hybridloop.settings.optimizer_plugins import GIVE_IT_HERE, NOT_STORED, is_object

MAX_BYTES = 512 * 1024  # PyYAML takes seconds for more
_PATTERN = frozenset("*?[")
_OF_POINT = frozenset({*OF_GEOMETRY, *PART_OF_MOLECULE})
_LONGEST_PATTERN = 1000  # characters; longer text is a problem's


def read_sweep(spec: str | Path | Mapping[str, Any] | SweepSpec, **changes: Any) -> SweepSpec:
    """Return the sweep of a YAML file or of values, with fields replaced by `changes`. Raises InputError.

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
    """Return the values with the user's defaults for the algorithm (variables, settings file) below their settings."""
    algorithm, settings = values.get("algorithm"), values.get("settings") or {}
    if not (isinstance(algorithm, str) and algorithm in ALGORITHMS and isinstance(settings, Mapping)):
        return values
    own = user_defaults(algorithm)
    inner = settings["failure"] if isinstance(settings.get("failure"), Mapping) else {}
    given = {**settings, **{f"failure.{name}": value for name, value in inner.items()}}
    if inner:
        del given["failure"]
    return {**values, "settings": {**own, **given}}


def _with_texts(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the values with files replaced by their texts; invalid values are left for the model to refuse.

    A geometry gets the basis set, multiplicity, active space and so on of its point: if the grid varies one of these,
    each of a geometry's points is listed, with its own integrals.
    """
    texts = dict(values)
    shared = dict(texts["settings"]) if isinstance(texts.get("settings"), Mapping) else {}
    of_all, form = _geometry_of(texts, shared, {}), format_of(shared.get("format"))
    grid = texts.get("grid")
    varies_geometry = isinstance(grid, Mapping) and not _OF_POINT.isdisjoint(grid)
    listed_points: list[Any] = []
    if (given := texts.get("problems")) is not None:
        listed = given if isinstance(given, list | tuple) else [given]
        files = [(f"problems.{i}", file) for i, entry in enumerate(listed) for file in _files(entry, folder)]
        if varies_geometry:
            assert isinstance(grid, Mapping)
            combinations = [dict(zip(grid, each, strict=True)) for each in product(*map(_listed, grid.values()))]
            geometries = [file for _, file in files if depends_on_space(file)]
            files = [(place, file) for place, file in files if not depends_on_space(file)]
            listed_points = [{PROBLEM: file, **each} for file in geometries for each in combinations]
        texts["problems"] = read_problems([file for _, file in files], of_all, [place for place, _ in files], form)
    if isinstance(points := texts.get("points", ()), list | tuple):
        texts["points"] = [
            _point(f"points.{i}", point, folder, texts, shared) if isinstance(point, Mapping) else point
            for i, point in enumerate([*listed_points, *points])
        ]
    no_settings = {"format"} if of_all is None else {"format", *OF_GEOMETRY}
    if not no_settings.isdisjoint(shared):
        texts["settings"] = {name: value for name, value in shared.items() if name not in no_settings}
    if varies_geometry and listed_points and not texts["problems"]:
        del texts["grid"]
    for settings in (texts.get("settings"), texts.get("grid"), *_listed(texts.get("points"))):
        if isinstance(settings, Mapping) and any(map(is_object, _listed(settings.get("optimizer")))):
            raise InvalidValue("optimizer", NOT_STORED, GIVE_IT_HERE)
    for name in ("settings", "grid"):
        if isinstance(settings := texts.get(name), Mapping) and "ansatz" in settings:
            given = settings["ansatz"]
            ansatz = (
                [_circuit(entry, folder) for entry in given] if isinstance(given, list) else _circuit(given, folder)
            )
            texts[name] = {**settings, "ansatz": ansatz}
    return texts


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _point(
    name: str, point: Mapping[str, Any], folder: Path, sweep: Mapping[str, Any], shared: Mapping[str, Any]
) -> dict[str, Any]:
    texts = dict(point)
    options, form = _geometry_of(sweep, shared, texts), format_of(texts.pop("format", shared.get("format")))
    if (problem := texts.get(PROBLEM)) is not None:
        texts[PROBLEM] = read_problem_at(f"{name}.{PROBLEM}", _in_folder(problem, folder), options, form)
    for option in OF_GEOMETRY if options is not None else ():
        texts.pop(option, None)
    if "ansatz" in texts:
        texts["ansatz"] = _circuit(texts["ansatz"], folder)
    return texts


def _geometry_of(
    sweep: Mapping[str, Any], shared: Mapping[str, Any], point: Mapping[str, Any]
) -> GeometryOptions | None:
    """Return the options of a point's geometry, out of the sweep's settings and its own; None for binary problems."""
    algorithm = sweep.get("algorithm")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or not ALGORITHMS[algorithm].is_on_molecules:
        return None
    given = {**shared, **point}
    return with_given({name: given[name] for name in _OF_POINT if given.get(name) is not None})


def _files(entry: Any, folder: Path) -> list[Any]:
    """Return the files of one entry, those of a folder or pattern in the order of their names; an object as it is."""
    if not isinstance(entry, str | Path) or is_geometry(str(entry)):
        return [_in_folder(entry, folder)]
    path, is_pattern = folder / entry, bool(_PATTERN & set(str(entry)) and len(str(entry)) < _LONGEST_PATTERN)
    if is_pattern and "**" in str(entry):
        raise InputError("problems", f"{entry} is a pattern of whole trees", "Give folders, or patterns with *.")
    is_folder = os.path.isdir(path)  # Path.is_dir raises OSError for a long name
    if not is_folder and not is_pattern:
        return [_in_folder(entry, folder)]
    try:
        paths = path.iterdir() if is_folder else Path(path.anchor).glob(str(path.relative_to(path.anchor)))
        files = sorted(file for file in paths if file.is_file() and not file.name.startswith("."))
    except (OSError, ValueError) as error:  # a folder that can't be read, or an invalid pattern
        raise InputError("problems", f"{entry} can't be read ({error})", "Check the folder or the pattern.") from error
    if not 1 <= len(files) <= MAX_POINTS:
        found = "matches no file" if not files else f"has {len(files):,} files, and at most {MAX_POINTS:,} are taken"
        raise InputError("problems", f"{entry} {found}", "Check the folder or the pattern.")
    return files


def _in_folder(given: Any, folder: Path) -> Any:
    """Return a file of the folder as its path; a name, a geometry or an object as it is."""
    if isinstance(given, Mapping) and isinstance(geometry := given.get("geometry"), str):
        return {**given, "geometry": _in_folder(geometry, folder)}
    if not isinstance(given, str | Path) or is_geometry(str(given)):
        return given
    path = folder / given
    return path if is_file(path) or isinstance(given, Path) else given


def _circuit(given: object, folder: Path) -> object:
    if not isinstance(given, str) or len(given) >= _LONGEST_PATTERN or "\n" in given:
        return circuit_text(given)
    name, dot, options = given.partition(".qs,")  # a Q# file with its operation
    if dot and is_file(folder / f"{name}.qs"):
        return circuit_text(f"{folder / name}.qs,{options}")
    return circuit_text(folder / given if is_file(folder / given) else given)
