"""Options that are a settings model's fields: name, help, type and default are said there alone.

Settings from a YAML file, from `--set name=value`, and from options, in the order in which they go.
"""

from __future__ import annotations

import enum
import inspect
import itertools
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from hybridloop.cli.completion import OF_SETTINGS
from hybridloop.errors import InputError
from hybridloop.settings import LIMITS, RunSettings
from hybridloop.settings.renamed import FORMER, current_name
from hybridloop.settings.sources import CALL, Layer
from hybridloop.settings.yaml import parse_yaml, read_yaml
from hybridloop.tasks.failure_policy import FailurePolicy

# The settings of the algorithm itself stand first, under typer's own heading.
_SESSION, _LIMITS, _FAILURE = "Session", "Limits", "When something fails"


def options_of(model: type[RunSettings], *, only: Iterable[str] | None = None) -> list[inspect.Parameter]:
    """A keyword parameter with a typer option for each field, or for those named; those of `failure` by their names.

    Values are left to the model to check, so that a bound stands in one place: what the model reads from text, such
    as `8h`, is a text here.
    """
    wanted = None if only is None else frozenset(only)
    found: list[inspect.Parameter] = []
    for name, field in model.model_fields.items():
        if name == "failure":
            found += [_option(each, inner, _FAILURE) for each, inner in FailurePolicy.model_fields.items()]
        else:
            found.append(_option(name, field, _heading(name)))
            if name in FORMER:
                found.append(_option(FORMER[name], field, None, hidden=True))
    return [each for each in found if wanted is None or current_name(each.name) in wanted]


def with_options(command: Callable[..., None], options: Iterable[inspect.Parameter]) -> Callable[..., None]:
    """The command as typer reads it, with these options for its catch-all keyword parameter."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    by_place = [each for each in own if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    by_name = [each for each in own if each.kind is inspect.Parameter.KEYWORD_ONLY]
    command.__signature__ = inspect.Signature([*by_place, *options, *by_name])  # type: ignore[attr-defined]
    command.__annotations__ = {}  # of which typer makes nothing then
    return command


def given(ctx: typer.Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that were given, by name."""
    return {name: value for name, value in values.items() if _is_given(ctx, name)}


def _is_given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _heading(name: str) -> str | None:
    if name in LIMITS:
        return _LIMITS
    return _SESSION if name in RunSettings.model_fields else None


def _option(name: str, field: FieldInfo, heading: str | None, *, hidden: bool = False) -> inspect.Parameter:
    kind = _written(field)
    told = f"{field.description}, such as {field.examples[0]}" if field.examples else f"{field.description}"
    option = typer.Option(
        help=f"{told[:1].upper()}{told[1:]}.",
        rich_help_panel=heading,
        autocompletion=OF_SETTINGS.get(name),
        hidden=hidden,
    )
    default = field.default if kind is not str or isinstance(field.default, str) else None
    annotation: Any = Annotated[kind if default is not None else kind | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _written(field: FieldInfo) -> Any:
    """The type of what is typed: a number, yes or no, one of several names; else text, which the model reads."""
    parts = [field.annotation]
    if get_origin(field.annotation) in (Union, types.UnionType):
        parts = [each for each in get_args(field.annotation) if each is not type(None)]
    if len(parts) != 1:
        return str
    kind, *marks = get_args(parts[0]) if get_origin(parts[0]) is Annotated else parts
    is_plain = isinstance(kind, type) and (kind in (int, float, bool) or issubclass(kind, enum.Enum))
    return kind if is_plain and not any(map(_takes_text, (*marks, *field.metadata))) else str


def _takes_text(mark: object) -> bool:
    """Whether it is a validator that says of itself that it reads text."""
    if not isinstance(mark, BeforeValidator):
        return False
    forms = get_args(mark.json_schema_input_type)
    return str in (get_args(each)[0] if get_origin(each) is Annotated else each for each in forms)


def layers_of(config: Path | None, sets: Sequence[str], options: Mapping[str, Any]) -> list[Layer]:
    """Return the layers of a command, each before the next: its file, each `--set`, its options. Raises InputError."""
    layers = [] if config is None else [Layer(f"--config {config}", read_yaml(config, "--config"))]
    named = {
        f"failure.{name}" if name in FailurePolicy.model_fields else name: value for name, value in options.items()
    }
    typed: dict[str, Any] = {}
    for text in sets:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InputError("--set", f"{text!r} is no name=value", "Give for example --set shots=2000.")
        typed[name] = parse_yaml(value, f"--set {name}")
        layers.append(Layer(f"--set {name}", {name: typed[name]}))
    # a command must not contradict itself: a value for a group, and one for a setting in it
    for (name, value), other in itertools.product({**typed, **named}.items(), [*typed, *named]):
        if other.startswith(f"{name}.") and not isinstance(value, Mapping):
            raise InputError(
                other, f"{name} is given as {value!r} already", "Give the group or its settings, not both."
            )
    return [*layers, Layer(CALL, named)]
