"""One reader for tables in text: edges with or without a header, or a matrix, whose rows may have names.

The separator and the decimal sign are found together; a text that could mean two things is refused by what it could be.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybridloop.algorithms.problems.graphs import MAX_EDGES, Graph, GraphBuilder, graph_from_rows
from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.errors import ProblemError

Row = tuple[int, list[str]]  # line, cells

_SOURCES = ("source", "from", "src", "start", "node1", "node_1", "u", "von", "de")
_TARGETS = ("target", "to", "dst", "end", "node2", "node_2", "v", "nach", "vers")
_WEIGHTS = ("weight", "gewicht", "poids", "peso")
_SHOWN = ("id", "name", "label", "title", "type", "key")
_MARKS = ("#", "%", "//")
_COMMENT = re.compile(r"\s(#|%|//)(\s.*)?$")
_SEPARATORS = ("\t", ";", ",", "|")
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # as Excel writes it
_COMMA = re.compile(r"[-+]?\d*,\d+(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}", re.ASCII)
_DATA = re.compile(r"(?P<ends>[^{]*)(?P<data>\{.*\})\s*")  # of an edge, as networkx writes it
_ENTRY = re.compile(r"'(?P<name>[^']*)':\s*(?P<value>'[^']*'|[^,{}']+)(?:,\s*|(?=\}))")


@dataclass(frozen=True, slots=True)
class SquareMatrix:
    """A square matrix with named rows; entries that are 0 are left out."""

    labels: tuple[str, ...]
    entries: Mapping[tuple[int, int], float]
    source: str

    def as_graph(self) -> Graph | None:
        """Return the graph whose weights these are; None for a QUBO, which has a diagonal.

        A symmetric matrix with a diagonal of 0 and without negative entries is a graph: as a QUBO its minimum would be
        0 with all variables 0. Others with a diagonal of 0 could be either. Raises ProblemError for these.
        """
        if any(i == j for i, j in self.entries):
            return None
        symmetric = all(self.entries.get((j, i)) == value for (i, j), value in self.entries.items())
        if not symmetric or any(value < 0 for value in self.entries.values()):
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
    """Read a graph or a matrix from CSV (separated by tabs, semicolons, commas or bars) or from words.

    A header names the columns of edges (`source,target,weight`). Lines that begin with `#`, `%` or `//` are comments.
    Raises ProblemError with the line of what is malformed, or of what could mean two things.
    """
    rows = _with_points([(line, cells) for line, cells in _rows(text, source) if cells], source)
    if not rows:
        raise ProblemError(source, None, "the graph has no edge", "Give edges: `node node weight`.")
    if (matrix := _as_matrix([cells for _, cells in rows], source)) is not None:
        return matrix
    (line, header), *rest = rows
    if _is_header(header, rest, source, line):
        return graph_from_rows(_edges(line, header, rest, source), source)
    for number, cells in rows:
        if len(cells) not in (2, 3):
            _refuse_row(number, cells, rows, source)
    return graph_from_rows(rows, source)


def _refuse_row(line: int, cells: list[str], rows: Sequence[Row], source: str) -> None:
    """Raise ProblemError for a row that is no edge."""
    if len(rows) > 1 and len({len(each) for _, each in rows}) == 1 and len(cells) > 3:
        problem = f"the table has {len(cells)} columns and {len(rows)} rows, and no header"
        remedy = "Add one that names the columns of edges: source,target,weight."
        raise ProblemError(source, line, problem, remedy)
    what = f"{' '.join(cells)[:80]!r} is not two nodes and an optional weight"
    remedy = "Write `node node` or `node node weight` on each line."
    is_ragged = len({len(each) for _, each in rows}) > 1
    if is_ragged or not any(map(_is_number, cells[2:])):
        remedy += " An adjacency list is read in Python: hl.qaoa(networkx.read_adjlist(FILE))."
    raise ProblemError(source, line, what, remedy)


def _rows(text: str, source: str) -> list[Row]:
    """Return the lines of a table as cells; of a text that is no table with one separator, as words."""
    lines = text.lstrip("\ufeff").splitlines()
    if len(lines) > 2 * MAX_EDGES:  # before the lines are looked at one by one
        raise ProblemError(source, None, f"there are more than {2 * MAX_EDGES:,} lines", "Give a smaller graph.")
    named = _SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    if named is not None:
        lines[0] = ""
    numbered = [
        (number, _COMMENT.sub("", line))
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith(_MARKS)
    ]
    if not numbered:
        return []
    if _DATA.fullmatch(numbered[0][1]):
        return _with_data(numbered, source)
    words = [(number, _words(line)) for number, line in numbered]
    has_decimals = all(len(cells) == 3 and _is_number(cells[2].replace(",", ".")) for _, cells in words)
    if has_decimals and all(line.split() == cells for (_, line), (_, cells) in zip(numbered, words, strict=True)):
        return words
    separator = named[1] if named else next((mark for mark in _SEPARATORS if mark in numbered[0][1]), None)
    if separator is None:
        return _padded(words)
    try:
        cells = [
            [cell.strip() for cell in row]
            for row in csv.reader([line for _, line in numbered], delimiter=separator, skipinitialspace=True)
        ]
    except csv.Error as error:
        raise ProblemError(source, None, f"the table can't be read: {error}", "Export it again as CSV.") from error
    if len(cells) != len(numbered):  # a quoted cell over several lines
        raise ProblemError(source, None, "a quoted cell goes over several lines", "Write each row on one line.")
    table = _padded([(number, row) for (number, _), row in zip(numbered, cells, strict=True)])
    widths = {len(row) for _, row in table}
    (_, first), *rest = table
    is_matrix = [row[:1] for _, row in rest] == [[name] for name in first]  # without a name of the first column
    if separator == "," and len(first) == 3 and widths == {3, 4} and not is_matrix:
        problem = "rows have four cells below a header of three: commas separate cells, and may be decimal signs"
        raise ProblemError(source, table[1][0], problem, "Export it with semicolons, or with decimal points.")
    if len(widths) == 1 and widths.pop() > 1:
        return table
    return [(number, line.replace(separator, " ").split()) for number, line in numbered]


def _with_data(numbered: Sequence[tuple[int, str]], source: str) -> list[Row]:
    """Return edges whose data follow in braces, as networkx writes them: the weight is their `weight`."""
    rows: list[Row] = []
    for number, line in numbered:
        found = _DATA.fullmatch(line)
        ends = found["ends"].replace(",", " ").split() if found else []
        data = {match["name"]: match["value"].strip() for match in _ENTRY.finditer(found["data"])} if found else {}
        others = [name for name, value in data.items() if name not in _WEIGHTS and _is_number(value)]
        if len(ends) != 2:
            problem = f"{line.strip()[:80]!r} is not two nodes and their data"
            raise ProblemError(source, number, problem, "Write `node node {'weight': 1.5}`.")
        if others and "weight" not in data:
            problem = f"the edges have a number {others[0][:40]!r}, and no weight"
            raise ProblemError(source, number, problem, "Name it weight, or remove it, and each edge counts as 1.")
        rows.append((number, [*ends, data.get("weight", "1")]))
    return rows


def _padded(rows: list[Row]) -> list[Row]:
    """Return the rows without columns that are empty in all of them."""
    if len({len(cells) for _, cells in rows}) > 1:
        return rows
    kept = [column for column in range(len(rows[0][1])) if any(cells[column] for _, cells in rows)]
    return [(line, [cells[column] for column in kept]) for line, cells in rows]


def _words(line: str) -> list[str]:
    return re.sub(r"(?<!\d),|,(?!\d)", " ", line).split()


def _with_points(rows: list[Row], source: str) -> list[Row]:
    """Return the rows with decimal points in columns of numbers. Raises ProblemError for numbers of two readings."""
    if not any("," in cell for _, cells in rows for cell in cells) or len({len(cells) for _, cells in rows}) > 1:
        return rows
    result = [(line, list(cells)) for line, cells in rows]
    for column in range(len(rows[0][1])):
        cells = [row[column] for _, row in rows]
        first = 0 if _COMMA.fullmatch(cells[0]) or _is_number(cells[0]) else 1
        commas = [cell for cell in cells[first:] if _COMMA.fullmatch(cell)]
        if not commas or not all(_COMMA.fullmatch(cell) or _is_number(cell) for cell in cells[first:]):
            continue
        line = next(number for number, row in rows if row[column] in commas)
        if points := [cell for cell in cells[first:] if "." in cell]:
            problem = f"one column has {commas[0]} and {points[0]}: two decimal signs"
            raise ProblemError(source, line, problem, "Write all numbers with one.")
        if all(_THOUSANDS.fullmatch(cell) for cell in commas):
            problem = f"{commas[0]} is one and a part, or some thousands"
            plain = commas[0].replace(",", ".")
            raise ProblemError(source, line, problem, f"Write {plain} or {commas[0].replace(',', '')}.")
        for _, row in result[first:]:
            row[column] = row[column].replace(",", ".")
    return result


def _as_matrix(rows: Sequence[Sequence[str]], source: str) -> SquareMatrix | None:
    """Return the matrix of a table with names of rows and columns, or of a square one whose rows can't be edges."""
    first, *rest = rows
    if len(rest) > 1 and [row[0] for row in rest] == list(first):  # without a name of the first column, as R writes it
        first = ["", *first]
    names = list(first[1:])
    is_named = not first[0] or not all(map(_is_number, first))
    if is_named and len(names) > 1 and [row[0] for row in rest] == names and len(set(names)) == len(names):
        cells = [row[1:] for row in rest]
    elif len(rows) > 1 and (len(rows) > 3 or not all(word.isdigit() for row in rows for word in row[:2])):
        names, cells = [str(number) for number in range(len(rows))], list(rows)
    else:
        return None
    if not all(len(row) == len(cells) and all(map(_is_number, row)) for row in cells):
        return None
    values = [[parse_decimal(cell) for cell in row] for row in cells]
    found = {(i, j): value for i, row in enumerate(values) for j, value in enumerate(row) if value}
    return SquareMatrix(tuple(names), found, source)


