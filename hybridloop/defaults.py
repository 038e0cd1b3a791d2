"""Where a run's settings come from: the call, files and variables, put together in one order of precedence.

The call goes before a file that it names, that before variables, those before the user's own file, and that before the
defaults. In the user's file a name stands for every algorithm that has such a setting, and a name under an algorithm's
for that one alone, which goes first. A variable's name is the path in such a file: HYBRIDLOOP_SHOTS,
HYBRIDLOOP_FAILURE__RETRIES, HYBRIDLOOP_QAOA__SHOTS.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from hybridloop.errors import InputError
from hybridloop.flows.settings import SETTINGS, RunSettings, put_setting
from hybridloop.home import config_file
from hybridloop.plain_yaml import parse_yaml, read_yaml
from hybridloop.user_input import checked, circuit_text

PREFIX = "HYBRIDLOOP_"
# Variables that are no settings of a run; those of the emulator's command line begin with EMULATOR.
OTHERS = frozenset({"HOME", "JOURNAL", "CRASH_AT", "STACK_PART"})
CALL, DEFAULT = "the call", "default"
_NEAR = 0.85  # a name that is so like a setting's is a misspelt one; others may be somebody else's


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings by name, inner ones in mappings, from one `source`, as an error and a run's record call it."""

    source: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A run's settings, and by the name of each that is no default, such as `failure.retries`, where it comes from."""

    settings: RunSettings
    sources: Mapping[str, str]


def chosen(algorithm: str, *given: Layer, environ: Mapping[str, str] = os.environ) -> Chosen:
    """The settings of a run: what is given, later layers first, on top of the user's variables and file.

    An `ansatz` may be a Qiskit circuit, or the path of a file in OpenQASM 3. Raises InputError with the setting that is
    off, and where it was set if that was not the call.
    """
    model = SETTINGS[algorithm]
    leaves: dict[str, tuple[Any, str]] = {}
    for layer in (*_standing(algorithm, environ), *given):
        for name, value in _leaves(model, layer.values):
            leaves = {each: known for each, known in leaves.items() if not _replaces(name, each)}
            leaves[name] = value, layer.source
    sources = {name: source for name, (_, source) in leaves.items()}
    try:
        return Chosen(checked(model, _nested(leaves)), sources)
    except InputError as error:
        raise _with_source(error, sources) from error


