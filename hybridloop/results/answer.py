"""Summary of a result: value, further facts, and the reason of its end; texts are not escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from hybridloop.results import summary
from hybridloop.results.result import RunResult
from hybridloop.results.result_text import answer

MAX_TEXT = 2000  # characters of a value: a circuit's or a problem's text may have a million

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Summary of a result: a headline, the few facts to read first, the reason of its end, warnings, and all else.

    Lines and details are pairs of a name and a text.
    """

    headline: str
    lines: Pairs
    details: Pairs
    meaning: str
    warnings: tuple[str, ...]
    choices: tuple[str, ...]


def summarize(result: RunResult) -> Answer:
    """Summarize a result; `meaning` is empty for a run in progress."""
    end = f"{result.status.capitalize()}: {result.reason}." if result.reason else ""
    first = (*summary.answer(result), *summary.effort(result))
    lines = tuple((name.capitalize(), format_value(text)) for name, text in first)
    rows = [row for row in answer(result) if row.name != "beside"]  # which has a table
    details = tuple((row.name.capitalize(), format_value(row.text)) for row in rows)
    return Answer(summary.headline(result), lines, details, end, result.warnings, result.choices)


def format_value(value: object) -> str:
    """Format a plain value for a cell of a table."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case str():
            return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}… ({len(value):,} characters)"
        case list() | tuple():
            return ", ".join(map(format_value, value)) if value else "–"
        case Mapping():
            return ", ".join(f"{name} {format_value(part)}" for name, part in value.items()) if value else "–"
    return json.dumps(value)