def _is_header(first: list[str], rest: Sequence[Row], source: str, line: int) -> bool:
    """Return whether the first row names the columns: known names, or a word above a column of numbers.

    Raises ProblemError for two words that name no node of another row: they may be a header or an edge.
    """
    cells = [row for _, row in rest]
    names = {cell.lower() for cell in first}
    if any(len(row) != len(first) for row in cells) or not cells:
        return False
    is_known = len(names & {*_SOURCES, *_TARGETS, *_WEIGHTS}) > 1
    nodes = {cell for row in cells for cell in row[:2]}
    if len(first) < 4 and not (is_known and names & {*_WEIGHTS}):
        if nodes & set(first[:2]) or any(map(_is_number, first[2:])):
            return False
    if is_known:
        return True
    if len(first) == 2 and not any(map(_is_number, first)) and len(cells) > 2:
        if all(map(_is_number, nodes)):
            return True
        problem = (
            f"{first[0][:40]!r} and {first[1][:40]!r} are in no other row: they may be names of columns or an edge"
        )
        raise ProblemError(source, line, problem, "Name the columns source and target, or remove the row.")
    above = range(2, len(first)) if len(first) == 3 else range(1, len(first))
    return len(first) > 2 and any(
        not _is_number(first[column]) and all(_is_number(row[column]) for row in cells) for column in above
    )


