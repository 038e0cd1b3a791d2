"""Rows of a table in text: lines split at the separator that all of them have. It imports no numerical library."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.errors import ProblemError

MAX_LINES = 200_000
BLANKS = re.compile(r"[^\S\n]{500}")  # a run that no program writes, and that patterns take long to try
WEIGHTS = ("weight", "gewicht", "poids", "peso")  # names of a weight

_MOST_NAMES = 100  # of a list of objects
_PLAIN = (str, int, float)  # cells of JSON
_MARKS = ("#", "%", "//")
_COMMENT = re.compile(r"\s(#|%|//)(\s.*)?$")
_SEPARATORS = ("\t", ";", ",", "|")
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # as Excel writes it
_COMMA = re.compile(r"[-+]?\d*,\d+(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}", re.ASCII)
_DATA = re.compile(r"(?P<ends>[^{]*)(?P<data>\{.*\})\s*")  # of an edge, as networkx writes it
_ENTRY = re.compile(r"['\"](?P<name>[^'\"]*)['\"]:\s*+(?P<value>'[^']*'|\"[^\"]*\"|[^,{}'\"]+)(?:,\s*|(?=\}))")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table, or an entry of a list, counted from 1, and its cells."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a table, and its comments without their marks; `is_open` if the last line has no end."""

    source: str
    rows: tuple[Row, ...]
    comments: tuple[str, ...] = ()
    is_open: bool = False

    @property
    def widths(self) -> set[int]:
        return {len(row.cells) for row in self.rows}

    def error(self, line: int | None, problem: str, remedy: str) -> ProblemError:
        return ProblemError(self.source, line, problem, remedy)


def read_rows(text: str, source: str) -> Rows:
    """Read a table of CSV (separated by tabs, semicolons, commas or bars) or of words.

    Lines that begin with `#`, `%` or `//` are comments. Numbers have decimal points afterwards. Raises ProblemError for
    what could mean two things.
    """
    lines = text.lstrip("\ufeff").splitlines()
    if len(lines) > MAX_LINES:  # before the lines are looked at one by one
        raise ProblemError(source, None, f"there are more than {MAX_LINES:,} lines", "Give a smaller graph.")
    comments = tuple(line.lstrip().lstrip("#%/ ").rstrip() for line in lines if line.lstrip().startswith(_MARKS))
    rows = _with_points([row for row in _split(lines, source) if row.cells], source)
    return Rows(source, tuple(rows), comments, not text.endswith("\n"))


def json_rows(value: Sequence[Any], source: str) -> Rows:
    """Return a list of edges or of a matrix's rows, or of objects with equal names, as the rows of a table.

    Raises ProblemError for other lists.
    """
    if all(isinstance(entry, dict) for entry in value):
        names = list(dict.fromkeys(name for entry in value for name in entry))
        if len(names) > _MOST_NAMES:
            raise ProblemError(source, None, f"the objects have {len(names)} names", "Give objects with equal names.")
        entries = [names, *([entry.get(name, "") for name in names] for entry in value)]
    else:
        entries = list(value)
    for number, entry in enumerate(entries):
        cells = entry if isinstance(entry, list) else []
        if not cells or any(isinstance(cell, bool) or not isinstance(cell, _PLAIN) for cell in cells):
            problem = f"entry {number} of the list is no row of names and numbers: {str(entry)[:60]}"
            raise ProblemError(source, None, problem, "Give edges: [[0, 1, 1.5], [1, 2, 2.0]].")
    return Rows(source, tuple(Row(number, tuple(map(str, entry))) for number, entry in enumerate(entries, 1)))


def is_number(word: str) -> bool:
    """Return whether a word is a decimal number."""
    if word.isascii() and word.isdigit():
        return True
    try:
        parse_decimal(word)
    except ValueError:
        return False
    return True


def is_whole(word: str) -> bool:
    """Return whether a word is a whole number that can count or name a node."""
    return word.isascii() and word.isdigit() and len(word) <= 9


