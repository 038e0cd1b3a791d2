"""What pydantic says of values that are off, in plain words: which, why, and what to give instead."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ValidationError

from hybridloop.errors import InputError
from hybridloop.settings import SETTINGS

_BOUNDS, _VALUE = "Give a value within these bounds.", "Give such a value."
# by pydantic's kind of error; one that is not here says itself what is wrong
_IN_WORDS = {
    "missing": ("it is missing", "Give it."),
    "greater_than": ("it has to be above {gt}", _BOUNDS),
    "greater_than_equal": ("it has to be {ge} or more", _BOUNDS),
    "less_than": ("it has to be below {lt}", _BOUNDS),
    "less_than_equal": ("it has to be {le} or less", _BOUNDS),
    "finite_number": ("it has to be a finite number", _VALUE),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), ("it has to be a whole number", _VALUE)),
    **dict.fromkeys(("float_type", "float_parsing"), ("it has to be a number", _VALUE)),
    **dict.fromkeys(("bool_type", "bool_parsing"), ("it has to be yes or no", _VALUE)),
    **dict.fromkeys(("enum", "literal_error"), ("it has to be {expected}", "Give one of them.")),
    "model_type": ("it has to hold settings by name", "Indent them below it, or name one as NAME.SETTING."),
    "string_type": ("it has to be a text", _VALUE),
    "string_too_short": ("it has to have {min_length} characters or more", _VALUE),
    "string_too_long": ("it has to have {max_length} characters or fewer", _VALUE),
    "string_pattern_mismatch": ("it does not match {pattern}", _VALUE),
}


def refusal(error: ValidationError, model: type[BaseModel], *, of: str = "") -> InputError:
    """The first value of the model that is off, as an error of ours; `of` is what has these fields."""
    every = error.errors(include_url=False)
    first = next(each for each in reversed(every) if each["loc"][:1] == every[0]["loc"][:1])  # of a choice the last
    names = [str(part) for part in first["loc"] if isinstance(part, int) or part.isidentifier()]
    field = " ".join(part for part in (of, ".".join(names)) if part) or "settings"
    if first["type"] == "extra_forbidden":
        return InputError(field, "there is no such setting", _instead(str(first["loc"][-1]), model, first["loc"][:-1]))
    facts, value = first.get("ctx", {}), first.get("input")
    said, usual = first["msg"].removeprefix("Value error, "), "Change it."
    if first["type"] in _IN_WORDS:
        words, usual = _IN_WORDS[first["type"]]
        said = words.format(**facts)
    is_told = isinstance(value, Mapping) or said.startswith(repr(value))  # it is about several, or told already
    return InputError(field, said if is_told else f"{value!r:.80}: {said}", str(facts.get("remedy", usual)))


def _instead(name: str, model: type[BaseModel], path: Sequence[int | str]) -> str:
    """What may have been meant by a name that is not there: one like it, or an algorithm that has it."""
    there = _fields_at(model, path)
    if near := difflib.get_close_matches(name, there, n=1):
        return f"Did you mean {near[0]!r}?"
    others = [algorithm for algorithm, each in SETTINGS.items() if name in each.model_fields]
    return f"It is a setting of {', '.join(others)}." if others else f"There are: {', '.join(there)}."


def _fields_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """The names of the fields of what stands at that path in a model."""
    for part in path:
        inner = model.model_fields[str(part)].annotation if part in model.model_fields else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return list(model.model_fields)
