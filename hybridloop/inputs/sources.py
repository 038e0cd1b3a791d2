"""Settings precedence: resolve the settings of a run from all their sources.

A call goes before a file that it names, that before environment variables, those before the user's own file, and that
before the defaults. In the user's file a name holds for every algorithm that has such a setting; a name under an
algorithm's name holds for that one alone, and goes first. A variable's name is the path in such a file:
HYBRIDLOOP_SHOTS, HYBRIDLOOP_FAILURE__RETRIES, HYBRIDLOOP_QAOA__SHOTS.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from hybridloop.data.synonyms import suggestion
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError
from hybridloop.inputs.validation import validate
from hybridloop.runtime.dotted_names import nest
from hybridloop.runtime.leaves import leaf
from hybridloop.runtime.paths import config_file
from hybridloop.settings import RunSettings

if TYPE_CHECKING:
    from hybridloop.inputs import circuits, operators
    from hybridloop.inputs import yaml as yaml_texts
else:
    circuits = leaf("hybridloop.inputs.circuits")
    operators = leaf("hybridloop.inputs.operators")
    yaml_texts = leaf("hybridloop.inputs.yaml")

PREFIX = "HYBRIDLOOP_"
# Variables that are no settings of a run; those of the emulator's command line begin with EMULATOR.
NO_SETTINGS = frozenset(
    {"HOME", "JOURNAL", "JOURNAL_PASSWORD_FILE", "JOURNAL_WAIT_S", "LOCAL_SERVICE", "LOG", "CRASH_AT", "STACK_PART"}
)
CALL, DEFAULT = "the call", "default"
_SIMILAR = 0.85  # a name this similar to a setting's is a misspelt one; others may belong to other programs


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one `source`, as errors and a run's record name it.

    Names of inner settings may be written out (`failure.retries`) or nested in a mapping.
    """

    source: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ResolvedSettings:
    """The settings of a run, and the source of each that is no default, by its full name (`failure.retries`)."""

    settings: RunSettings
    sources: Mapping[str, str]


def resolve_settings(algorithm: str, *layers: Layer, environ: Mapping[str, str] = os.environ) -> ResolvedSettings:
    """Resolve the settings of a run: the layers, later ones first, on top of the user's variables and file.

    An `ansatz` may be a Qiskit circuit, or the path of a file in OpenQASM 3. Raises InputError with the name of an
    invalid setting, and with its source if that was not the call.
    """
    model = ALGORITHMS[algorithm].settings
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in (*_user_layers(algorithm, environ), *layers):
        for name, value in _flatten(model, layer.values):
            _make_place(name, values, sources)
            values[name], sources[name] = value, layer.source
    try:
        return ResolvedSettings(validate(model, nest(values)), sources)
    except InputError as error:
        raise _with_source(error, sources) from error


