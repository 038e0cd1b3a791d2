"""Lists, tuples and dicts: weighted edges, QUBO and Ising terms, Pauli terms, and JSON formats."""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from hybridloop.errors import InputError
from hybridloop.inputs.formats.constrained import LIMITS
from hybridloop.inputs.formats.json_text import check_names
from hybridloop.inputs.problem_objects import not_a_problem
from hybridloop.inputs.problem_objects.graphs import graph_text
from hybridloop.inputs.problem_objects.matrices import (
    constrained_text,
    distinct_names,
    ising_text,
    polynomial_text,
    qubo_text,
)
from hybridloop.inputs.problem_objects.operators import pauli_text

_FORMATS = {  # names of the JSON formats, by the key that tells the kind
    "qubo": "QUBO",
    "J": "Ising",
    "numbers": "numbers",
    "returns": "portfolio",
    "terms": "operator",
    "nodes": "graph",
    "linear_biases": "Ising",
    "polynomial": "polynomial",
    "labs": "sequence",
}
_POLYNOMIAL = "Give terms such as {('a', 'b', 'c'): 1.5, ('a',): -1.0}."
_CONSTRAINT = "Give ({'a': 2, 'b': 3}, '<=', 4): the coefficients, the sense (<=, =, >=) and the bound."
_EDGES = "Give edges such as [('a', 'b', 1.5), ('b', 'c', 2.0)], or {('a', 'b'): 1.5}."


def plain_values(value: Any) -> tuple[str, str]:
    """Return the name and text of a problem of Python's own types. Raises InputError."""
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, list | tuple | set | frozenset):
        return _rows(sorted(value, key=repr) if isinstance(value, set | frozenset) else list(value))  # no hash's order
    raise not_a_problem(value)


def _mapping(value: Mapping[Any, Any]) -> tuple[str, str]:
    if "h" in value and "J" in value and isinstance(value["J"], Mapping):
        check_names({str(key): None for key in value}, ("h", "J", "offset"), "problem")
        fields = value["h"] if isinstance(value["h"], Mapping) else dict(enumerate(value["h"]))
        if any(isinstance(spins, tuple) and len(spins) > 2 for spins in value["J"]):
            terms = {**{(spin,): field for spin, field in fields.items()}, **value["J"]}
            return "Ising", polynomial_text(_numbered(terms), value.get("offset", 0.0), vartype="SPIN")
        return "Ising", ising_text(fields, _merged(value["J"]), value.get("offset", 0.0))
    if isinstance(value.get("maximize", value.get("minimize")), Mapping):
        return "program", _constrained(value)
    for key, name in _FORMATS.items():
        if key in value:
            return name, _json(value)
    if value and all(isinstance(key, str) and _is_label(key) for key in value):
        return "operator", pauli_text(value.items())
    if value and all(isinstance(key, tuple) for key in value) and {len(key) for key in value} != {2}:
        return "polynomial", polynomial_text(_numbered(value))  # of bits, as the terms of a QUBO are
    if not value or not all(isinstance(key, tuple) and len(key) == 2 for key in value):
        raise InputError("problem", "the dict has neither pairs of nodes nor a known key", _EDGES)
    merged = _merged(value)
    if not any(first == second for first, second in merged):
        if any(weight < 0 for weight in merged.values()):
            remedy = "Give a networkx graph for edges; add a term such as (0, 0): 0.0 to the dict for a QUBO."
            raise InputError("problem", "the dict may have the weights of edges or the terms of a QUBO", remedy)
        return "graph", graph_text(_ends(merged), [(*pair, weight) for pair, weight in value.items()])
    return "QUBO", qubo_text(_ends(merged), merged)