def standing(algorithm: str, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What the user's variables and file say for an algorithm, by full names. Raises InputError for what is off."""
    found = chosen(algorithm, environ=environ)
    values = dict(_leaves(type(found.settings), found.settings.model_dump()))
    return {name: value for name, value in values.items() if name in found.sources}


def unknown_variables(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Variables with our prefix that steer nothing that is known."""
    return [name for name, path in _variables(environ) if path[0] not in _names() and not _is_other(name)]


def _standing(algorithm: str, environ: Mapping[str, str]) -> Iterator[Layer]:
    """The user's file and variables, as far as they are about this algorithm, later ones going first."""
    path = config_file(environ)
    if path.is_file():
        values = read_yaml(path, "user's settings")
        _check_names(values, str(path))
        yield Layer(str(path), {name: value for name, value in values.items() if _is_setting(algorithm, name)})
        yield Layer(str(path), values.get(algorithm) or {})
    of_all, of_one = [], []
    for name, parts in _variables(environ):
        if _is_other(name) or not environ[name]:
            continue
        if parts[0] not in _names():
            _refuse_misspelt(name, parts)
            continue
        value = parse_yaml(environ[name], name)
        if parts[0] == algorithm and len(parts) > 1:
            of_one.append(Layer(name, _as_mapping(parts[1:], value)))
        elif _is_setting(algorithm, parts[0]):
            of_all.append(Layer(name, _as_mapping(parts, value)))
    yield from (*of_all, *of_one)


def _variables(environ: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """All with our prefix, by name, each with its path."""
    found = sorted(name for name in environ if name.startswith(PREFIX))
    return [(name, name.removeprefix(PREFIX).lower().split("__")) for name in found]


def _is_other(name: str) -> bool:
    own = name.removeprefix(PREFIX)
    return own in OTHERS or own.startswith("EMULATOR_")


def _names() -> frozenset[str]:
    """What may stand first in a path: any algorithm's settings, and the algorithms."""
    return frozenset(SETTINGS) | {name for model in SETTINGS.values() for name in model.model_fields}


def _is_setting(algorithm: str, name: str) -> bool:
    return name in SETTINGS[algorithm].model_fields


def _check_names(values: Mapping[str, Any], path: str) -> None:
    for name, value in values.items():
        if name not in _names():
            near = difflib.get_close_matches(str(name), sorted(_names()), n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "`hybridloop config` lists what there is."
            raise InputError(f"{path}, {name}", "there is no setting of that name", hint)
        if name in SETTINGS and not isinstance(value, Mapping | None):
            raise InputError(f"{path}, {name}", f"{value!r} holds no settings by name", "Indent them below it.")


def _refuse_misspelt(name: str, parts: list[str]) -> None:
    """Raise InputError for what is so near a setting's name that it was meant: a cap that is not heard costs money."""
    if near := difflib.get_close_matches(parts[0], sorted(_names()), n=1, cutoff=_NEAR):
        meant = PREFIX + "__".join([near[0], *parts[1:]]).upper()
        raise InputError(name, "there is no setting of that name", f"Did you mean {meant}?")


def _as_mapping(parts: list[str], value: object) -> dict[str, Any]:
    found: dict[str, Any] = {}
    put_setting(found, ".".join(parts), value)
    return found


def _leaves(model: type[BaseModel], values: Mapping[str, Any], of: str = "") -> Iterator[tuple[str, Any]]:
    """Each setting by its full name; those of an inner model one by one, so that layers add to each other's."""
    for name, value in values.items():
        field = model.model_fields.get(name)
        inner = None if field is None else field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and isinstance(value, Mapping):
            yield from _leaves(inner, value, f"{of}{name}.")
        elif isinstance(inner, type) and issubclass(inner, BaseModel) and isinstance(value, inner):
            yield from _leaves(inner, value.model_dump(), f"{of}{name}.")
        else:
            yield f"{of}{name}", circuit_text(value) if name == "ansatz" else value


def _replaces(name: str, other: str) -> bool:
    """Whether setting one leaves nothing of the other: a whole and its parts."""
    return f"{other}.".startswith(f"{name}.") or f"{name}.".startswith(f"{other}.")


def _nested(leaves: Mapping[str, tuple[Any, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (value, _) in leaves.items():
        *outer, last = name.split(".")
        inner = found
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return found


def _with_source(error: InputError, sources: Mapping[str, str]) -> InputError:
    """The same, with where the setting was set if that was not the call."""
    source = next((each for name, each in sources.items() if _replaces(name, error.field)), None)
    elsewhere = sorted({each for each in sources.values() if not _is_the_call(each)})
    if source is None and elsewhere:  # it is about several settings
        return InputError(error.field, error.problem, f"{error.remedy} Set elsewhere: {', '.join(elsewhere)}.")
    if source is None or _is_the_call(source):
        return error
    field = source if source.startswith(PREFIX) else f"{source}, {error.field}"
    return InputError(field, error.problem, error.remedy)


def _is_the_call(source: str) -> bool:
    return source == CALL or source.startswith("--set ")


def overview(algorithms: Iterable[str], environ: Mapping[str, str] = os.environ) -> list[dict[str, Any]]:
    """Each setting's value where a call says nothing, and where it comes from; equal ones of algorithms once."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for algorithm in algorithms:
        found = chosen(algorithm, environ=environ)
        for name, value in _leaves(type(found.settings), found.settings.model_dump(mode="json")):
            source = found.sources.get(name, found.sources.get(name.split(".")[0], DEFAULT))
            row = {"setting": name, "algorithms": [], "value": value, "source": source}
            rows.setdefault((name, repr(value), source), row)["algorithms"].append(algorithm)
    return list(rows.values())
