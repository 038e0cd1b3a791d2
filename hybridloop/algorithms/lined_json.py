"""JSON whose objects know their lines, so that an error can say where."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from json import scanner
from json.decoder import JSONObject  # type: ignore[attr-defined]  # the library's own parser of one object
from typing import Any

from hybridloop.errors import ProblemError


@dataclass(frozen=True, slots=True, eq=False)
class LinedJson:
    """A document, and the line of each object and key in it."""

    source: str
    value: Any
    _text: str
    _starts: dict[int, int]

    def line_of(self, value: Any) -> int | None:
        """The line on which an object of the document begins; None for what is no object."""
        start = self._starts.get(id(value))
        return None if start is None else self._text.count("\n", 0, start) + 1

    def refusal(self, value: Any, problem: str, remedy: str) -> ProblemError:
        """The error of this place in the document."""
        return ProblemError(self.source, self.line_of(value), problem, remedy)


class _Decoder(json.JSONDecoder):
    """The library's decoder in its Python form, which notes where objects begin."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=_once)
        self.starts: dict[int, int] = {}
        self.parse_object = self._object
        self.scan_once = scanner.py_make_scanner(self)  # type: ignore[attr-defined]

    def _object(self, at: tuple[str, int], *rest: Any) -> tuple[Any, int]:
        value, end = JSONObject(at, *rest)
        self.starts[id(value)] = at[1] - 1
        return value, end


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = Counter(name for name, _ in pairs)
        twice = next(name for name, count in names.items() if count > 1)
        raise ValueError(f"the key {twice!r} is there twice in one object")
    return found


def read_json(text: str, source: str) -> LinedJson:
    """The document of a text, NaN and Infinity let through. Raises ProblemError with the line of what is no JSON."""
    decoder = _Decoder()
    try:
        return LinedJson(source, decoder.decode(text), text, decoder.starts)
    except json.JSONDecodeError as error:
        raise ProblemError(source, error.lineno, f"this is no JSON: {error.msg}", "Correct the line.") from error
    except RecursionError:
        raise ProblemError(source, None, "it is nested too deeply", "Give a flat document.") from None
    except ValueError as error:  # of a key, or of a number with thousands of digits
        raise ProblemError(source, None, str(error)[:200], "Correct the document.") from error
