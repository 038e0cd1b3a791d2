"""Typer options from the fields of a settings model, and the settings of a command line in order of precedence.

Name, help, type and default of an option are those of the field. Settings come from a YAML file, then from
`--set name=value`, then from options.
"""

from __future__ import annotations

import enum
import inspect
import types
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import typer
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from hybridloop.algorithms.geometries import LengthUnit
from hybridloop.cli.completion import SETTING_COMPLETERS
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError
from hybridloop.inputs.problem_objects.geometry_options import DEFAULT_BASIS
from hybridloop.runtime.leaves import leaf
from hybridloop.settings import CAPS, LIMITS, MoleculeSettings, ProblemText, RunSettings, goals_of
from hybridloop.settings.failure_policy import FailurePolicy
from hybridloop.targets.provider_options import FIELD as PROVIDER_OPTIONS

if TYPE_CHECKING:
    from hybridloop.inputs import problems
    from hybridloop.inputs import sources as setting_sources
    from hybridloop.inputs import yaml as yaml_texts
else:
    problems = leaf("hybridloop.inputs.problems")
    setting_sources = leaf("hybridloop.inputs.sources")
    yaml_texts = leaf("hybridloop.inputs.yaml")

# headings of the help; settings of the algorithm come first, under typer's own heading
_SESSION, _LIMITS, _FAILURE = "Session", "Limits", "When something fails"
# few need them: `--set` and files have them
BY_SET = frozenset(
    {
        *("requests_in_flight", "requests_per_second", "max_lost_shots", "max_renewals", "idle_rule", "session_slots"),
        *("allocation", "observable_precision"),
    }
)


_PROVIDER_OPTION = inspect.Parameter(
    "provider_option",
    inspect.Parameter.KEYWORD_ONLY,
    default=[],
    annotation=Annotated[
        list[str],
        typer.Option(
            metavar="NAME=VALUE",
            help="Option of the target's provider, such as noise.model=aria-1 or tket-opt-level=1; may be repeated.",
            rich_help_panel=_SESSION,
        ),
    ],
)


def settings_options(model: type[RunSettings], *, only: Container[str] | None = None) -> list[inspect.Parameter]:
    """Return a keyword parameter with a typer option for each field, or for those named; `failure` field by field.

    The model checks the values. So an option takes text if the model parses text, such as `8h`.
    """
    options: list[inspect.Parameter] = []
    for name, field in model.model_fields.items():
        if name in BY_SET and only is None:
            continue
        if name == "failure":
            inner_fields = FailurePolicy.model_fields.items()
            options += [_option(name, inner, _FAILURE) for name, inner in inner_fields if name not in BY_SET]
        else:
            if name == PROVIDER_OPTIONS:
                options.append(_PROVIDER_OPTION)
                continue
            heading = _LIMITS if name in LIMITS else _SESSION if name in RunSettings.model_fields else None
            options.append(_option(name, field, heading))
    return [option for option in options if only is None or option.name in only]


def resume_options() -> list[inspect.Parameter]:
    """Return the options of `runs resume`: all limits, and the goals of every algorithm, each as text or none."""
    options = settings_options(RunSettings, only=LIMITS)
    for algorithm in ALGORITHMS.known:
        known = {option.name for option in options}
        options += settings_options(algorithm.settings, only={*goals_of(algorithm.settings)} - known)
    return [_as_text(option) if option.name in {*CAPS, "deadline"} else option for option in options]


def _as_text(option: inspect.Parameter) -> inspect.Parameter:
    """Return an option that takes text, for a cap that may be none."""
    _, typer_option = get_args(option.annotation)
    typer_option.help = f"{typer_option.help.removesuffix('.')}; none: no cap."
    return option.replace(default=None, annotation=Annotated[str | None, typer_option])


