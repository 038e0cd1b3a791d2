"""The meaning of a table's rows, decided from all of them: edges, a count above edges, a matrix, or a QUBO.

Convention decides where no row contradicts it: `u v w` is an edge with its weight. What contradicts it is refused with
its line, and with the option that forces a reading. It imports no numerical library.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from hybridloop.errors import ProblemError
from hybridloop.inputs.formats.rows import WEIGHTS, Row, Rows, is_number, is_whole
from hybridloop.settings.input_format import InputFormat

SOURCES = ("source", "from", "src", "start", "node1", "node_1", "u", "von", "de")
TARGETS = ("target", "to", "dst", "end", "node2", "node_2", "v", "nach", "vers")
DIAGONAL_SHARE = 0.5  # of the variables: below, an entry i i is rather an edge that is wrong
TIME = 10  # digits of a time stamp in seconds

_KONECT = ("sym", "asym", "bip")
_COUNTS = re.compile(r"Nodes:\s*(\d+)\s+Edges:\s*(\d+)", re.IGNORECASE)  # as SNAP writes it
_VARTYPE = re.compile(r"\bvartype\s?[=:]\s?(SPIN|BINARY)\b", re.IGNORECASE)
_OFFSET = re.compile(r"\boffset\s?[=:]\s?([-+.\w]+)", re.IGNORECASE)
_DIRECTED = re.compile(r"\bDirected graph\b", re.IGNORECASE)
_AS_EDGES = "To take each line as an undirected edge: --format edges."


def layout_of(table: Rows) -> InputFormat:
    """Return the format of rows. Raises ProblemError with the line that contradicts what the others say."""
    rows = table.rows
    if not rows:
        raise table.error(None, "the graph has no edge", "Give edges: `node node weight`.")
    if stated_vartype(table) is not None:
        return InputFormat.QUBO
    if konect_kind(table) is not None:
        _check_edges(table)
        return InputFormat.EDGES
    if matrix_names(rows) is not None:
        return InputFormat.MATRIX
    if names_columns(table):
        _check_named(table)
        return InputFormat.EDGES
    first, *rest = rows
    is_count = len(first.cells) == 2 and all(map(is_whole, first.cells))
    if is_count and rest and {len(row.cells) for row in rest} == {3}:
        return _below_count(table)
    if len(table.widths) > 1:
        raise _ragged(table)
    if _is_square_of_numbers(rows) and _is_matrix(table):
        return InputFormat.MATRIX
    if is_count and len(rest) > 0 and int(first.cells[1]) == len(rest) and _fit(rest, int(first.cells[0])):
        if not _repeats(rows):
            problem = (
                f"the first line may be an edge, or say that {first.cells[1]} edges of {first.cells[0]} nodes follow"
            )
            raise table.error(first.line, problem, "Say which: --format edges, or --format rudy for a count.")
        return InputFormat.RUDY
    loops = _loops(rows)
    if len(first.cells) == 3 and loops and all(is_number(row.cells[2]) for row in rows):
        if not _has_diagonal(rows):
            problem = f"node {loops[0].cells[0][:40]!r} has an edge to itself"
            raise table.error(loops[0].line, problem, "Remove self-loops; for the terms of a QUBO: --format qubo.")
        return InputFormat.QUBO
    _check_edges(table)
    return InputFormat.EDGES


def matrix_names(rows: Sequence[Row]) -> tuple[list[str], list[tuple[str, ...]]] | None:
    """Return the names and the cells of a square matrix with named rows and columns; None for other rows."""
    first, *rest = [row.cells for row in rows]
    if len(rest) > 1 and [row[0] for row in rest] == list(first):  # without a name of the first column, as R writes it
        first = ("", *first)
    names = list(first[1:])
    is_named = not first[0] or not all(map(is_number, first))
    named = {row[0]: row[1:] for row in rest}
    if not (is_named and len(names) > 1 and len(rest) == len(names) == len(set(names)) and named.keys() == set(names)):
        return None
    cells = [named[name] for name in names]  # rows may be in another order
    is_square = all(len(row) == len(cells) and all(map(is_number, row)) for row in cells)
    return (names, cells) if is_square else None


def _is_square_of_numbers(rows: Sequence[Row]) -> bool:
    """Return whether there are as many columns as rows, all of numbers."""
    return len(rows) > 1 and all(len(row.cells) == len(rows) and all(map(is_number, row.cells)) for row in rows)


def names_columns(table: Rows) -> bool:
    """Return whether the first row names the columns: known names, or a word above a column of numbers.

    Raises ProblemError for two words that name no node of another row: they may be a header or an edge. Above numbers
    of which some are in two places, as nodes are, they are a header.
    """
    first, *rest = [row.cells for row in table.rows]
    names = {cell.lower() for cell in first}
    if any(len(row) != len(first) for row in rest) or not rest:
        return False
    is_known = len(names & {*SOURCES, *TARGETS, *WEIGHTS}) > 1
    nodes = {cell for row in rest for cell in row[:2]}
    if len(first) < 4 and not (is_known and names & {*WEIGHTS}):
        if nodes & set(first[:2]) or any(map(is_number, first[2:])):
            return False
    if is_known:
        return True
    if len(first) == 2 and not any(map(is_number, first)) and len(rest) > 1:
        if all(map(is_number, nodes)) and len(nodes) < 2 * len(rest):  # of edges, as some have a node in common
            return True
        problem = (
            f"{first[0][:40]!r} and {first[1][:40]!r} are in no other row: they may be names of columns or an edge"
        )
        raise table.error(table.rows[0].line, problem, "Name the columns source and target, or remove the row.")
    above = range(2, len(first)) if len(first) == 3 else range(1, len(first))
    return len(first) > 2 and any(
        not is_number(first[column]) and all(is_number(row[column]) for row in rest) for column in above
    )


def _check_edges(table: Rows) -> None:
    """Raise ProblemError for rows without names of columns that are no edges, or may be something else."""
    rows = table.rows
    width = len(rows[0].cells)
    is_konect = konect_kind(table) is not None
    if width not in (2, 3) and not (is_konect and width == 4):
        raise _too_wide(table) if width > 3 else _no_edge(table, rows[0])
    _check_nodes(table, rows)
    for row in rows:
        if len(row.cells) > 2 and not is_number(row.cells[2]):
            raise table.error(row.line, f"the weight {row.cells[2][:40]!r} is not a number", "Correct the line.")
    _check_kinds(table, rows, ("first", "second"))
    if width == 3 and not is_konect and all(_is_time(row.cells[2]) for row in rows):
        problem = f"the third column has numbers such as {rows[0].cells[2]}, which may be times"
        raise table.error(rows[0].line, problem, "Remove it, or take it for weights: --format edges.")
    _check_cut(table)
    _check_comments(table)


def may_be_adjacency(table: Rows) -> bool:
    """Return whether rows of numbers are as many as the first of them says: neighbours of nodes, as METIS has them."""
    first, *rest = [row.cells for row in table.rows] or [()]
    is_count = 2 <= len(first) <= 4 and all(map(is_whole, first)) and int(first[0]) == len(rest)
    return is_count and len(set(map(len, rest))) > 1 and all(is_number(cell) for row in rest for cell in row)


def stated_vartype(table: Rows) -> str | None:
    """Return SPIN or BINARY of a model in dimod's COO format; None for other tables."""
    found = next((match for comment in table.comments if (match := _VARTYPE.search(comment))), None)
    return None if found is None else found[1].upper()


