"""Reads problems that come as JSON: what JSON lets pass and a problem must not is refused, with its line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from hybridloop.errors import ProblemError


def read_object(text: str, source: str) -> dict[str, Any]:
    """The text's one object. Names given twice, NaN, infinities and numbers out of range are refused."""

    def pairs_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                line = line_of(text, json.dumps(name), occurrence=2)
                raise ProblemError(source, line, f"{name!r} is given twice", "Give each name once.")
            found[name] = value
        return found

    def finite(word: str) -> float:
        value = float(word)
        if not math.isfinite(value):
            line = line_of(text, word)
            raise ProblemError(source, line, f"{word} is not a finite number", "Give finite numbers.")
        return value

    try:
        value = json.loads(text, object_pairs_hook=pairs_once, parse_constant=finite, parse_float=finite)
    except json.JSONDecodeError as error:
        raise ProblemError(source, error.lineno, f"this is no JSON: {error.msg}", "Correct the text there.") from error
    except RecursionError as error:
        raise ProblemError(source, None, "it is nested too deeply", "Give one object with flat lists.") from error
    except ProblemError:
        raise
    except ValueError as error:  # an integer of more digits than Python reads
        raise ProblemError(source, None, "a number has too many digits", "Give numbers as decimals.") from error
    if not isinstance(value, dict):
        raise ProblemError(source, 1, "the text is no JSON object", "Give one object: { … }.")
    return value


def line_of(text: str, words: str, *, occurrence: int = 1) -> int | None:
    """The line, counted from 1, where the words are for that time; None if they are not."""
    place = -1
    for _ in range(occurrence):
        place = text.find(words, place + 1)
        if place < 0:
            return None
    return text.count("\n", 0, place) + 1


def is_number(value: object) -> bool:
    """Whether it is a JSON number (true and false are none) that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def object_at(value: Mapping[str, Any], name: str, source: str) -> Mapping[str, Any]:
    """The object of that name inside another."""
    inner = value.get(name)
    if not isinstance(inner, Mapping):
        raise ProblemError(source, None, f"there is no object {name!r}", f"Give {name!r}: {{ … }}.")
    return inner
