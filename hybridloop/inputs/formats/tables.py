"""One reader for tables in text: edges with or without a header, a matrix, or the terms of a QUBO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hybridloop.algorithms.binary.graphs import MAX_NODES, Graph, GraphBuilder
from hybridloop.algorithms.binary.ising import Ising
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.binary.problem_kinds import qubo, spin_glass
from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.errors import ProblemError
from hybridloop.inputs.formats.evidence import (
    SOURCES,
    TARGETS,
    counted_nodes,
    konect_kind,
    layout_of,
    matrix_names,
    names_columns,
    stated_counts,
    stated_offset,
    stated_vartype,
)
from hybridloop.inputs.formats.rows import WEIGHTS, Row, Rows, is_number, is_whole
from hybridloop.settings.input_format import InputFormat

_SHOWN = ("id", "name", "label", "title", "type", "key")
_AS_RUDY = "`node node weight` below the numbers of nodes and edges"


@dataclass(frozen=True, slots=True)
class SquareMatrix:
    """A square matrix with named rows; entries that are 0 are left out. `reading` says how it was written."""

    labels: tuple[str, ...]
    entries: Mapping[tuple[int, int], float]
    source: str
    reading: str = ""
    is_terms: bool = False  # of a QUBO, or with is_spin of spins
    is_spin: bool = False  # entries of the diagonal are the spins' fields
    offset: float = 0.0

    def as_graph(self) -> Graph | None:
        """Return the graph whose weights these are; None for a QUBO, which has a diagonal.

        A symmetric matrix with a diagonal of 0 and without negative entries is a graph: as a QUBO its minimum would be
        0 with all variables 0. Others with a diagonal of 0 could be either. Raises ProblemError for these.
        """
        if self.is_terms or any(i == j for i, j in self.entries):
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
        return builder.build("read as a symmetric matrix")

    def as_problem(self) -> BinaryProblem:
        """Return the minimum of xᵀQx, or of spins with the diagonal as their fields."""
        labels = list(self.labels)
        if self.is_spin:
            couplings = dict[tuple[int, int], float]()
            for (i, j), value in self.entries.items():
                if i != j:
                    couplings[min(i, j), max(i, j)] = couplings.get((min(i, j), max(i, j)), 0.0) + value
            fields = np.array([self.entries.get((i, i), 0.0) for i in range(len(labels))])
            return spin_glass(Ising(fields, couplings, self.offset), self.source, labels, reading=self.reading)
        matrix = np.zeros((len(labels),) * 2)
        for place, value in self.entries.items():
            matrix[place] = value
        return qubo(matrix, self.source, offset=self.offset, labels=labels, reading=self.reading)


def read_table(table: Rows, layout: InputFormat | None = None, *, is_forced: bool = False) -> Graph | SquareMatrix:
    """Read a graph, a matrix or a QUBO from rows, in the layout that they have (`layout_of`), or that is forced.

    A forced list of edges has no names of columns, and its comments state nothing. Raises ProblemError with the line of
    what is malformed, or of what could mean two things.
    """
    match layout or layout_of(table):
        case InputFormat.MATRIX:
            return _matrix(table)
        case InputFormat.QUBO:
            return _terms(table, table.rows)
        case InputFormat.BIQMAC:
            first, rest = _count_above(table)
            return _terms(table, rest, counted_nodes(min(int(first.cells[0]), MAX_NODES + 1), rest), is_symmetric=True)
        case InputFormat.RUDY:
            first, rest = _count_above(table)
            return graph_from_rows(table, rest, _AS_RUDY, nodes=int(first.cells[0]))
    if not is_forced and names_columns(table):
        return _named_edges(table)
    if is_forced or konect_kind(table) is None:
        return graph_from_rows(table, table.rows)
    counts = stated_counts(table)
    rows = [Row(row.line, row.cells[:3]) for row in table.rows]
    unused = ["time stamps"] if max(table.widths) > 3 else []
    reading = "KONECT's node node weight" if max(table.widths) > 2 else "KONECT's node node"
    return graph_from_rows(table, rows, reading, nodes=counts[0] if counts else None, unused=unused)


def graph_from_rows(
    table: Rows,
    rows: Sequence[Row],
    reading: str = "",
    *,
    nodes: int | None = None,
    unused: Sequence[str] = (),
) -> Graph:
    """Build a graph from the cells of each edge: two nodes and a weight, by default 1; further ones have no use.

    Nodes become qubits in order of appearance, or in numeric order if all names are whole numbers. With the number of
    `nodes` they are numbered from 0 where there is a node 0, else from 1. Raises ProblemError with the line of what is
    malformed.
    """
    builder = GraphBuilder(table.source)
    if not rows:
        raise table.error(None, "the graph has no edge", "Give edges: `node node weight`.")
    if nodes is not None and nodes > MAX_NODES:
        raise table.error(rows[0].line, f"there are more than {MAX_NODES:,} nodes", "Give a smaller graph.")
    names = dict.fromkeys(name for row in rows for name in row.cells[:2])
    numbered = counted_nodes(nodes, rows) if nodes is not None else []
    if nodes is None and all(map(is_whole, names)):
        numbered = sorted(names, key=int)  # numbered nodes keep their order
        if len(set(map(int, names))) < len(names):
            raise table.error(None, "two names of nodes are one number, such as 1 and 01", "Write it in one way.")
    for name in numbered:
        builder.add_node(name, None)
    usual = min(3, max(len(row.cells) for row in rows))
    for row in rows:
        if len(row.cells) < 2 or min(3, len(row.cells)) < usual:
            problem = f"{' '.join(row.cells)[:80]!r} is not two nodes and an optional weight"
            raise table.error(row.line, problem, "Write `node node` or `node node weight` on each line.")
        first, second, *rest = row.cells
        if numbered and (first not in builder.nodes or second not in builder.nodes):
            problem = f"the edge {first} {second} names a node that is not among the {len(numbered)} of the header"
            raise table.error(row.line, problem, f"Number the nodes from {numbered[0]} to {numbered[-1]}.")
        weight = builder.parse_weight(rest[0], row.line) if rest else 1.0
        builder.add_edge(first, second, weight, row.line)
    width = max(len(row.cells) for row in rows)
    more = [*unused, *(f"column {number} of the edges" for number in range(4, width + 1))]
    return builder.build(f"read as {reading or ' '.join(('node', 'node', 'weight')[:width])}", unused=more)


def _named_edges(table: Rows) -> Graph:
    """Return the graph of a table of edges, by the names of its columns or else by their order."""
    header, *rows = table.rows
    names = [name.lower() for name in header.cells]
    is_index = names[0] == "" and [row.cells[0] for row in rows] == [str(number) for number in range(len(rows))]
    start = int(is_index and len(names) > 2)  # pandas writes its index first
    first = next((names.index(name) for name in SOURCES if name in names), start)
    second = next((names.index(name) for name in TARGETS if name in names), start + 1)
    others = [column for column in range(start, len(names)) if column not in (first, second)]
    weight = next((names.index(name) for name in WEIGHTS if name in names), None)
    if weight is None and len(others) == 1 and names[others[0]] not in _SHOWN:
        weight = others[0]
    for column in others if weight is None else ():
        if names[column] not in _SHOWN and all(is_number(row.cells[column]) for row in rows):
            problem = f"the column {header.cells[column][:40]!r} has numbers, and no column is called weight"
            raise table.error(header.line, problem, "Name it weight, or remove it, and each edge counts as 1.")
    columns = [first, second] if weight is None else [first, second, weight]
    left = [f"column {header.cells[each]!r:.40}" for each in others if each != weight and names[each] not in _SHOWN]
    reading = f"columns {', '.join(header.cells[column][:40] for column in columns)}"
    chosen = [Row(row.line, tuple(row.cells[column] for column in columns)) for row in rows]
    return graph_from_rows(table, chosen, reading, unused=left)


def _count_above(table: Rows) -> tuple[Row, tuple[Row, ...]]:
    """Return the first row, which counts nodes and edges, and the others. Raises ProblemError for a wrong count."""
    first, *rest = table.rows or (Row(1, ()),)
    if len(first.cells) < 2 or not all(map(is_whole, first.cells[:2])):
        raise table.error(first.line, "the first line has no numbers of nodes and of edges", "Begin with them: 5 6.")
    if int(first.cells[1]) != len(rest):
        problem = f"the first line says {first.cells[1]} edges, and {len(rest)} lines follow"
        raise table.error(first.line, problem, "Give the whole file.")
    return first, tuple(rest)


def _matrix(table: Rows) -> SquareMatrix:
    found = matrix_names(table.rows) if table.rows else None
    names, cells = found or ([str(n) for n in range(len(table.rows))], [row.cells for row in table.rows])
    for row, line in zip(cells, table.rows[len(table.rows) - len(cells) :], strict=True):
        if len(row) != len(cells) or not all(map(is_number, row)):
            problem = f"the row has {len(row)} cells, and a square matrix of {len(cells)} rows has as many numbers"
            raise table.error(line.line, problem, "Give as many rows as columns.")
    values = [[parse_decimal(cell) for cell in row] for row in cells]
    entries = {(i, j): value for i, row in enumerate(values) for j, value in enumerate(row) if value}
    return SquareMatrix(tuple(names), entries, table.source, "read as a square matrix")


def _terms(
    table: Rows, rows: Sequence[Row], variables: Sequence[str] = (), *, is_symmetric: bool = False
) -> SquareMatrix:
    """Return the QUBO of rows `i j value` of the `variables`, by default those of the rows.

    In Biq Mac's form it is symmetric: entry (i, j) is also (j, i) (A. Wiegele, Biq Mac Library (2007)). Raises
    ProblemError for an entry that is given twice.
    """
    vartype, offset = stated_vartype(table), stated_offset(table)
    if offset is not None and (vartype is None or not is_number(offset)):
        missing = "and no vartype" if vartype is None else "no number"
        problem = f"a comment states the offset {offset[:40]!r}, {missing}"
        raise table.error(None, problem, "Write `# vartype=BINARY offset=1.5`, or SPIN.")
    for row in rows:
        if len(row.cells) != 3 or not is_number(row.cells[2]):
            raise table.error(row.line, f"{' '.join(row.cells)[:80]!r} is not i j value", "Correct the line.")
    names = list(variables or dict.fromkeys(name for row in rows for name in row.cells[:2]))
    if not variables and all(map(is_whole, names)):
        names.sort(key=int)
    if len(names) > MAX_NODES:
        raise table.error(None, f"there are more than {MAX_NODES:,} variables", "Give a smaller QUBO.")
    places, entries = {name: number for number, name in enumerate(names)}, dict[tuple[int, int], float]()
    for row in rows:
        i, j = (places.get(name, -1) for name in row.cells[:2])
        if min(i, j) < 0:
            problem = f"the entry {' '.join(row.cells[:2])} names a variable that is not among {len(names)} stated ones"
            raise table.error(row.line, problem, "Correct the line, or the count.")
        if (i, j) in entries or (is_symmetric and (j, i) in entries):
            raise table.error(row.line, f"the entry {' '.join(row.cells[:2])} is given twice", "Give each once.")
        entries[i, j] = parse_decimal(row.cells[2]) * (2.0 if is_symmetric and i != j else 1.0)
    reading = "read as Biq Mac's, each entry i j also that of j i" if is_symmetric else "read as i j value"
    return SquareMatrix(
        tuple(names),
        entries,
        table.source,
        reading,
        is_terms=True,
        is_spin=vartype == "SPIN",
        offset=0.0 if offset is None else parse_decimal(offset),
    )


def read_qbsolv(text: str, source: str) -> SquareMatrix:
    """Read a QUBO in qbsolv's format: `p qubo target variables entries couplers`, then rows i j value.

    M. Booth, S. P. Reinhardt and A. Roy, Partitioning optimization problems for hybrid classical/quantum execution
    (D-Wave technical report 14-1006A, 2017). Raises ProblemError.
    """
    lines = [(n, line.split()) for n, line in enumerate(text.lstrip("\ufeff").splitlines(), 1)]
    rows = [Row(n, tuple(words)) for n, words in lines if words and words[0] not in ("c", "p")]
    table = Rows(source, tuple(rows))
    head = next((words for _, words in lines if words[:2] == ["p", "qubo"]), [])
    if len(head) != 6 or not all(map(is_whole, head[3:])):
        raise table.error(None, "the line `p` does not state variables and entries", "Give `p qubo 0 5 5 4`.")
    loops = sum(row.cells[:1] == row.cells[1:2] for row in rows)
    if [loops, len(rows) - loops] != [int(head[4]), int(head[5])]:
        stated = f"{head[4]} entries of variables and {head[5]} of pairs"
        problem = f"its line `p` states {stated}, and {loops} and {len(rows) - loops} follow"
        raise table.error(None, problem, "Give the whole file.")
    variables = [str(number) for number in range(min(int(head[3]), MAX_NODES + 1))]
    return replace(_terms(table, rows, variables), reading="read as qbsolv's")
