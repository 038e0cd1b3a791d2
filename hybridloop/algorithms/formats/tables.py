"""Readers for tables: CSV edge lists with a header, and square matrices in CSV, in words or in Matrix Market."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybridloop.algorithms.problems.graphs import (
    MAX_EDGES,
    MAX_NODES,
    Graph,
    GraphBuilder,
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


@dataclass(frozen=True, slots=True)
class SquareMatrix:
    """A square matrix with named rows; entries that are 0 are left out."""

    labels: tuple[str, ...]
    entries: Mapping[tuple[int, int], float]
    source: str

    def as_graph(self, *, with_negative: bool = False) -> Graph | None:
        """Return the graph whose weights these are; None for a QUBO, which has a diagonal.

        A symmetric matrix with a diagonal of 0 and without negative entries is a graph: as a QUBO its minimum would be
        0 with all variables 0. Others with a diagonal of 0 could be either. Raises ProblemError for these.
        """
        if any(i == j for i, j in self.entries):
            return None
        symmetric = all(self.entries.get((j, i)) == value for (i, j), value in self.entries.items())
        if not symmetric or (not with_negative and any(value < 0 for value in self.entries.values())):
            problem = "its diagonal is 0, so the matrix may be a graph's weights or a QUBO"
            remedy = 'Give edges or networkx.from_numpy_array(matrix) for a graph, {"qubo": [[…], …]} for a QUBO.'
            raise ProblemError(self.source, None, problem, remedy)
        builder = GraphBuilder(self.source)
        for label in self.labels:
            builder.add_node(label, None)
        for (i, j), value in self.entries.items():
            if i < j:
                builder.add_edge(self.labels[i], self.labels[j], value, None)
        return builder.build()


def read_table(text: str, source: str) -> Graph | SquareMatrix:
    """Read an edge list or a square matrix: CSV (separated by commas, semicolons or tabs), or words.

    A header names the columns of edges (`source,target,weight`), or the rows of a matrix. Up to three lines of as many
    numbers are edges, unless `_is_matrix`. Raises ProblemError with the line of what is malformed.
    """
    rows = _csv_rows(text, source)
    if rows is None:
        words = _rows_of_words(text)
        return (
            _matrix(words, None, source) if _is_matrix(words, source, in_words=True) else read_edge_list(text, source)
        )
    (line, header), *rest = rows
    if _is_header(header, [cells for _, cells in rest]):
        if not _has_known_names(header):
            inner = [(number, cells[1:]) for number, cells in rest]
            if _are_square(inner, 2):
                _check_names(header[1:], rest, source)
                return _matrix(inner, header[1:], source)
            if _are_square(rest, 2) and _is_matrix(rest, source, has_header=True):
                return _matrix(rest, header, source)
        return graph_from_rows(_edges(line, header, rest, source), source)
    if _is_matrix(rows, source):
        return _matrix(rows, None, source)
    if len(header) > 3:
        problem = f"the table has {len(header)} columns and {len(rows)} rows, and no header"
        remedy = "Add one that names the columns of edges: source,target,weight."
        raise ProblemError(source, line, problem, remedy)
    has_blanks = any(" " in cells[0] or _ends_in_a_word(cells[1]) for _, cells in rows)
    return graph_from_rows(rows, source) if has_blanks else read_edge_list(text, source)


def read_matrix_market(text: str, source: str) -> SquareMatrix:
    """Read a square, real matrix in Matrix Market's format. Raises ProblemError for another."""
    from scipy.io import mmread
    from scipy.sparse import coo_array

    kind, *lines = text.lstrip("\ufeff \t\r\n").splitlines()
    shape = next((line.split() for line in lines if not line.startswith("%") and line.strip()), [])
    rows, columns, count = (_whole(word) for word in [*shape, "0", "0", "0"][:3])
    if rows != columns or not 1 <= rows <= MAX_NODES:
        problem = f"the matrix has the shape {' × '.join(shape[:2])}"[:120]
        raise ProblemError(source, None, problem, f"Give as many rows as columns, at most {MAX_NODES:,}.")
    if not 0 <= count <= len(lines):  # before memory is taken for them
        problem = f"the matrix has {shape[2][:40]} entries, and the text {len(lines):,} lines"
        raise ProblemError(source, None, problem, "Write it with scipy.io.mmwrite.")
    if "complex" in kind.lower():
        raise ProblemError(source, 1, "the matrix has complex entries", "Give real ones.")
    try:
        matrix = coo_array(mmread(io.BytesIO(text.encode())))
    except (ValueError, OverflowError) as error:
        problem = f"this is not Matrix Market: {str(error)[:100]}"
        raise ProblemError(source, None, problem, "Write it with scipy.io.mmwrite.") from error
    matrix.sum_duplicates()
    entries = {
        (i, j): value
        for i, j, value in zip(
            *(axis.tolist() for axis in matrix.coords), matrix.data.astype(float).tolist(), strict=True
        )
        if value
    }
    return SquareMatrix(tuple(map(str, range(1, matrix.shape[0] + 1))), entries, source)


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


