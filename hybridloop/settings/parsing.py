"""Types of settings that are given as text: durations, costs, energies, active spaces, angles and circuits."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from hybridloop.algorithms.choices import OF_ORBITALS, OF_SYMMETRY
from hybridloop.algorithms.problems.energy_units import ENERGY_PATTERN, parse_energy
from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.targets.prices import UNITS, Unit

MAX_CIRCUIT_BYTES = 64 * 1024
MAX_PROBLEM_BYTES = 256 * 1024  # flow parameters travel through Prefect's database

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([smhd]?)")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_duration(text: object) -> object:
    """Parse a duration such as `90`, `30m` or `8h` to seconds; other types are returned unchanged.

    >>> parse_duration("30m")
    1800.0
    """
    if not isinstance(text, str):
        return text
    if (match := _DURATION.fullmatch(text.strip())) is None:
        raise ValueError("must be a duration in seconds, or one such as 90s, 30m, 8h, 1d")
    return float(match[1]) * _SECONDS[match[2]]


# Each validator states the text that it accepts: JSON schemas, and the types of command-line options, follow from it.
Duration = Annotated[
    float,
    Field(gt=0, allow_inf_nan=False),
    BeforeValidator(
        parse_duration,
        json_schema_input_type=Annotated[float, Field(gt=0)]
        | Annotated[str, Field(pattern=rf"^\s*{_DURATION.pattern}\s*$")],
    ),
]
_AMOUNT = re.compile(r"((?:[0-9]{1,3}(?:_[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?) *([A-Za-z]+)")
_COST_FORM = "must be amounts with their units, for example 50USD or 50USD,200HQC"
_UNIT_BY_NAME: Mapping[str, Unit] = {unit.lower(): unit for unit in UNITS}


def parse_cost(text: object) -> object:
    """Parse amounts by unit from text like `50USD` or `50 USD, 200 HQC`; other types are returned unchanged.

    >>> parse_cost("50usd, 200 HQC")
    {'USD': 50.0, 'HQC': 200.0}
    """
    if isinstance(text, int | float):
        raise ValueError(_COST_FORM)
    if not isinstance(text, str):
        return text
    amounts: dict[Unit, float] = {}
    for part in text.split(","):
        if (match := _AMOUNT.fullmatch(part.strip())) is None:
            raise ValueError(_COST_FORM)
        if (unit := _UNIT_BY_NAME.get(match[2].lower())) is None:
            raise ValueError(f"must be in {', '.join(UNITS[:-1])} or {UNITS[-1]}")
        if unit in amounts:
            raise ValueError("must have each unit once")
        amounts[unit] = float(match[1])
    return amounts


_Amounts = dict[Unit, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
_CostText = Annotated[str, Field(pattern=rf"^\s*{_AMOUNT.pattern}\s*(,\s*{_AMOUNT.pattern}\s*)*$")]
Cost = Annotated[_Amounts, BeforeValidator(parse_cost, json_schema_input_type=_Amounts | _CostText)]
_Amount = Annotated[_Amounts, Field(min_length=1, max_length=1)]
CostInOneUnit = Annotated[_Amount, BeforeValidator(parse_cost, json_schema_input_type=_Amount | _CostText)]


def _read_energy(value: object) -> object:
    try:
        return parse_decimal(value.strip()) if isinstance(value, str) else value
    except ValueError:
        return parse_energy(str(value))


_EnergyText = Annotated[str, Field(pattern=f"^{ENERGY_PATTERN}$")]
Precision = Annotated[
    float,
    Field(ge=1e-5, le=1),  # H2 takes a billion shots for the least
    BeforeValidator(_read_energy, json_schema_input_type=Annotated[float, Field(ge=1e-5, le=1)] | _EnergyText),
]
Tolerance = Annotated[
    float,
    Field(gt=0, le=1),
    BeforeValidator(_read_energy, json_schema_input_type=Annotated[float, Field(gt=0, le=1)] | _EnergyText),
]


def split_at_commas(value: object) -> object:
    """Split text at commas; other types are returned unchanged."""
    return [word.strip() for word in value.split(",")] if isinstance(value, str) else value


Tags = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=200)], ...],
    Field(max_length=20),
    BeforeValidator(split_at_commas, json_schema_input_type=list[str] | str),
]

AUTO_SPACE: Literal["auto"] = "auto"


def _parse_space(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = re.sub(r"\s+", "", value).removeprefix("(").removesuffix(")")
    kind, is_listed, listed = text.partition("=")
    if is_listed:
        return _parse_listed_space(f"{kind.lower()}=", listed)
    text = text.lower()
    if text == AUTO_SPACE or _SIZED_SPACE.fullmatch(text):
        return text
    if text.startswith(AUTO_SPACE) or text.count(",") != 1:
        forms = "auto, auto:4,4, orbitals=3,4,7 or symmetry=A1:2,B2:1"
        raise ValueError(f"must be electrons and orbitals, for example 4,4, or {forms}")
    return split_at_commas(text)


def _parse_listed_space(kind: str, listed: str) -> str:
    if not _LISTED_SPACE.fullmatch(kind + listed):
        raise ValueError("must be orbitals from 1 on (orbitals=3,4,7), or how many of each symmetry (symmetry=A1:2)")
    parts = listed.split(",")
    if len({part.partition(":")[0] for part in parts}) < len(parts):
        raise ValueError("must have each orbital or symmetry once")
    return kind + ",".join(sorted(parts, key=int) if kind == OF_ORBITALS else parts)


_NUMBER = "[1-9][0-9]{0,3}"
_OF_ONE_SYMMETRY = r"[A-Za-z][A-Za-z0-9'\"]{0,9}:[1-9][0-9]{0,2}"
_LISTED = f"{OF_ORBITALS}{_NUMBER}(,{_NUMBER}){{0,99}}"
_BY_SYMMETRY = f"{OF_SYMMETRY}{_OF_ONE_SYMMETRY}(,{_OF_ONE_SYMMETRY}){{0,31}}"
_LISTED_SPACE = re.compile(f"{_LISTED}|{_BY_SYMMETRY}", re.ASCII)
_SIZED_SPACE = re.compile(r"auto:([0-9]{1,4}),([1-9][0-9]{0,3})")
_Pair = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]]
_Text = Annotated[str, Field(pattern=rf"^(auto(:[0-9]{{1,4}},[1-9][0-9]{{0,3}})?|{_LISTED}|{_BY_SYMMETRY})$")]
ActiveSpace = Annotated[_Pair | _Text, BeforeValidator(_parse_space, json_schema_input_type=_Pair | str)]


def _angles_or(refusal: str) -> BeforeValidator:
    """Return the validator that reads angles separated by commas, and refuses other text in these words."""

    def parse(value: object) -> object:
        try:
            return [parse_decimal(word.strip()) for word in value.split(",")] if isinstance(value, str) else value
        except ValueError:
            raise ValueError(refusal) from None

    return BeforeValidator(parse, json_schema_input_type=list[float] | str)


_Numbers = tuple[Annotated[float, Field(allow_inf_nan=False)], ...]
Angles = Annotated[_Numbers, _angles_or("must be auto, hf, newton, random, or angles separated by commas")]
Radians = Annotated[_Numbers, _angles_or("must be angles in radians, separated by commas")]

_BUILT_IN_CIRCUITS = ("auto", "uccsd", "puccd", "grown", "hardware-efficient", "hamiltonian-variational")
# words of OpenQASM, or the first line of a Q# text: they occur in no file's name and no circuit's name
_CIRCUIT = re.compile(r"\b(OPENQASM|qubit)\b|\A// hybridloop: operation ")

_OPERATION = re.compile(r"\boperation\s+\w+\s*\(")
_OF_FUNCTION = "Give hybridloop.ansatz(function, num_angles=3), with the number of its angles."
_OF_QSHARP = "Q# source is given as a file ansatz.qs, or in Python as hybridloop.ansatz(source)."


def _check_circuit(value: object) -> object:
    if callable(value):
        raise PydanticCustomError("unknown_circuit", "must be a circuit, not a function", {"remedy": _OF_FUNCTION})
    if isinstance(value, str) and not _CIRCUIT.search(value):
        similar = difflib.get_close_matches(value.lower(), _BUILT_IN_CIRCUITS, n=1)
        remedy = f"Did you mean {similar[0]!r}?" if similar else "Give a name, or check the path."
        remedy = _OF_QSHARP if _OPERATION.search(value) else remedy
        problem = f"must be {', '.join(_BUILT_IN_CIRCUITS)}, or a file of a circuit in OpenQASM 3 or Q#"
        raise PydanticCustomError("unknown_circuit", problem, {"remedy": remedy})
    return value


CircuitText = Annotated[str, Field(max_length=MAX_CIRCUIT_BYTES), BeforeValidator(_check_circuit)]