def stated_offset(table: Rows) -> str | None:
    """Return the word after `offset=` in the comments of a model in dimod's COO format; None without one."""
    found = next((match for comment in table.comments if (match := _OFFSET.search(comment))), None)
    return None if found is None else found[1]


def konect_kind(table: Rows) -> str | None:
    """Return sym, asym or bip of a KONECT file (J. Kunegis, WWW 2013 Companion, 1343); None for other tables."""
    words = table.comments[0].split() if table.comments else []
    return words[0] if len(words) == 2 and words[0] in _KONECT else None


def stated_counts(table: Rows) -> tuple[int, int] | None:
    """Return the numbers of nodes and edges that the comments state, as KONECT's and SNAP's do."""
    if konect_kind(table) is not None:
        words = table.comments[1].split() if len(table.comments) > 1 else []
        return (int(words[1]), int(words[0])) if len(words) == 3 and all(map(is_whole, words)) else None
    found = next((match for comment in table.comments if (match := _COUNTS.search(comment))), None)
    return None if found is None else (int(found[1]), int(found[2]))


def counted_nodes(nodes: int, rows: Sequence[Row]) -> list[str]:
    """Return the names of so many numbered nodes, from 0 where a row has a node 0, else from 1."""
    start = int(all("0" not in row.cells[:2] for row in rows))
    return [str(number) for number in range(start, start + nodes)]


