"""Foreign text, escaped for where it goes: a terminal, HTML, Markdown, CSV; `reports/paper/latex.py` has LaTeX."""

from __future__ import annotations

import csv
import html
import io
import math
import re
from collections.abc import Iterable

# C0 and C1 control characters but tab and line break, marks that turn the direction of text or are not seen,
# separators of lines
_CONTROL = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060\\u2066-\\u206f\\ufeff]"
)
_MARKDOWN = re.compile(r"[!-$&-*<>?@\[-`{-~]|:(?=//)|(?<=www)\.")  # the last two: addresses that become links
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # spreadsheets take both


def escape_control(text: str) -> str:
    r"""Return the text with control characters, but tabs and line breaks, as escape sequences.

    >>> print(escape_control("\x1b[2J"))
    \x1b[2J
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def escape_line(text: str) -> str:
    r"""Return the same for text that is a part of one line: line breaks are escaped, too.

    >>> print(escape_line("h2\nconverged"))
    h2\nconverged
    """
    return escape_control(text).replace("\n", "\\n")


def escape_html(text: str) -> str:
    """Return text for HTML, also for an attribute's value."""
    return html.escape(escape_control(text))


def escape_markdown(text: str) -> str:
    r"""Escape text for markdown and HTML: a backslash before each special character.

    Backslashes, since Prefect's page shows character references (`&#60;`) as they are written.

    >>> print(escape_markdown("<b> a|b *c* (d)"))
    \<b\> a\|b \*c\* \(d\)
    """
    return " ".join(_MARKDOWN.sub(r"\\\g<0>", escape_control(text)).split())


def csv_text(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return a table as CSV, in which no cell is a formula."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([*map(spreadsheet_cell, row)] for row in (header, *rows))
    return file.getvalue()


def spreadsheet_cell(value: object) -> object:
    """Return a cell that a spreadsheet takes for no formula: text that begins like one gets an apostrophe before it.

    >>> spreadsheet_cell("=1+2"), spreadsheet_cell("-0.5 1.0"), spreadsheet_cell(-0.5)
    ("'=1+2", '-0.5 1.0', -0.5)
    """
    if not isinstance(value, str):
        return value
    value = escape_control(value)
    if not value.startswith(_FORMULA):
        return value
    try:
        is_numbers = all(map(math.isfinite, map(float, value.split())))
    except ValueError:
        is_numbers = False
    return value if is_numbers else f"'{value}"
