"""JSON parsing for problem files, with the line number of what is invalid.

Python's decoder accepts duplicate keys and numbers that are not finite, and its objects do not know their lines.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from json import scanner
from json.decoder import JSONObject  # type: ignore[attr-defined]  # the library's own parser of one object
from typing import Any, TypeGuard

from hybridloop.errors import ProblemError


def read_json_object(text: str, source: str) -> dict[str, Any]:
    """Parse a text that is one JSON object. Raises ProblemError for duplicate names and numbers that are not finite."""

    def finite_number(word: str) -> float:
        value = float(word)
        if not math.isfinite(value):
            line = find_line(text, word)
            raise ProblemError(source, line, f"{word} is not a finite number", "Give finite numbers.")
        return value

    decoder = json.JSONDecoder(
        object_pairs_hook=_unique_members(source, text), parse_constant=finite_number, parse_float=finite_number
    )
    value = _parse(decoder, text, source)
    if not isinstance(value, dict):
        raise ProblemError(source, 1, "the text is not a JSON object", "Give one object: { … }.")
    return value


def find_line(text: str, words: str, *, occurrence: int = 1) -> int | None:
    """Return the line, counted from 1, of the given occurrence of `words` in the text; None if there is none."""
    position = -1
    for _ in range(occurrence):
        position = text.find(words, position + 1)
        if position < 0:
            return None
    return text.count("\n", 0, position) + 1


def is_number(value: object) -> TypeGuard[float]:
    """Return whether the value is a JSON number, not true or false, that a finite float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def check_names(
    value: Mapping[str, Any], known: Collection[str], source: str, line_of: Callable[[str], int | None]
) -> None:
    """Raise ProblemError for a name that is not known, whose value would have no effect; `line_of` gives its line."""
    for name in value:
        if name not in known:
            similar = difflib.get_close_matches(name.lower()[:80], known, n=1)
            hint = f"Did you mean {similar[0]!r}?" if similar else f"There are: {', '.join(known)}."
            raise ProblemError(source, line_of(name), f"there is no key {name[:80]!r} in this format", hint)


def nested_object(value: Mapping[str, Any], name: str, source: str) -> Mapping[str, Any]:
    """Return the object under `name` in another object. Raises ProblemError if there is none."""
    inner = value.get(name)
    if not isinstance(inner, Mapping):
        raise ProblemError(source, None, f"there is no object {name!r}", f"Give {name!r}: {{ … }}.")
    return inner


@dataclass(frozen=True, slots=True, eq=False)
class JsonDocument:
    """A parsed JSON document that knows the line of each of its objects."""

    source: str
    value: Any
    _text: str
    _starts: dict[int, int]

    def line_of(self, value: Any) -> int | None:
        start = self._starts.get(id(value))
        return None if start is None else self._text.count("\n", 0, start) + 1

    def error(self, value: Any, problem: str, remedy: str) -> ProblemError:
        return ProblemError(self.source, self.line_of(value), problem, remedy)

    def check_names(self, value: Mapping[str, Any], known: Collection[str]) -> None:
        """Raise ProblemError for a name in an object that is not known."""
        check_names(value, known, self.source, lambda _: self.line_of(value))


class _Decoder(json.JSONDecoder):
    """The standard library's pure-Python decoder, extended to record the position of each object."""

    def __init__(self, source: str) -> None:
        super().__init__(object_pairs_hook=_unique_members(source))
        self.starts: dict[int, int] = {}
        self.parse_object = self._object
        self.scan_once = scanner.py_make_scanner(self)  # type: ignore[attr-defined]

    def _object(self, text_and_end: tuple[str, int], *rest: Any) -> tuple[Any, int]:
        value, end = JSONObject(text_and_end, *rest)
        self.starts[id(value)] = text_and_end[1] - 1
        return value, end


def _unique_members(source: str, text: str = "") -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """Return a decoder's hook that refuses duplicate names, with the second one's line in the text of one object."""

    def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for name, value in pairs:
            if name in members:
                line = find_line(text, json.dumps(name), occurrence=2)
                raise ProblemError(source, line, f"{name!r} is given twice", "Give each name once in an object.")
            members[name] = value
        return members

    return unique_members


def read_json_document(text: str, source: str) -> JsonDocument:
    """Parse a JSON text, with NaN and Infinity allowed. Raises ProblemError with the line of invalid JSON."""
    decoder = _Decoder(source)
    return JsonDocument(source, _parse(decoder, text, source), text, decoder.starts)


def _parse(decoder: json.JSONDecoder, text: str, source: str) -> Any:
    """Return the value of a JSON text. Raises ProblemError with the line of invalid JSON."""
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        raise ProblemError(source, error.lineno, f"this is not JSON: {error.msg}", "Correct the text there.") from error
    except RecursionError as error:
        raise ProblemError(source, None, "the JSON is nested too deeply", "Give one object with flat lists.") from error
    except ProblemError:
        raise
    except ValueError as error:  # an integer with more digits than Python parses
        raise ProblemError(source, None, "a number has too many digits", "Give numbers as decimals.") from error
