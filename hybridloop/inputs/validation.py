"""Validation of a settings model, with each invalid value reported as an InputError in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from hybridloop.data.synonyms import setting_of, suggestion
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError, InvalidValue

M = TypeVar("M", bound=BaseModel)

# by pydantic's error type, a clause after the setting's name; other types have a message of their own
_MESSAGES = {
    "missing": "must be given",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number{example}",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be an integer{example}"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number{example}"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("list_type", "tuple_type"), "must be a list{example}"),
    **dict.fromkeys(("enum", "literal_error"), "must be {expected}"),
    **dict.fromkeys(("dict_type", "model_type"), "must be a mapping of names to values{example}"),
    "too_short": "must have at least {min_length} value(s)",
    "too_long": "must have at most {max_length} value(s)",
    "string_type": "must be a string{example}",
    "string_too_short": "must have at least {min_length} character(s)",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
}

_UNION_MEMBERS = frozenset({"str", "int", "float", "bool", "list", "dict"})  # pydantic's names of what was tried


def validate(model: type[M], values: Mapping[str, Any], *, of: str = "") -> M:
    """Return the model of these values. Raises InputError for the first invalid one; `of` is prefixed to its name."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _input_error(error, model, of) from error


def _input_error(error: ValidationError, model: type[BaseModel], of: str) -> InputError:
    errors = error.errors(include_url=False)
    first = next(item for item in reversed(errors) if item["loc"][:1] == errors[0]["loc"][:1])  # of a union the last
    *group, name = first["loc"] or ("",)
    path = [
        str(part)
        for place, part in enumerate(first["loc"])
        if isinstance(part, int) or (part.isidentifier() and (part not in _UNION_MEMBERS or not place))
    ]
    field = " ".join(part for part in (of, ".".join(path)) if part) or "settings"
    inner = _model_at(model, group)
    if first["type"] == "extra_forbidden":
        return InputError(field, "there is no such setting", _suggestion(str(name), inner))
    facts, value, kind = first.get("ctx", {}), first.get("input"), first["type"]
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "must")
    remedy = str(facts.get("remedy", ""))
    if kind in _MESSAGES:
        message = _MESSAGES[kind].format(**facts, example=_example(inner, str(name)))
    elif isinstance(value, Mapping):  # about several settings of a group
        return InputError(field, message, remedy)
    return InvalidValue(field, message if kind == "missing" else f"{message}, got {_short_repr(value):.80}", remedy)


def _short_repr(value: object) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):  # an integer with more digits than Python writes, or a deep list
        return f"a value of type {type(value).__name__}"


def _suggestion(name: str, model: type[BaseModel]) -> str:
    """Suggest the setting that an unknown name means, or the algorithms that have it."""
    found = suggestion(name, model.model_fields) or elsewhere(name)
    return found or f"There are: {', '.join(model.model_fields)}."


def elsewhere(name: str) -> str:
    """Return a sentence with the algorithms that have a setting; empty if none has it."""
    setting = setting_of(name)
    others = [other.name for other in ALGORITHMS.known if setting in other.settings.model_fields]
    return f"{'It' if setting == name else setting} is a setting of {', '.join(others)}." if others else ""


def _example(model: type[BaseModel], name: str) -> str:
    """Return an example of a field's value as a clause; empty where the field has none."""
    field = model.model_fields.get(name)
    example = None if field is None else next(iter(field.examples or ()), field.default)
    return f", for example {example}" if isinstance(example, str | int | float) else ""


def _model_at(model: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel]:
    """Return the inner model at a path of field names and numbers of items."""
    for part in path:
        if part in model.model_fields:
            model = _model_in(model.model_fields[str(part)].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the first model in a type, such as that of a list's items; None if there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner)) is not None), None)
