"""Tables as plain text, for terminals and for `str()` of results, and as HTML."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def format_cell(value: object) -> str:
    """Format a value: None as a dash, a float with six decimals."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6f}"
    return str(value)


def count_text(number: int, of: str) -> str:
    """Return a number of things.

    >>> count_text(1, "job"), count_text(1200, "job")
    ('1 job', '1,200 jobs')
    """
    return f"{number:,} {of}{'' if number == 1 else 's'}"


def join_list(value: object) -> object:
    """Return the elements of a list as text with blanks in between, other values as they are."""
    return " ".join(map(str, value)) if isinstance(value, list) else value


def format_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table, a header first, with columns as wide as needed."""
    lines = [list(columns), *([format_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(map(str.ljust, line, widths)).rstrip()


def as_html(text: str) -> str:
    """Return the text as preformatted HTML."""
    return f'<pre style="white-space:pre;overflow-x:auto">{html.escape(text)}</pre>'


def spreadsheet_cell(value: object) -> object:
    """Return a cell that a spreadsheet takes for no formula: text that begins like one gets an apostrophe before it.

    >>> spreadsheet_cell("=1+2"), spreadsheet_cell("-0.5 1.0"), spreadsheet_cell(-0.5)
    ("'=1+2", '-0.5 1.0', -0.5)
    """
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        return value if [*map(float, value.split())] else f"'{value}"
    except ValueError:
        return f"'{value}"
