"""Reads binary problems from text, whatever their form: graphs, matrices, spins, numbers, portfolios."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms import qubo
from hybridloop.algorithms.graph_formats import read_graphml, read_node_link
from hybridloop.algorithms.graphs import MOST_NODES, Graph, read_edge_list
from hybridloop.algorithms.ising import Ising, from_qubo, is_usable
from hybridloop.algorithms.lined_json import LinedJson, read_json
from hybridloop.algorithms.qubo import BinaryProblem
from hybridloop.errors import InputError, ProblemError

FORMS = (
    "an edge list, GraphML, node-link JSON, or JSON with `qubo`, `h` and `J`, `numbers`, `returns`, "
    "or a dimod BinaryQuadraticModel"
)


class GraphProblem(enum.StrEnum):
    """What is asked of a graph; other texts say themselves what they ask."""

    MAX_CUT = "max-cut"
    INDEPENDENT_SET = "independent-set"


def read_binary_problem(text: str, source: str, asked: GraphProblem = GraphProblem.MAX_CUT) -> BinaryProblem:
    """The problem of a text, known by how it begins: `<` for GraphML, `{` for JSON, else an edge list.

    JSON has one of these sets of keys, with `offset` beside the first two if there is one:
    `qubo`: the rows of Q, or `[i, j, value]` triples under `terms` with `variables`; `h` and `J`: the fields, and
    `[i, j, value]` triples; `numbers` to part; `returns`, `covariance`, `risk_aversion`, `budget`; a dimod
    BinaryQuadraticModel's `to_serializable`; or node-link's `nodes` and `links`. Raises InputError where something is
    `asked` of a text that is no graph.
    """
    begins = text.lstrip("\ufeff \t\r\n")[:1]
    if not begins:
        raise ProblemError(source, None, "the text is empty", f"Give {FORMS}.")
    if begins == "<":
        return _of_graph(read_graphml(text, source), asked)
    if begins != "{":
        return _of_graph(read_edge_list(text, source), asked)
    document = read_json(text.lstrip("\ufeff"), source)
    readers: tuple[tuple[str, Callable[[LinedJson], BinaryProblem]], ...] = (
        ("nodes", lambda graph: _of_graph(read_node_link(graph), asked)),
        ("linear_biases", _dimod),
        ("qubo", _qubo),
        ("J", _ising),
        ("numbers", _numbers),
        ("returns", _portfolio),
    )
    for key, reader in readers:
        if key in document.value:
            if key != "nodes" and asked is not GraphProblem.MAX_CUT:
                what = f"{source} is no graph, and says itself what it asks"
                raise InputError("objective", what, "Leave the objective out.")
            try:
                return reader(document)
            except ProblemError:
                raise
            except InputError as error:  # of a builder, which knows no file
                raise ProblemError(source, None, error.problem.removeprefix(f"{source}: "), error.remedy) from error
    raise document.refusal(document.value, "none of its keys says what it asks for", f"Give {FORMS}.")


def _of_graph(graph: Graph, asked: GraphProblem) -> BinaryProblem:
    return qubo.max_cut(graph) if asked is GraphProblem.MAX_CUT else qubo.independent_set(graph)


def _qubo(document: LinedJson) -> BinaryProblem:
    stated, offset = document.value["qubo"], _number(document, "offset", 0.0)
    if isinstance(stated, dict):
        count = _count(document, stated)
        matrix = np.zeros((count, count))
        for (i, j), value in _triples(document, stated, "terms", count).items():
            matrix[i, j] = value
        return qubo.qubo(matrix, document.source, offset=offset)
    return qubo.qubo(_matrix(document, "qubo"), document.source, offset=offset)


def _ising(document: LinedJson) -> BinaryProblem:
    fields = _row(document, "h")
    couplings: dict[tuple[int, int], float] = {}
    for (i, j), value in _triples(document, document.value, "J", len(fields)).items():
        if i == j:
            raise document.refusal(document.value, f"J couples spin {i} to itself", "Leave such terms out.")
        pair = (min(i, j), max(i, j))
        couplings[pair] = couplings.get(pair, 0.0) + value
    return qubo.spin_glass(Ising(fields, couplings, _number(document, "offset", 0.0)), document.source)


def _dimod(document: LinedJson) -> BinaryProblem:
    """What `dimod.BinaryQuadraticModel.to_serializable()` gives, read without the library."""
    value = document.value
    if value.get("use_bytes"):
        raise document.refusal(value, "its numbers are bytes", "Serialize it with use_bytes=False.")
    linear, heads, tails, biases = (
        _row(document, name) for name in ("linear_biases", "quadratic_head", "quadratic_tail", "quadratic_biases")
    )
    count, labels = len(linear), value.get("variable_labels")
    if not isinstance(labels, list) or len(labels) != count or not len(heads) == len(tails) == len(biases):
        raise document.refusal(value, "its lists differ in length", "Serialize it again.")
    matrix = np.diag(linear)
    for head, tail, bias in zip(heads, tails, biases, strict=True):
        if not (0 <= head < count and 0 <= tail < count) or head == tail or head % 1 or tail % 1:
            problem = f"a quadratic bias is between {head:g} and {tail:g}, of {count} variables"
            raise document.refusal(value, problem, "Serialize it again.")
        matrix[int(min(head, tail)), int(max(head, tail))] += bias
    offset, names = _number(document, "offset", 0.0), [str(label) for label in labels]
    if value.get("variable_type") == "SPIN":
        pairs = {(int(i), int(j)): float(matrix[i, j]) for i, j in np.argwhere(np.triu(matrix, 1))}
        return qubo.spin_glass(Ising(linear, pairs, offset), document.source, names)
    return qubo.spin_glass(from_qubo(matrix, offset), document.source, names)


def _numbers(document: LinedJson) -> BinaryProblem:
    return qubo.number_partitioning(_row(document, "numbers").tolist(), document.source)


def _portfolio(document: LinedJson) -> BinaryProblem:
    budget = document.value.get("budget")
    if isinstance(budget, bool) or not isinstance(budget, int):
        raise document.refusal(document.value, f"the budget is {budget!r}", "Give a whole number of assets.")
    return qubo.portfolio(
        _row(document, "returns"),
        _matrix(document, "covariance"),
        risk_aversion=_number(document, "risk_aversion", None),
        budget=budget,
        source=document.source,
    )


def _number(document: LinedJson, key: str, default: float | None) -> float:
    value = document.value.get(key, default)
    if not _is_number(value):
        raise document.refusal(document.value, f"{key!r} is {_shown(value)}, no finite number", "Give one.")
    return float(value)


def _row(document: LinedJson, key: str) -> NDArray[np.float64]:
    value = document.value.get(key)
    if not isinstance(value, list) or not all(map(_is_number, value)):
        raise document.refusal(document.value, f"{key!r} is no list of finite numbers: {_shown(value)}", "Give one.")
    return np.array(value, float)


def _matrix(document: LinedJson, key: str) -> NDArray[np.float64]:
    rows = document.value.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == len(rows) for row in rows):
        raise document.refusal(document.value, f"{key!r} is no square matrix", "Give as many rows as columns.")
    for number, row in enumerate(rows):
        if not all(map(_is_number, row)):
            problem = f"row {number} of {key!r} has what is no finite number: {_shown(row)}"
            raise document.refusal(document.value, problem, "Give finite numbers.")
    return np.array(rows, float)


def _triples(document: LinedJson, of: dict[str, Any], key: str, count: int) -> dict[tuple[int, int], float]:
    """`[i, j, value]` rows; of one pair that is there twice, as (i, j) both times, the sum."""
    rows, found = of.get(key), dict[tuple[int, int], float]()
    for row in rows if isinstance(rows, list) else [rows]:
        if not (isinstance(row, list) and len(row) == 3 and _is_number(row[2])):
            raise document.refusal(of, f"{key!r} has {_shown(row)}, which is no [i, j, value]", "Correct it.")
        if not all(isinstance(index, int) and not isinstance(index, bool) and 0 <= index < count for index in row[:2]):
            problem = f"{key!r} has {_shown(row)}, whose indices are not both of 0 to {count - 1}"
            raise document.refusal(of, problem, "Number the variables from 0.")
        found[row[0], row[1]] = found.get((row[0], row[1]), 0.0) + row[2]
    return found


def _count(document: LinedJson, stated: dict[str, Any]) -> int:
    count = stated.get("variables")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_NODES:
        problem = f"'variables' is {_shown(count)}, no whole number of 1 to {MOST_NODES}"
        raise document.refusal(stated, problem, "Say how many there are.")
    return count


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and is_usable(float(value))
    except OverflowError:  # a whole number with hundreds of digits
        return False


def _shown(value: object) -> str:
    return repr(value)[:60]
