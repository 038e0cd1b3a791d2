"""Tables as plain text, for terminals and for `str()` of results, and as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hybridloop.runtime.escaping import escape_html, escape_line

CELL_STYLE = "text-align:left;padding:0 1em 0 0"


def format_cell(value: object) -> str:
    """Format a value: None as a dash, a float with six decimals."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6f}"
    return escape_line(str(value))


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
    return f'<pre style="white-space:pre;overflow-x:auto">{escape_html(text)}</pre>'


def facts_as_html(caption: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return names and texts as an HTML table."""
    rows = "".join(
        f'<tr><th scope="row" style="{CELL_STYLE};font-weight:normal;opacity:.7">{escape_html(name)}</th>'
        f'<td style="{CELL_STYLE}">{escape_html(text)}</td></tr>'
        for name, text in facts
    )
    return f'<table><caption style="{CELL_STYLE};font-weight:bold">{escape_html(caption)}</caption>{rows}</table>'
