"""JSON parsing for problem files: one object, without names given twice or numbers that are not finite.

Python's decoder accepts both.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from hybridloop.errors import ProblemError


def read_json_object(text: str, source: str) -> dict[str, Any]:
    """Parse a text that is one JSON object. Raises ProblemError, with the line where it is not JSON."""
    value = read_json(text, source)
    if not isinstance(value, dict):
        raise ProblemError(source, 1, "the text is not a JSON object", "Give one object: { … }.")
    return value


def read_json(text: str, source: str) -> Any:
    """Parse a text that is JSON. Raises ProblemError, with the line where it is not."""

    def finite_number(word: str) -> float:
        value = float(word)
        if not math.isfinite(value):
            raise ProblemError(source, None, f"{word} is not a finite number", "Give finite numbers.")
        return value

    def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for name, value in pairs:
            if name in members:
                raise ProblemError(source, None, f"{name!r} is given twice", "Give each name once in an object.")
            members[name] = value
        return members

    try:
        return json.loads(
            text.lstrip("\ufeff"),
            object_pairs_hook=unique_members,
            parse_constant=finite_number,
            parse_float=finite_number,
        )
    except json.JSONDecodeError as error:
        raise ProblemError(source, error.lineno, f"this is not JSON: {error.msg}", "Correct the text there.") from error
    except RecursionError as error:
        raise ProblemError(source, None, "the JSON is nested too deeply", "Give one object with flat lists.") from error
    except ProblemError:
        raise
    except ValueError as error:  # an integer with more digits than Python parses
        raise ProblemError(source, None, "a number has too many digits", "Give numbers as decimals.") from error


def is_number(value: object) -> TypeGuard[float]:
    """Return whether the value is a JSON number, not true or false, that a finite float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def check_names(value: Mapping[str, Any], known: Collection[str], source: str) -> None:
    """Raise ProblemError for a name that is not known, whose value would have no effect."""
    for name in value:
        if name not in known:
            similar = difflib.get_close_matches(name.lower()[:80], known, n=1)
            hint = f"Did you mean {similar[0]!r}?" if similar else f"There are: {', '.join(known)}."
            raise ProblemError(source, None, f"there is no key {name[:80]!r} in this format", hint)


@dataclass(frozen=True, slots=True, eq=False)
class JsonDocument:
    """A JSON object and the name of its source."""

    source: str
    value: dict[str, Any]

    def error(self, problem: str, remedy: str) -> ProblemError:
        return ProblemError(self.source, None, problem, remedy)

    def check_names(self, value: Mapping[str, Any], known: Collection[str]) -> None:
        """Raise ProblemError for a name in an object that is not known."""
        check_names(value, known, self.source)