def _matrix(rows: list[Row], names: list[str] | None, source: str) -> SquareMatrix:
    if len(rows) > MAX_NODES:
        raise ProblemError(source, None, f"the matrix has more than {MAX_NODES:,} rows", "Give a smaller one.")
    labels = tuple(names) if names is not None else tuple(map(str, range(len(rows))))
    if len(set(labels)) < len(labels):
        raise ProblemError(source, None, "two rows have one name", "Give each a name of its own.")
    entries = {
        (i, j): value
        for i, (_, cells) in enumerate(rows)
        for j, cell in enumerate(cells)
        if (value := parse_decimal(cell))
    }
    return SquareMatrix(labels, entries, source)


def _is_matrix(rows: list[Row], source: str, *, has_header: bool = False, in_words: bool = False) -> bool:
    """Return whether these are the rows of a matrix rather than edges. Raises ProblemError where both are possible.

    Two or three rows are one if they have the form of one and can't be edges, and edges if they have no such form.
    Words that name whole nodes, with weights above 0, are edges: as a QUBO, their minimum would have all variables 0.
    """
    if not _are_square(rows, 2):
        return False
    if len(rows) > 3:
        return True
    values = [[float(cell) for cell in cells] for _, cells in rows]
    are_digits = all(cell.isdigit() for _, cells in rows for cell in cells[:2])
    if in_words and are_digits and (len(rows) == 2 or all(row[0] != row[1] and row[2] > 0 for row in values)):
        return False
    are_nodes = not any(value < 0 or value % 1 for row in values for value in row[:2])
    has_form = has_matrix_form(values)
    if (has_form or has_header) and not are_nodes:
        return True
    if _is_symmetric(values) and not any(values[i][i] for i in range(len(values))):
        return True  # each edge twice
    if not are_nodes or ((has_form or has_header) and (len(rows) == 3 or not are_digits)):
        number = "three lines of three" if len(rows) == 3 else "two lines of two"
        problem = f"{number} numbers may be edges or a matrix"
        remedy = 'Give CSV with the header source,target,weight for edges, {"qubo": [[…], …]} for a QUBO.'
        raise ProblemError(source, None, problem, remedy)
    return False


def has_matrix_form(values: Sequence[Sequence[float]]) -> bool:
    """Return whether square rows are symmetric or a triangle, as those of a QUBO and of a graph's weights are."""
    lower = [values[i][j] for i in range(len(values)) for j in range(i)]
    upper = [values[j][i] for i in range(len(values)) for j in range(i)]
    return _is_symmetric(values) or not any(lower) or not any(upper)


def _is_symmetric(values: Sequence[Sequence[float]]) -> bool:
    return all(values[i][j] == values[j][i] for i in range(len(values)) for j in range(i))


def _are_square(rows: list[Row], least: int) -> bool:
    size = len(rows)
    return size >= least and all(len(cells) == size and all(map(_is_number, cells)) for _, cells in rows)


def _whole(word: str) -> int:
    """Return the whole number of a word, or -1 for another word and for a number of ten digits or more."""
    return int(word) if word.isascii() and word.isdecimal() and len(word) < 10 else -1


def _rows_of_words(text: str) -> list[Row]:
    lines = enumerate(text.splitlines(), 1)
    return [(number, line.split()) for number, line in lines if line.strip() and not line.lstrip().startswith(_MARKS)]


def _check_names(names: list[str], rows: list[Row], source: str) -> None:
    for name, (line, cells) in zip(names, rows, strict=True):
        if cells[0] != name:
            problem = f"the row is called {cells[0][:40]!r}, and the column of that number {name[:40]!r}"
            raise ProblemError(source, line, problem, "Give rows and columns in one order.")


def _ends_in_a_word(cell: str) -> bool:
    """Return whether a cell has several words, of which the last is no weight."""
    return " " in cell and not _is_number(cell.split()[-1])


def _is_number(word: str) -> bool:
    try:
        parse_decimal(word)
    except ValueError:
        return False
    return True