def _split(lines: list[str], source: str) -> list[Row]:
    """Return the lines of a table as cells; of a text that is no table with one separator, as words."""
    named = _SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    numbered = [
        (number, _COMMENT.sub("", line))
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith(_MARKS) and not (named and number == 1)
    ]
    if not numbered:
        return []
    if _DATA.fullmatch(numbered[0][1]):
        return _with_data(numbered, source)
    words = [Row(number, tuple(_words(line))) for number, line in numbered]
    has_decimals = all(len(row.cells) == 3 and is_number(row.cells[2].replace(",", ".")) for row in words)
    if has_decimals and all(line.split() == list(row.cells) for (_, line), row in zip(numbered, words, strict=True)):
        return words
    separator = named[1] if named else next((mark for mark in _SEPARATORS if mark in numbered[0][1]), None)
    if separator is None:
        return _without_empty_columns(words)
    try:
        cells = [
            tuple(cell.strip() for cell in row)
            for row in csv.reader([line for _, line in numbered], delimiter=separator, skipinitialspace=True)
        ]
    except csv.Error as error:
        raise ProblemError(source, None, f"the table can't be read: {error}", "Export it again as CSV.") from error
    if len(cells) != len(numbered):  # a quoted cell over several lines
        raise ProblemError(source, None, "a quoted cell goes over several lines", "Write each row on one line.")
    table = _without_empty_columns([Row(number, row) for (number, _), row in zip(numbered, cells, strict=True)])
    widths = {len(row.cells) for row in table}
    first, *rest = (row.cells for row in table)
    is_matrix = [row[:1] for row in rest] == [(name,) for name in first]  # without a name of the first column
    if separator == "," and len(first) == 3 and widths == {3, 4} and not is_matrix:
        wide = next(row for row in table if len(row.cells) == 4)
        problem = "it has four cells, and others three: commas separate cells, and may be decimal signs"
        raise ProblemError(source, wide.line, problem, "Export it with semicolons, or with decimal points.")
    if len(widths) == 1 and widths.pop() > 1:
        return table
    return [Row(number, tuple(line.replace(separator, " ").split())) for number, line in numbered]


def _with_data(numbered: Sequence[tuple[int, str]], source: str) -> list[Row]:
    """Return edges whose data follow in braces, as networkx writes them: the weight is their `weight`."""
    rows: list[Row] = []
    for number, line in numbered:
        found = _DATA.fullmatch(line)
        ends = found["ends"].replace(",", " ").split() if found else []
        data = {match["name"]: match["value"].strip() for match in _ENTRY.finditer(found["data"])} if found else {}
        named = next((name for name in WEIGHTS if name in data), None)
        others = [name for name, value in data.items() if name not in WEIGHTS and is_number(value)]
        inside = "{" if found is None else found["data"].strip()[1:-1].strip()
        if len(ends) != 2 or "{" in inside or (inside and not data):
            problem = f"{line.strip()[:80]!r} is not two nodes and their data"
            raise ProblemError(source, number, problem, "Write `node node {'weight': 1.5}`.")
        if others and named is None:
            problem = f"the edges have a number {others[0][:40]!r}, and no weight"
            raise ProblemError(source, number, problem, "Name it weight, or remove it, and each edge counts as 1.")
        rows.append(Row(number, (*ends, data[named] if named else "1")))
    return rows


def _without_empty_columns(rows: list[Row]) -> list[Row]:
    """Return the rows without columns that are empty in all of them."""
    if len({len(row.cells) for row in rows}) > 1:
        return rows
    kept = [column for column in range(len(rows[0].cells)) if any(row.cells[column] for row in rows)]
    return [Row(row.line, tuple(row.cells[column] for column in kept)) for row in rows]


def _words(line: str) -> list[str]:
    return re.sub(r"(?<!\d),|,(?!\d)", " ", line).split()


def _with_points(rows: list[Row], source: str) -> list[Row]:
    """Return the rows with decimal points in columns of numbers. Raises ProblemError for numbers of two readings."""
    if not any("," in cell for row in rows for cell in row.cells) or len({len(row.cells) for row in rows}) > 1:
        return rows
    result = [list(row.cells) for row in rows]
    for column in range(len(result[0])):
        cells = [row.cells[column] for row in rows]
        first = 0 if _COMMA.fullmatch(cells[0]) or is_number(cells[0]) else 1
        commas = [cell for cell in cells[first:] if _COMMA.fullmatch(cell)]
        if not commas or not all(_COMMA.fullmatch(cell) or is_number(cell) for cell in cells[first:]):
            continue
        line = next(row.line for row in rows if row.cells[column] in commas)
        if points := [cell for cell in cells[first:] if "." in cell]:
            problem = f"one column has {commas[0]} and {points[0]}: two decimal signs"
            raise ProblemError(source, line, problem, "Write all numbers with one.")
        if all(_THOUSANDS.fullmatch(cell) for cell in commas):
            problem = f"{commas[0]} is one and a part, or some thousands"
            plain = commas[0].replace(",", ".")
            raise ProblemError(source, line, problem, f"Write {plain} or {commas[0].replace(',', '')}.")
        for row_cells in result[first:]:
            row_cells[column] = row_cells[column].replace(",", ".")
    return [Row(row.line, tuple(cells)) for row, cells in zip(rows, result, strict=True)]