def user_defaults(algorithm: str, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the settings of the user's variables and file for an algorithm, by full names. Raises InputError."""
    resolved = resolve_settings(algorithm, environ=environ)
    values = dict(_flatten(type(resolved.settings), resolved.settings.model_dump()))
    return {name: value for name, value in values.items() if name in resolved.sources}


def unknown_variables(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the variables with our prefix that set nothing."""
    return [name for name, path in _variables(environ) if path[0] not in _names()]


def overview(algorithms: Iterable[str], environ: Mapping[str, str] = os.environ) -> list[dict[str, Any]]:
    """Return each setting's value and source where a call sets nothing; equal rows of several algorithms once."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for algorithm in algorithms:
        resolved = resolve_settings(algorithm, environ=environ)
        for name, value in _flatten(type(resolved.settings), resolved.settings.model_dump(mode="json")):
            source = resolved.sources.get(name, resolved.sources.get(name.split(".")[0], DEFAULT))
            row = {"setting": name, "algorithms": [], "value": value, "source": source}
            rows.setdefault((name, repr(value), source), row)["algorithms"].append(algorithm)
    return list(rows.values())


def _make_place(name: str, values: dict[str, Any], sources: dict[str, str]) -> None:
    """Remove what a setting replaces: its earlier value, and those in it if it is a group.

    A group of which it is a part is taken apart. Raises InputError if that has a single value, such as `50USD`.
    """
    for other in [other for other in values if _overlap(name, other)]:
        earlier, source = values.pop(other), sources.pop(other)
        if not name.startswith(f"{other}.") or earlier is None:
            continue
        if not isinstance(earlier, Mapping):
            place = "" if _is_call(source) else f" ({source})"
            problem = f"{other} is given as {earlier!r} already{place}"
            raise InputError(name, problem, "Give the group or its settings, not both.")
        for part, value in earlier.items():
            values[f"{other}.{part}"], sources[f"{other}.{part}"] = value, source


def _overlap(name: str, other: str) -> bool:
    """Return True for a setting and itself, and for a group and a setting in it: only one of them can be set."""
    return f"{other}.".startswith(f"{name}.") or f"{name}.".startswith(f"{other}.")


def _user_layers(algorithm: str, environ: Mapping[str, str]) -> Iterator[Layer]:
    """Yield the layers of the user's file and variables for an algorithm, in the order of precedence."""
    path = config_file(environ)
    if path.is_file():
        values = yaml_texts.read_yaml(path, "user's settings")
        _check_names(values, str(path))
        yield Layer(str(path), {name: value for name, value in values.items() if _is_setting(algorithm, name)})
        yield Layer(str(path), values.get(algorithm) or {})
    for_all, for_one = [], []
    for variable, (first, *rest) in _variables(environ):
        if not environ[variable]:
            continue
        if first not in _names():
            _refuse_misspelt(variable, [first, *rest])
            continue
        value = yaml_texts.parse_yaml(environ[variable], variable)
        if first == algorithm and rest:
            for_one.append(Layer(variable, {".".join(rest): value}))
        elif _is_setting(algorithm, first):
            for_all.append(Layer(variable, {".".join([first, *rest]): value}))
    yield from (*for_all, *for_one)


def _variables(environ: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Return the variables that may be settings, sorted, each with its path of lower-case names."""
    names = sorted(name.removeprefix(PREFIX) for name in environ if name.startswith(PREFIX))
    return [
        (PREFIX + name, name.lower().split("__"))
        for name in names
        if name not in NO_SETTINGS and not name.startswith("EMULATOR_")
    ]


def _names() -> frozenset[str]:
    """Return all names that may come first in a path: settings of any algorithm, and algorithms."""
    return frozenset({*ALGORITHMS, *(name for each in ALGORITHMS.known for name in each.settings.model_fields)})


def _is_setting(algorithm: str, name: str) -> bool:
    return name in ALGORITHMS[algorithm].settings.model_fields


def _check_names(values: Mapping[str, Any], path: str) -> None:
    for name, value in values.items():
        if name not in _names():
            hint = suggestion(str(name), sorted(_names())) or "`hybridloop config` lists all settings."
            raise InputError(f"{path}, {name}", "there is no setting of that name", hint)
        if name in ALGORITHMS and not isinstance(value, Mapping | None):
            raise InputError(f"{path}, {name}", f"{value!r} holds no settings by name", "Indent them below it.")


def _refuse_misspelt(variable: str, path: list[str]) -> None:
    """Raise InputError for a variable that is nearly a setting's: a misspelt cap that has no effect costs money."""
    if similar := difflib.get_close_matches(path[0], sorted(_names()), n=1, cutoff=_SIMILAR):
        suggestion = PREFIX + "__".join([similar[0], *path[1:]]).upper()
        raise InputError(variable, "there is no setting of that name", f"Did you mean {suggestion}?")


def _flatten(model: type[BaseModel], values: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, Any]]:
    """Yield settings by full names; those of an inner model one by one, so that layers add to each other."""
    for name, value in values.items():
        field = model.model_fields.get(name)
        inner = None if field is None else field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and isinstance(value, Mapping | BaseModel):
            inner_values = value.model_dump() if isinstance(value, BaseModel) else value
            yield from _flatten(inner, inner_values, f"{group}{name}.")
        else:
            yield f"{group}{name}", _text(name, value)


def _text(name: str, value: object) -> object:
    """Return a file or an object as the text that the setting keeps; other values as they are."""
    match name:
        case "ansatz":
            return circuits.circuit_text(value)
        case "observables":
            return operators.operator_texts(value)
    return value


def _with_source(error: InputError, sources: Mapping[str, str]) -> InputError:
    """Return the error with the setting's source, if that was not the call."""
    source = next((source for name, source in sources.items() if _overlap(name, error.field)), None)
    elsewhere = sorted({source for source in sources.values() if not _is_call(source)})
    if source is None and elsewhere:  # the error is about several settings
        return InputError(error.field, error.problem, f"{error.remedy} Set elsewhere: {', '.join(elsewhere)}.".strip())
    if source is None or _is_call(source):
        return error
    return error.at(source if source.startswith(PREFIX) else f"{source}, {error.field}")


def _is_call(source: str) -> bool:
    return source == CALL or source.startswith("--set ")
