"""What is read from words: durations, costs, active spaces, angles and circuits."""

from __future__ import annotations

import difflib
import re
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from hybridloop.budget.caps import AMOUNT, parse_cost
from hybridloop.budget.prices import Unit

MAX_CIRCUIT_BYTES = 64 * 1024
MAX_PROBLEM_BYTES = 256 * 1024  # flow parameters travel through Prefect's database

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([smhd]?)")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_duration(text: object) -> object:
    """Seconds from words like `90`, `30m` or `8h`; what is no text is handed on as it is.

    >>> parse_duration("30m")
    1800.0
    """
    if not isinstance(text, str):
        return text
    if (match := _DURATION.fullmatch(text.strip())) is None:
        raise ValueError(f"{text!r} is no duration; give seconds, or such as 90s, 30m, 8h, 1d")
    return float(match[1]) * _SECONDS[match[2]]


# What a validator reads beside the type itself is said with it: forms and the command line go by that.
Duration = Annotated[
    float,
    Field(gt=0, allow_inf_nan=False),
    BeforeValidator(
        parse_duration,
        json_schema_input_type=Annotated[float, Field(gt=0)]
        | Annotated[str, Field(pattern=rf"^\s*{_DURATION.pattern}\s*$")],
    ),
]
_CostText = Annotated[str, Field(pattern=rf"^\s*{AMOUNT.pattern}\s*(,\s*{AMOUNT.pattern}\s*)*$")]
_Amounts = dict[Unit, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
_Amount = Annotated[_Amounts, Field(min_length=1, max_length=1)]
Cost = Annotated[_Amounts, BeforeValidator(parse_cost, json_schema_input_type=_Amounts | _CostText)]
CostInOneUnit = Annotated[_Amount, BeforeValidator(parse_cost, json_schema_input_type=_Amount | _CostText)]


def parted(value: object) -> object:
    """The words between commas; what is no text is handed on as it is."""
    return [each.strip() for each in value.split(",")] if isinstance(value, str) else value


def _pair(value: object) -> object:
    parts = parted(value)
    if isinstance(value, str) and not (isinstance(parts, list) and len(parts) == 2):
        raise ValueError("give electrons and orbitals, such as 4,4")
    return parts


_Pair = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]]
ActiveSpace = Annotated[_Pair, BeforeValidator(_pair, json_schema_input_type=_Pair | str)]


def _angles(value: object) -> object:
    try:
        return [float(each) for each in parted(value)] if isinstance(value, str) else value  # type: ignore[attr-defined]
    except ValueError:
        raise ValueError("it is neither auto, hf, newton or random nor angles by commas") from None


Angles = Annotated[
    tuple[Annotated[float, Field(allow_inf_nan=False)], ...],
    BeforeValidator(_angles, json_schema_input_type=list[float] | str),
]


def _circuit(value: object) -> object:
    if isinstance(value, str) and not _CIRCUIT.search(value):
        near = difflib.get_close_matches(value.lower(), _CIRCUITS, n=1)
        remedy = f"Did you mean {near[0]!r}?" if near else "Give a name, or check the path."
        what = "it is neither uccsd or hardware-efficient nor a file of a circuit in OpenQASM 3"
        raise PydanticCustomError("unknown_circuit", what, {"remedy": remedy})
    return value


_CIRCUITS = ("uccsd", "hardware-efficient")  # by name
_CIRCUIT = re.compile(r"\b(OPENQASM|qubit)\b")  # no file's name and no circuit's
CircuitText = Annotated[str, Field(max_length=MAX_CIRCUIT_BYTES), BeforeValidator(_circuit)]
