"""Rows under their columns' names, as plain text: on a terminal, and of what is printed in Python."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def cell(value: object) -> str:
    """A value as text; None reads as a dash."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6f}"
    return str(value)


def aligned(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a table, its columns as wide as they need."""
    lines = [list(columns), *([cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(map(str.ljust, line, widths)).rstrip()


def as_page(text: str) -> str:
    """The text as a piece of a page that shows it as it is."""
    return f'<pre style="white-space:pre;overflow-x:auto">{html.escape(text)}</pre>'
