"""Reads a fault plan from a YAML file or a JSON body; what does not fit is refused with its place and the reason."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml
from annotated_types import MaxLen
from pydantic import TypeAdapter, ValidationError

from hybridloop.emulator.fault_rules import Rule

MAX_BYTES = 2**18
MAX_RULES = 1000


class BadFaultPlan(ValueError):
    """A plan that can't be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class PlanDocument:
    """A plan as it is written: its rules, and the seed of their draws."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True}

    rules: Annotated[tuple[Rule, ...], MaxLen(MAX_RULES)]
    seed: int = 0


def read_fault_file(path: Path) -> PlanDocument:
    """The plan in a YAML file. Raises BadFaultPlan."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadFaultPlan(f"{path}: it can't be read ({error.strerror})") from error
    try:
        return read_fault_document(_json_of(data))
    except BadFaultPlan as error:
        raise BadFaultPlan(f"{path}: {error}") from error


def _json_of(data: bytes) -> bytes:
    """A YAML document in JSON. Raises BadFaultPlan."""
    if len(data) > MAX_BYTES:
        raise BadFaultPlan(f"it is above {MAX_BYTES} bytes")
    try:
        text = data.decode()
        has_aliases = any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader))
        document = "" if has_aliases else json.dumps(yaml.safe_load(text))
    # beside its own, PyYAML raises what Python's types do with the words that it makes them of
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise BadFaultPlan(f"it is no plain YAML: {' '.join(str(error).split())}") from error
    if has_aliases:
        raise BadFaultPlan("aliases are not taken")  # a few lines of them become gigabytes
    return document.encode()


def read_fault_document(body: bytes) -> PlanDocument:
    """The plan in a JSON document. Raises BadFaultPlan."""
    try:
        return TypeAdapter(PlanDocument).validate_json(body)
    except ValidationError as error:
        # a value that may be of two kinds has an error for each: the one that got farthest says most
        worst = max(error.errors(include_url=False, include_context=False), key=lambda entry: len(entry["loc"]))
        reason = worst["msg"].removeprefix("Value error, ")
        raise BadFaultPlan(f"{_place(worst['loc'])}{reason} (given: {_given(worst)})") from error


def _place(location: tuple[int | str, ...]) -> str:
    """The place in a reader's words; rules count from 1."""
    if location[:1] == ("rules",) and len(location) > 1 and isinstance(location[1], int):
        names = [f"rule {location[1] + 1}", *[str(part) for part in location[2:3]]]
    else:
        names = [str(part) for part in location[:1]]
    return f"{', '.join(names)}: " if names else ""


def _given(entry: Any) -> str:
    given = entry.get("input")
    return given.decode(errors="replace")[:80] if isinstance(given, bytes) else json.dumps(given)[:80]
