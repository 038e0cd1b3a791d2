"""Ranges of a series: a geometry with `{first:last:number}` in place of numbers stands for one at each value."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hybridloop.errors import InputError
from hybridloop.inputs.text_files import decode
from hybridloop.settings import MAX_PROBLEM_BYTES, ProblemText

_NUMBER = r"\s*+([-+]?(?:\d++(?:\.\d*+)?|\.\d++))\s*+"
_RANGE = re.compile(rf"\{{{_NUMBER}:{_NUMBER}:\s*(\d{{1,9}})\s*\}}")
MAX_VALUES = 1000
EXAMPLE = "{0.5:2.5:9}"


def check_no_range(text: str) -> None:
    """Raise InputError for the text of one problem that has a range."""
    if _RANGE.search(text) is not None:
        raise InputError("problem", "it has a range, which stands for several geometries", "Use scan.")


def with_ranges(problems: Iterable[Any]) -> list[Any]:
    """Return the problems of a series, with the geometries of its ranges in place of a text or of a file that has some.

    Several ranges of one geometry advance together, as for two bonds that are stretched alike. Raises InputError where
    their numbers of values differ.
    """
    return [each for problem in problems for each in _points(problem)]


def _points(problem: Any) -> Iterator[Any]:
    if isinstance(problem, str) and _RANGE.search(problem):
        yield from _texts(problem)
        return
    path = Path(problem) if isinstance(problem, str | Path) else None
    text = "" if path is None or not os.path.isfile(path) else _start_of(path)
    if path is None or not _RANGE.search(text):
        yield problem
        return
    for number, of_point in enumerate(_texts(text), start=1):
        yield ProblemText(name=f"{path.stem}-{number}", text=of_point)


def _start_of(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_PROBLEM_BYTES)
    return decode(data, str(path)) if b"{" in data else ""


def _texts(text: str) -> Iterator[str]:
    """Yield the text with each value in turn, with six decimals at most."""
    ranges = [(float(first), float(last), int(number)) for first, last, number in _RANGE.findall(text)]
    numbers = {number for _, _, number in ranges}
    if len(numbers) > 1 or not 2 <= min(numbers) <= max(numbers) <= MAX_VALUES:
        reason = f"its ranges have {', '.join(map(str, sorted(numbers)))} values"
        remedy = f"Give each range 2 to {MAX_VALUES} values, all the same number, as in {EXAMPLE}."
        raise InputError("problem", reason, remedy)
    for step in range(numbers.pop()):
        text_at = text
        for first, last, number in ranges:
            value = first + (last - first) * step / (number - 1)
            text_at = _RANGE.sub(f"{value:.6f}".rstrip("0").rstrip("."), text_at, count=1)
        yield text_at