def _edges(line: int, header: list[str], rows: Sequence[Row], source: str) -> list[Row]:
    """Return the nodes and weights of a table of edges, by the names of its columns or else by their order."""
    names = [name.lower() for name in header]
    is_index = names[0] == "" and [cells[0] for _, cells in rows] == [str(number) for number in range(len(rows))]
    start = int(is_index and len(names) > 2)  # pandas writes its index first
    first = next((names.index(name) for name in _SOURCES if name in names), start)
    second = next((names.index(name) for name in _TARGETS if name in names), start + 1)
    others = [column for column in range(start, len(names)) if column not in (first, second)]
    weight = next((names.index(name) for name in _WEIGHTS if name in names), None)
    if weight is None and len(others) == 1 and names[others[0]] not in _SHOWN:
        weight = others[0]
    for column in others if weight is None else ():
        if names[column] not in _SHOWN and all(_is_number(cells[column]) for _, cells in rows):
            problem = f"the column {header[column][:40]!r} has numbers, and no column is called weight"
            raise ProblemError(source, line, problem, "Name it weight, or remove it, and each edge counts as 1.")
    columns = [first, second] if weight is None else [first, second, weight]
    return [(number, [cells[column] for column in columns]) for number, cells in rows]


def _is_number(word: str) -> bool:
    try:
        parse_decimal(word)
    except ValueError:
        return False
    return True