def changes_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that options of `runs resume` change; a cap of none is None."""
    return {name: None if str(value).strip().lower() == "none" else value for name, value in given.items()}


def input_options(model: type[RunSettings]) -> list[inspect.Parameter]:
    """Return the options of `run` and `plan`: the settings, the format, and for molecules those of a geometry."""
    if not issubclass(model, MoleculeSettings):
        return [*settings_options(model), FORMAT_OPTION]
    return [*settings_options(model), FORMAT_OPTION, *GEOMETRY_OPTIONS]


def _reading_option(name: str, kind: Any, text: str) -> inspect.Parameter:
    annotation = Annotated[kind | None, typer.Option(help=text)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


FORMAT_OPTION = _reading_option("format", str, "Format of the problem's file; left out: what its lines show.")
GEOMETRY_OPTIONS = [  # of `run`, `plan` and `molecule`, beside the settings of a molecule
    _reading_option(
        "basis", str, f"Basis set of a geometry, by PySCF's name, or Na=lanl2dz,H=6-31g; left out: {DEFAULT_BASIS}."
    ),
    _reading_option(
        "ecp",
        str,
        "Effective core potentials of a geometry, as basis sets, or none; left out: those of the basis sets.",
    ),
    _reading_option("charge", int, "Charge of a geometry in elementary charges; left out: 0."),
    _reading_option("geometry_unit", LengthUnit, "Unit of a geometry's lengths; left out: angstrom."),
]


def with_options(command: Callable[..., None], options: Iterable[inspect.Parameter]) -> Callable[..., None]:
    """Return the command with a signature for typer in which these options replace its `**` parameter."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    positional = [item for item in parameters if item.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    by_name = [item for item in parameters if item.kind is inspect.Parameter.KEYWORD_ONLY]
    command.__signature__ = inspect.Signature([*positional, *options, *by_name])  # type: ignore[attr-defined]
    command.__annotations__ = {}  # typer would prefer them to the signature
    return command


def given_options(ctx: typer.Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were typed, by name."""
    sources = {name: ctx.get_parameter_source(name) for name in values}
    return {name: values[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def read_input(
    ctx: typer.Context,
    algorithm: str,
    problem: str | list[str],
    config: Path | None,
    sets: Sequence[str],
    options: Mapping[str, Any],
) -> tuple[ProblemText, setting_sources.ResolvedSettings]:
    """Read the problem and resolve the settings of a command line. Raises InputError."""
    given = given_options(ctx, options)
    reading = problems.pop_reading(algorithm, given)
    resolved = setting_sources.resolve_settings(algorithm, *read_layers(config, sets, given))
    return problems.read_for(algorithm, problem, resolved.settings, reading), resolved


def _option(name: str, field: FieldInfo, heading: str | None, *, hidden: bool = False) -> inspect.Parameter:
    kind = _option_type(field)
    text = f"{field.description}, such as {field.examples[0]}" if field.examples else f"{field.description}"
    option = typer.Option(
        help=f"{text[:1].upper()}{text[1:]}.",
        rich_help_panel=heading,
        autocompletion=SETTING_COMPLETERS.get(name),
        hidden=hidden,
    )
    default = field.default if kind is not str or isinstance(field.default, str | float) else None
    annotation: Any = Annotated[kind if default is not None else kind | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _option_type(field: FieldInfo) -> Any:
    """Return the option's type: a number, bool or enum; else text, which the model parses."""
    kinds = [field.annotation]
    if get_origin(field.annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
    if len(kinds) != 1:
        return str
    kind, *metadata = get_args(kinds[0]) if get_origin(kinds[0]) is Annotated else kinds
    is_plain = isinstance(kind, type) and (kind in (int, float, bool) or issubclass(kind, enum.Enum))
    return kind if is_plain and not any(map(_parses_text, (*metadata, *field.metadata))) else str


def _parses_text(validator: object) -> bool:
    """Return whether this is a validator with text among its input types."""
    if not isinstance(validator, BeforeValidator):
        return False
    kinds = get_args(validator.json_schema_input_type)
    return str in (get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds)


def read_layers(config: Path | None, sets: Sequence[str], options: Mapping[str, Any]) -> list[setting_sources.Layer]:
    """Return the layers of a command, lowest precedence first: its file, each `--set`, its options.

    Raises InputError.
    """
    layers = (
        []
        if config is None
        else [setting_sources.Layer(f"--config {config}", yaml_texts.read_yaml(config, "--config"))]
    )
    options = dict(options)
    given = _by_name("--provider-option", options.pop(_PROVIDER_OPTION.name, ()), "tket-opt-level=1")
    named = {
        f"failure.{name}" if name in FailurePolicy.model_fields else name: value for name, value in options.items()
    }
    layers += [
        setting_sources.Layer(f"--set {name}", {name: value}) for name, value in _by_name("--set", sets, "shots=2000")
    ]
    named |= {f"{PROVIDER_OPTIONS}.{name}": value for name, value in given}
    return [*layers, setting_sources.Layer(setting_sources.CALL, named)]


def _by_name(option: str, texts: Iterable[str], example: str) -> list[tuple[str, Any]]:
    """Parse the values of an option that takes NAME=VALUE. Raises InputError."""
    pairs = []
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InputError(option, f"{text!r} is not NAME=VALUE", f"For example: {option} {example}.")
        pairs.append((name, yaml_texts.parse_yaml(value, f"{option} {name}")))
    return pairs
