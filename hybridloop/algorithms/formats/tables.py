"""Reader for tables of edges: CSV with or without a header, or an edge list in words."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from hybridloop.algorithms.problems.graphs import (
    MAX_EDGES,
    Graph,
    graph_from_rows,
    read_edge_list,
)
from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.errors import ProblemError

Row = tuple[int, list[str]]  # line, cells

_SOURCES, _TARGETS = ("source", "from", "node1", "u"), ("target", "to", "node2", "v")
_WEIGHT = "weight"
_SHOWN = ("id", "name", "label", "title", "type", "key")
_MARKS = ("#", "%", "//")


def read_table(text: str, source: str) -> Graph:
    """Read a graph from CSV (separated by commas, semicolons or tabs) or an edge list in words.

    A header names the columns of edges (`source,target,weight`). Raises ProblemError with the line of what is
    malformed, and for a matrix.
    """
    rows = _csv_rows(text, source)
    if rows is None:
        _refuse_matrix([line.split() for line in text.splitlines() if not line.lstrip().startswith(_MARKS)], source)
        return read_edge_list(text, source)
    (line, header), *rest = rows
    if _is_header(header, [cells for _, cells in rest]):
        return graph_from_rows(_edges(line, header, rest, source), source)
    _refuse_matrix([cells for _, cells in rows], source)
    if len(header) > 3:
        problem = f"the table has {len(header)} columns and {len(rows)} rows, and no header"
        remedy = "Add one that names the columns of edges: source,target,weight."
        raise ProblemError(source, line, problem, remedy)
    has_blanks = any(" " in cells[0] or _ends_in_a_word(cells[1]) for _, cells in rows)
    return graph_from_rows(rows, source) if has_blanks else read_edge_list(text, source)


def _refuse_matrix(rows: Sequence[Sequence[str]], source: str) -> None:
    """Raise ProblemError for as many rows as columns of numbers, of which some can't be nodes of edges."""
    cells = [row for row in rows if row]
    is_square = len(cells) > 1 and all(len(row) == len(cells) and all(map(_is_number, row)) for row in cells)
    if is_square and (len(cells) > 3 or not all(word.isdigit() for row in cells for word in row[:2])):
        remedy = 'Give {"qubo": [[…], …]} for a QUBO, lines `node node weight` for a graph.'
        raise ProblemError(source, None, "this is a matrix, which may be a graph's weights or a QUBO", remedy)


def _csv_rows(text: str, source: str) -> list[Row] | None:
    """Return the rows of a table of two or more columns; None for a text that is none."""
    lines = text.lstrip("\ufeff").splitlines()
    if len(lines) > 2 * MAX_EDGES:  # before the lines are looked at one by one
        raise ProblemError(source, None, f"there are more than {2 * MAX_EDGES:,} lines", "Give a smaller graph.")
    lines = [line if not line.lstrip().startswith(_MARKS) else "" for line in lines]
    first = next((line for line in lines if line.strip()), "")
    separator = next((mark for mark in (",", ";", "\t") if mark in first), None)
    if separator is None:
        return None
    try:
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except csv.Error:
        return None
    columns = {len(cells) for _, cells in rows}
    return rows if len(columns) == 1 and columns.pop() > 1 else None


def _is_header(first: list[str], rest: list[list[str]]) -> bool:
    """Return whether the first row names the columns: known names, or a word above a column of numbers.

    Up to three cells may be an edge as well, if the third is a number or one of the first two is a node below.
    """
    is_known = _has_known_names(first)
    has_weight = is_known and _WEIGHT in map(str.lower, first)
    names_rows = len(first) == 3 and sorted(first[1:]) == sorted(cells[0] for cells in rest)
    if len(first) < 4 and not has_weight and not names_rows:
        nodes = {cell for cells in rest for cell in cells[:2]}
        if nodes & set(first[:2]) or any(map(_is_number, first[2:])):
            return False
    above = range(2, len(first)) if len(first) == 3 else range(1, len(first))
    return is_known or (
        bool(rest)
        and any(not _is_number(first[column]) and all(_is_number(cells[column]) for cells in rest) for column in above)
        and (len(first) > 2)
    )


def _has_known_names(header: list[str]) -> bool:
    return len({cell.lower() for cell in header} & {*_SOURCES, *_TARGETS, _WEIGHT}) > 1


def _edges(line: int, header: list[str], rows: list[Row], source: str) -> list[Row]:
    """Return the nodes and weights of a table of edges, by the names of its columns or else by their order."""
    names = [name.lower() for name in header]
    first = next((names.index(name) for name in _SOURCES if name in names), 0)
    second = next((names.index(name) for name in _TARGETS if name in names), 1)
    others = [column for column in range(len(names)) if column not in (first, second)]
    weight = names.index(_WEIGHT) if _WEIGHT in names else others[0] if len(others) == 1 else None
    if len(others) == 1 and names[others[0]] in _SHOWN:
        weight = None
    for column in others if weight is None else ():
        if names[column] not in _SHOWN and all(_is_number(cells[column]) for _, cells in rows):
            problem = f"the column {header[column][:40]!r} has numbers, and no column is called weight"
            raise ProblemError(source, line, problem, "Name it weight, or remove it, and each edge counts as 1.")
    columns = [first, second] if weight is None else [first, second, weight]
    return [(number, [cells[column] for column in columns]) for number, cells in rows]


def _ends_in_a_word(cell: str) -> bool:
    """Return whether a cell has several words, of which the last is no weight."""
    return " " in cell and not _is_number(cell.split()[-1])


def _is_number(word: str) -> bool:
    try:
        parse_decimal(word)
    except ValueError:
        return False
    return True