def _below_count(table: Rows) -> InputFormat:
    """Return the format of weighted rows below a first line `nodes edges`. Raises ProblemError for wrong counts."""
    first, *rest = table.rows
    nodes, edges = map(int, first.cells)
    if edges != len(rest):
        problem = f"the first line says {nodes} nodes and {edges} edges, and {len(rest)} lines follow"
        raise table.error(first.line, problem, "Give the whole file; if the first line is an edge, give its weight.")
    loops = _loops(rest)
    if loops and not _has_diagonal(rest):
        problem = f"node {loops[0].cells[0][:40]!r} has an edge to itself"
        raise table.error(loops[0].line, problem, "Remove self-loops; for the terms of a QUBO: --format biqmac.")
    return InputFormat.BIQMAC if loops else InputFormat.RUDY


def _is_matrix(table: Rows) -> bool:
    """Return whether a square of numbers is a matrix. Raises ProblemError for one that may be edges or terms."""
    rows = table.rows
    if any(all(_is_time(row.cells[column]) for row in rows) for column in range(len(rows))):
        raise _too_wide(table) if len(rows) > 3 else table.error(None, "a column has times", _AS_EDGES)
    if len(rows) > 3:
        return True
    values = [[float(cell) for cell in row.cells] for row in rows]
    pairs = [(values[i][j], values[j][i]) for i in range(len(rows)) for j in range(i)]
    is_symmetric = all(below == above for below, above in pairs)
    is_triangular = not any(below for below, _ in pairs) or not any(above for _, above in pairs)
    if not all(is_whole(cell) for row in rows for cell in row.cells[:2]):
        return is_symmetric or is_triangular
    if (is_symmetric or is_triangular) and _may_be_terms(rows):
        remedy = "Say which: --format matrix, or --format qubo for rows of i j value."
        raise table.error(rows[0].line, "the rows may be a matrix or the terms of a QUBO", remedy)
    return is_symmetric and len(rows) > 2 and _repeats(rows)


def _fit(rows: Sequence[Row], nodes: int) -> bool:
    """Return whether all nodes are whole numbers below or up to a count."""
    cells = [cell for row in rows for cell in row.cells[:2]]
    return all(map(is_whole, cells)) and max(map(int, cells)) <= nodes - int("0" in cells)


def _loops(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if len(row.cells) > 1 and row.cells[0] == row.cells[1]]


def _repeats(rows: Sequence[Row]) -> bool:
    """Return whether the rows can be no edges: one is from a node to itself, or between a pair as another one."""
    pairs = [frozenset(row.cells[:2]) for row in rows]
    return len(set(pairs)) < len(pairs) or any(len(pair) == 1 for pair in pairs)


def _has_diagonal(rows: Sequence[Row]) -> bool:
    """Return whether enough variables, which are numbered, have an entry of their own."""
    names = {cell for row in rows for cell in row.cells[:2]}
    return all(map(is_whole, names)) and len({row.cells[0] for row in _loops(rows)}) >= DIAGONAL_SHARE * len(names)


def _may_be_terms(rows: Sequence[Row]) -> bool:
    """Return whether rows can be `i j value` of a QUBO: some of one variable, and each pair once, in one order."""
    pairs = [(int(row.cells[0]), int(row.cells[1])) for row in rows]
    is_ordered = all(i <= j for i, j in pairs) or all(i >= j for i, j in pairs)
    return len(rows) == 3 and bool(_loops(rows)) and is_ordered and len(set(pairs)) == len(pairs)


def _is_time(cell: str) -> bool:
    return cell.isascii() and cell.isdigit() and len(cell) >= TIME


def _check_named(table: Rows) -> None:
    """Raise ProblemError for a table with names of columns whose first columns are not both of nodes."""
    header, *rows = table.rows
    names = [name.lower() for name in header.cells]
    for row in rows if "type" in names else ():
        if row.cells[names.index("type")].lower() == "directed":
            raise table.error(row.line, "the edge is directed", "Give undirected edges.")
    ends = [next((names.index(name) for name in each if name in names), None) for each in (SOURCES, TARGETS)]
    if None not in ends:
        _check_nodes(table, [Row(row.line, tuple(row.cells[int(end or 0)] for end in ends)) for row in rows])
    if set(names) & {*SOURCES} and set(names) & {*TARGETS}:
        return
    first = int(names[0] == "")  # an index, as pandas writes it
    shown = [Row(row.line, row.cells[first : first + 2]) for row in rows]
    _check_kinds(table, shown, header.cells[first : first + 2])


def _check_nodes(table: Rows, rows: Sequence[Row]) -> None:
    """Raise ProblemError for a cell that names no node: a number that is not whole, or a part of printed brackets."""
    for row in rows:
        for cell in row.cells[:2]:
            if is_number(cell) and not is_whole(cell):
                problem = f"{cell[:40]!r} in a column of nodes is no name and no whole number"
                raise table.error(row.line, problem, f"Write `node node weight`. {_AS_EDGES}")
            if any(cell.count(opening) != cell.count(closing) for opening, closing in ("()", "[]", "{}")):
                problem = f"{cell[:40]!r} in a column of nodes has a bracket that is not closed"
                raise table.error(row.line, problem, "Write `node node weight`, without brackets.")