def _constrained(value: Mapping[Any, Any]) -> str:
    """Return the text of terms to `minimize` or `maximize`, and of `constraints`: (coefficients, sense, bound) each."""
    sense = "maximize" if "maximize" in value else "minimize"
    check_names({str(key): None for key in value}, (sense, "constraints"), "problem")
    terms = {product if isinstance(product, tuple) else (product,): each for product, each in value[sense].items()}
    given = value.get("constraints", ())
    named = (
        given.items() if isinstance(given, Mapping) else ((f"constraint {n}", each) for n, each in enumerate(given, 1))
    )
    rows = list[tuple[str, Mapping[Any, Any], str, float]]()
    for name, row in named:
        is_whole = isinstance(row, Sequence) and len(row) == 3 and isinstance(row[0], Mapping)
        if not is_whole or row[1] not in LIMITS or not _is_number(row[2]) or not all(map(_is_number, row[0].values())):
            raise InputError("problem", f"{str(name)[:80]} is no constraint: {row!r:.80}", _CONSTRAINT)
        rows.append((str(name), row[0], row[1], float(row[2])))
    mentioned = [name for product in _numbered(terms) for name in product]
    mentioned += [name for _, coefficients, *_ in rows for name in coefficients]
    return constrained_text(distinct_names(mentioned), terms, rows, maximize=sense == "maximize")


def _rows(rows: list[Any]) -> tuple[str, str]:
    lengths = {len(row) if isinstance(row, Sequence) and not isinstance(row, str) else 0 for row in rows}
    if not rows or 0 in lengths:
        remedy = 'Give {"numbers": [3, 1, 2]}.' if rows and all(map(_is_number, rows)) else _EDGES
        raise InputError("problem", "the list has no edges", remedy)
    if lengths == {2} and all(isinstance(row[0], str) and _is_label(row[0]) and _is_number(row[1]) for row in rows):
        return "operator", pauli_text(rows)
    if lengths == {len(rows)} and all(_is_number(cell) for row in rows for cell in row):
        if any(isinstance(row, list) for row in rows) or any(node < 0 for row in rows for node in row[:2]):
            remedy = "Give edges as tuples of nodes, or numpy.array(rows)."
            raise InputError("problem", "the rows may be edges or a matrix", remedy)
    if not lengths <= {2, 3} or any(map(_has_fraction, rows)) or not _are_nodes(rows):
        raise InputError("problem", "an edge has two nodes and an optional weight", _EDGES)
    edges = [(row[0], row[1], row[2] if len(row) > 2 else None) for row in rows]
    return "graph", graph_text(dict.fromkeys(node for edge in edges for node in edge[:2]), edges)


def _are_nodes(rows: Sequence[Any]) -> bool:
    """Return whether the first two of each row can name nodes: what can't be hashed, such as a list, can not."""
    try:
        return all(hash(node) is not None for row in rows for node in row[:2])
    except TypeError:
        return False


def _merged(terms: Mapping[Any, Any]) -> dict[tuple[Any, Any], float]:
    """Return the terms with (i, j) and (j, i) added up."""
    sums: dict[tuple[Any, Any], float] = {}
    for pair, value in terms.items():
        if not (isinstance(pair, tuple) and len(pair) == 2 and _is_number(value)):
            raise InputError("problem", f"{pair!r}: {value!r} is no pair with a number", _EDGES)
        key = (pair[1], pair[0]) if (pair[1], pair[0]) in sums else pair
        sums[key] = sums.get(key, 0.0) + float(value)
    return sums


def _numbered(terms: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return the terms, each with a number. Raises InputError for other values."""
    for product, value in terms.items():
        if not _is_number(value):
            raise InputError("problem", f"{product!r}: {value!r} is no product with a number", _POLYNOMIAL)
    return terms


def _ends(terms: Mapping[tuple[Any, Any], float]) -> list[Any]:
    """Return the names in the terms: whole numbers in their order, others in that of appearance."""
    names = list(dict.fromkeys(name for pair in terms for name in pair))
    return sorted(names) if all(isinstance(name, int) for name in names) else names


def _json(value: Mapping[Any, Any]) -> str:
    def plain(inner: Any) -> Any:
        if hasattr(inner, "toarray"):  # a sparse matrix
            inner = inner.toarray()
        if hasattr(inner, "tolist"):  # an array, or a number of NumPy
            return inner.tolist()
        raise TypeError(f"{type(inner).__name__} is no list and no number")

    try:
        return json.dumps(value, default=plain)
    except (TypeError, ValueError) as error:
        raise InputError("problem", f"the dict can't be written as JSON: {error}", "Give lists and numbers.") from error


def _is_label(text: str) -> bool:
    return bool(text) and not set(text) - set("IXYZ")


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _has_fraction(row: Sequence[Any]) -> bool:
    """Return whether a number that names a node is no whole one."""
    return any(isinstance(node, float) for node in row[:2])