def _check_kinds(table: Rows, rows: Sequence[Row], names: Sequence[str]) -> None:
    """Raise ProblemError where one column has numbers and the other has words: then they are not nodes of one graph."""
    numbers = [all(is_number(row.cells[column]) for row in rows) for column in range(2)]
    words = [not any(is_number(row.cells[column]) for row in rows) for column in range(2)]
    if (numbers[0] and words[1]) or (words[0] and numbers[1]):
        kinds = ("numbers", "names") if numbers[0] else ("names", "numbers")
        problem = (
            f"the column {names[0][:40]!r} has {kinds[0]} and {names[1][:40]!r} has {kinds[1]}: this is a table, and "
            "not the edges of a graph"
        )
        remedy = "Name the columns of edges source and target. A knapsack and other tables are given as a QUBO."
        raise table.error(rows[0].line, problem, remedy)


def _check_comments(table: Rows) -> None:
    """Raise ProblemError where the comments state other counts than the rows have, or a directed graph."""
    kind = konect_kind(table)
    if kind in ("asym", "bip") or any(map(_DIRECTED.search, table.comments)):
        what = "has two sets of nodes" if kind == "bip" else "is directed"
        raise table.error(1, f"the comments say that the graph {what}", _AS_EDGES)
    counts = stated_counts(table)
    if counts is None:
        return
    nodes, edges = counts
    found = len({cell for row in table.rows for cell in row.cells[:2]})
    if edges != len(table.rows) or found > nodes:
        problem = (
            f"the comments state {nodes} nodes and {edges} edges, and {len(table.rows)} lines of {found} nodes follow"
        )
        raise table.error(None, problem, f"Give the whole file. {_AS_EDGES}")


def _check_cut(table: Rows) -> None:
    """Raise ProblemError where the text ends within its last number: all others have one number of decimals more."""
    cells = [row.cells[-1] for row in table.rows]
    decimals = [len(cell.partition(".")[2]) for cell in cells]
    if table.is_open and len(cells) > 2 and set(decimals[:-1]) == {decimals[0]} and decimals[-1] < decimals[0]:
        problem = f"the text ends at {cells[-1]!r}, with fewer decimals than each other line: it was cut"
        raise table.error(table.rows[-1].line, problem, "Give the whole file, or end its last line.")


def _too_wide(table: Rows) -> ProblemError:
    row = table.rows[0]
    width = len(row.cells)
    times = next((n for n in range(width) if all(_is_time(each.cells[n]) for each in table.rows)), None)
    if times is not None:
        problem = f"column {times + 1} has numbers such as {row.cells[times]}, which may be times"
        return table.error(row.line, problem, "To take `node node weight` and leave the rest: --format edges.")
    problem = f"the table has {width} columns and {len(table.rows)} rows, and no header"
    return table.error(row.line, problem, "Add one that names the columns of edges: source,target,weight.")


def _ragged(table: Rows) -> ProblemError:
    """Return the error of rows of unequal lengths, with the first that differs from most."""
    counted = Counter(len(row.cells) for row in table.rows)
    usual = max(counted, key=lambda width: (counted[width], width))
    odd = next(row for row in table.rows if len(row.cells) != usual)
    has_weights = all(is_number(row.cells[2]) for row in table.rows if len(row.cells) == 3)
    if usual in (2, 3) and len(odd.cells) in (1, 2, 3) and (has_weights or len(odd.cells) == 1):
        what = f"{' '.join(odd.cells)[:80]!r} has {len(odd.cells)} column(s), and most lines have {usual}"
        missing = " a weight is missing, or" if (len(odd.cells), usual) == (2, 3) else ""
        return table.error(odd.line, f"{what}:{missing} the line was cut", "Give each line the same columns.")
    return _no_edge(table, next((row for row in table.rows if len(row.cells) not in (2, 3)), odd))


def _no_edge(table: Rows, row: Row) -> ProblemError:
    what = f"{' '.join(row.cells)[:80]!r} is not two nodes and an optional weight"
    remedy = "Write `node node` or `node node weight` on each line."
    if len(table.widths) > 1 or not any(map(is_number, row.cells[2:])):
        remedy += " An adjacency list is read in Python: hl.qaoa(networkx.read_adjlist(FILE))."
    return table.error(row.line, what, remedy)
