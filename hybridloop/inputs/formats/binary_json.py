"""Reader for binary problems in JSON: QUBOs, spins, polynomials, sequences, numbers, portfolios, dimod and bqpjson."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.binary.constraints import Linear
from hybridloop.algorithms.binary.graphs import MAX_NAME_LENGTH, MAX_NODES
from hybridloop.algorithms.binary.ising import Ising, Spins, is_in_range, ising_from_bits, ising_from_qubo
from hybridloop.algorithms.binary.problem import BinaryProblem, EncodedInteger, Sense
from hybridloop.algorithms.binary.problem_kinds import (
    bit_polynomial,
    constrained,
    low_autocorrelation,
    number_partitioning,
    portfolio,
    qubo,
    spin_glass,
)
from hybridloop.inputs.formats.constrained import LIMITS, limits_of
from hybridloop.inputs.formats.json_text import JsonDocument, is_number
from hybridloop.inputs.formats.tables import SquareMatrix

_NAMES = {  # names of each kind's object, by the name that tells the kind
    "qubo": ("qubo", "offset", "maximize", "constraints"),
    "J": ("h", "J", "offset"),
    "polynomial": ("polynomial", "vartype", "offset", "maximize", "constraints", "integers"),
    "labs": ("labs",),
    "numbers": ("numbers",),
    "returns": ("returns", "covariance", "risk_aversion", "budget", "assets"),
    "linear_biases": (
        *("linear_biases", "quadratic_biases", "quadratic_head", "quadratic_tail", "offset"),
        *("variable_labels", "variable_type", "num_variables", "num_interactions"),
        *("type", "version", "use_bytes", "bias_type", "index_type", "info"),
    ),
    "variable_ids": (
        *("version", "id", "metadata", "variable_ids", "variable_domain", "scale", "offset"),
        *("linear_terms", "quadratic_terms", "description", "solutions"),
    ),
}
_CONSTRAINT = 'Give {"name": "capacity", "terms": [["a", 2], ["b", 3]], "sense": "<=", "bound": 4}.'


def problem_of_document(document: JsonDocument) -> BinaryProblem | None:
    """Return the problem of a JSON object; None where no key tells its kind. Raises ProblemError and InputError."""
    for key, reader in _READERS.items():
        if key in document.value:
            document.check_names(document.value, _NAMES[key])
            return reader(document)
    return None


def _qubo(document: JsonDocument) -> BinaryProblem:
    entries, offset = document.value["qubo"], _number(document, "offset", 0.0)
    if isinstance(entries, dict):
        document.check_names(entries, ("variables", "terms"))
        names = _variable_names(document, entries)
        count = _count_variables(document, entries) if names is None else len(names)
        matrix = np.zeros((count, count))
        for (i, j), value in _triples(document, entries, "terms", names or count):
            matrix[i, j] += value
    else:
        names, matrix = None, _matrix(document, "qubo")
    if _is_constrained(document):
        return _constrained(document, ising_from_qubo(matrix, offset), names)
    return qubo(matrix, document.source, offset=offset, labels=names)


def _is_constrained(document: JsonDocument) -> bool:
    return "constraints" in document.value or "maximize" in document.value


def _constrained(document: JsonDocument, objective: Ising, names: list[str] | None, reading: str = "") -> BinaryProblem:
    """Return an objective of bits with the document's constraints, and its sense."""
    maximizes, rows = document.value.get("maximize", False), document.value.get("constraints", [])
    if not isinstance(maximizes, bool):
        raise document.error(f"'maximize' is {_short_repr(maximizes)}", "Give true or false.")
    if not isinstance(rows, list):
        raise document.error("'constraints' is no list", "Give a list of constraints.")
    variables = names or objective.num_variables
    linears = [_linear(document, row, variables, f"constraint {number}") for number, row in enumerate(rows, 1)]
    sense = Sense.MAXIMIZE if maximizes else Sense.MINIMIZE
    return constrained(objective, linears, sense=sense, source=document.source, labels=names, reading=reading)


def _linear(document: JsonDocument, row: Any, variables: int | Sequence[str], default: str) -> Linear:
    if not isinstance(row, dict):
        raise document.error(f"{default} is no object: {_short_repr(row)}", _CONSTRAINT)
    name = row.get("name", default)
    if not isinstance(name, str) or not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise document.error(f"{default} has the name {_short_repr(name)}", "Give a short name.")
    document.check_names(row, ("name", "one_hot") if "one_hot" in row else ("name", "terms", "sense", "bound"))
    sense, bound = ("=", 1.0) if "one_hot" in row else (row.get("sense"), row.get("bound"))
    if sense not in LIMITS or not _is_number(bound):
        raise document.error(f"{name} has no sense and bound", _CONSTRAINT)
    if isinstance(ones := row.get("one_hot"), list):
        row = {"one_hot": [[one, 1.0] for one in ones]}
    terms = _terms(document, row, "one_hot" if "one_hot" in row else "terms", variables, least=1)
    if longer := next((given for given, _ in terms if len(given) > 1), None):
        raise document.error(f"{name} has a product of {len(longer)} variables", "Give linear constraints.")
    return Linear.of(name, [(given[0], value) for given, value in terms], *limits_of(sense, float(bound)))


def _bqpjson(document: JsonDocument) -> BinaryProblem:
    """Read bqpjson 1.0 (C. Coffrin, Los Alamos National Laboratory): scale times the sum of all terms and offset."""
    value, names = document.value, document.value.get("variable_ids")
    if not isinstance(names, list) or not names or len(set(map(str, names))) < len(names) or len(names) > MAX_NODES:
        raise document.error(f"'variable_ids' is no list of 1 to {MAX_NODES} numbers", "Export the problem again.")
    places = {str(name): number for number, name in enumerate(names)}
    scale, offset = _number(document, "scale", 1.0), _number(document, "offset", 0.0)
    sums: dict[tuple[int, int], float] = {}
    for key, ends in (("linear_terms", ("id", "id")), ("quadratic_terms", ("id_tail", "id_head"))):
        rows = value.get(key, [])
        for row in rows if isinstance(rows, list) else [rows]:
            given = [str(row.get(end)) for end in ends] if isinstance(row, dict) else []
            if not given or not set(given) <= places.keys() or not _is_number(row.get("coeff")):
                problem = f"an entry of {key!r} is no term of the variables: {_short_repr(row)}"
                raise document.error(problem, "Export the problem again.")
            i, j = sorted(places[end] for end in given)
            sums[i, j] = sums.get((i, j), 0.0) + scale * row["coeff"]
    labels = tuple(map(str, names))
    if value.get("variable_domain") not in ("spin", "boolean"):
        raise document.error("'variable_domain' is neither spin nor boolean", "Give one of them.")
    is_spin = value["variable_domain"] == "spin"
    found = (labels, sums, document.source, "read as bqpjson")
    return SquareMatrix(*found, is_terms=True, is_spin=is_spin, offset=scale * offset).as_problem()


def _ising(document: JsonDocument) -> BinaryProblem:
    fields = _row(document, "h")
    terms = _terms(document, document.value, "J", len(fields))
    for spins, _ in terms:
        if len(set(spins)) < len(spins):
            repeated = next(spin for spin in spins if spins.count(spin) > 1)
            raise document.error(f"J couples spin {repeated} to itself", "Remove such terms.")
    energy = Ising.of(len(fields), [*(((i,), float(h)) for i, h in enumerate(fields)), *terms])
    return spin_glass(energy.plus(_constant(document, len(fields))), document.source)


def polynomial(document: JsonDocument, reading: str = "") -> BinaryProblem:
    """Return the problem of a polynomial of bits or spins. Raises ProblemError."""
    entries, vartype = document.value["polynomial"], document.value.get("vartype", "BINARY")
    if not isinstance(entries, dict) or vartype not in ("BINARY", "SPIN"):
        remedy = 'Give {"polynomial": {"variables": n, "terms": [[i, j, k, value], …]}, "vartype": "BINARY" or "SPIN"}.'
        raise document.error("the polynomial is no object with terms of BINARY or SPIN variables", remedy)
    document.check_names(entries, ("variables", "terms"))
    names = _variable_names(document, entries)
    count = _count_variables(document, entries) if names is None else len(names)
    terms = _terms(document, entries, "terms", names or count, least=0)
    offset = _constant(document, count)
    if vartype == "SPIN" and _is_constrained(document):
        raise document.error("constraints are of BINARY variables, and the polynomial is of SPIN ones", "Give bits.")
    if vartype == "SPIN":
        return spin_glass(Ising.of(count, terms).plus(offset), document.source, names)
    if _is_constrained(document):
        products = [(dict.fromkeys(bits, True), value) for bits, value in terms]
        problem = _constrained(document, ising_from_bits(count, products, offset.offset), names, reading)
    else:
        problem = bit_polynomial(count, [*terms, ((), offset.offset)], document.source, names)
    integers = _integers(document, problem.labels)
    if not integers:
        return problem
    number = f"{len(integers)} integer{'s' * (len(integers) > 1)} as {sum(len(each.bits) for each in integers)} bits"
    return replace(problem, integers=integers, title=f"{problem.title}, {number} (bounded-coefficient encoding)")


def _integers(document: JsonDocument, labels: Sequence[str]) -> tuple[EncodedInteger, ...]:
    """Read whole-number variables: their names, least values, and bits with weights. Raises ProblemError."""
    remedy = 'Give {"integers": [{"name": "x", "least": 0, "bits": [["x.0", 1], ["x.1", 2]]}]}.'
    place, found, taken = {label: number for number, label in enumerate(labels)}, list[EncodedInteger](), set[int]()
    given = document.value.get("integers", [])
    for entry in given if isinstance(given, list) else [None]:
        if not isinstance(entry, dict) or entry.keys() != {"name", "least", "bits"} or not _is_bits(entry["bits"]):
            raise document.error(f"'integers' has {_short_repr(entry)}", remedy)
        bits = tuple((place.get(label, -1), weight) for label, weight in entry["bits"])
        is_named = isinstance(entry["name"], str) and isinstance(entry["least"], int)
        if not is_named or any(number < 0 or number in taken for number, _ in bits):
            raise document.error(f"'integers' has {_short_repr(entry)}", remedy)
        taken |= {number for number, _ in bits}
        found.append(EncodedInteger(entry["name"], entry["least"], bits))
    return tuple(found)


def _is_bits(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and type(pair[1]) is int
        for pair in value
    )


def _constant(document: JsonDocument, count: int) -> Ising:
    return Ising(np.zeros(count), {}, _number(document, "offset", 0.0))


def _labs(document: JsonDocument) -> BinaryProblem:
    length = document.value["labs"]
    if isinstance(length, bool) or not isinstance(length, int):
        raise document.error(f"the length is {_short_repr(length)}", "Give a whole number of spins.")
    return low_autocorrelation(length, document.source)


def _dimod(document: JsonDocument) -> BinaryProblem:
    """Read the result of `dimod.BinaryQuadraticModel.to_serializable()`, without using dimod."""
    value = document.value
    if value.get("use_bytes"):
        raise document.error("the numbers are stored as bytes", "Serialize the model with use_bytes=False.")
    linear, heads, tails, biases = (
        _row(document, name) for name in ("linear_biases", "quadratic_head", "quadratic_tail", "quadratic_biases")
    )
    count, labels = len(linear), value.get("variable_labels")
    if not isinstance(labels, list) or len(labels) != count or not len(heads) == len(tails) == len(biases):
        raise document.error("the lists differ in length", "Serialize the model again.")
    matrix = np.diag(linear)
    for head, tail, bias in zip(heads, tails, biases, strict=True):
        if not (0 <= head < count and 0 <= tail < count) or head == tail or head % 1 or tail % 1:
            problem = f"a quadratic bias couples {head:g} and {tail:g}, of {count} variables"
            raise document.error(problem, "Serialize the model again.")
        matrix[int(min(head, tail)), int(max(head, tail))] += bias
    offset, names = _number(document, "offset", 0.0), [str(label) for label in labels]
    if value.get("variable_type", "BINARY") not in ("SPIN", "BINARY"):
        raise document.error(f"the variables are {value['variable_type']!r:.40}", "Give binary variables or spins.")
    if value.get("variable_type") == "SPIN":
        pairs = {(int(i), int(j)): float(matrix[i, j]) for i, j in np.argwhere(np.triu(matrix, 1))}
        return spin_glass(Ising(linear, pairs, offset), document.source, names)
    return qubo(matrix, document.source, offset=offset, labels=names)


def _numbers(document: JsonDocument) -> BinaryProblem:
    return number_partitioning(_row(document, "numbers").tolist(), document.source)


def _portfolio(document: JsonDocument) -> BinaryProblem:
    budget = document.value.get("budget")
    if isinstance(budget, bool) or not isinstance(budget, int):
        raise document.error(f"the budget is {budget!r}", "Give a whole number of assets.")
    return portfolio(
        _row(document, "returns"),
        _matrix(document, "covariance"),
        risk_aversion=_number(document, "risk_aversion", None),
        budget=budget,
        source=document.source,
        assets=_asset_names(document),
    )


def _asset_names(document: JsonDocument) -> list[str] | None:
    names, count = document.value.get("assets"), len(_row(document, "returns"))
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isprintable() for name in names):
        raise document.error("'assets' is not a list of names", "Give a name for each return.")
    if len(set(names)) != count or len(names) != count:
        problem = f"'assets' has {len(set(names))} different names for {count} returns"
        raise document.error(problem, "Give a name for each return.")
    return names


def _number(document: JsonDocument, key: str, default: float | None) -> float:
    value = document.value.get(key, default)
    if not _is_number(value):
        raise document.error(f"{key!r} is not a finite number: {_short_repr(value)}", "Give one.")
    return float(value)


def _row(document: JsonDocument, key: str) -> NDArray[np.float64]:
    value = document.value.get(key)
    if not isinstance(value, list) or not all(map(_is_number, value)):
        problem = f"{key!r} is not a list of finite numbers: {_short_repr(value)}"
        raise document.error(problem, "Give one.")
    return np.array(value, float)


def _matrix(document: JsonDocument, key: str) -> NDArray[np.float64]:
    rows = document.value.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == len(rows) for row in rows):
        raise document.error(f"{key!r} is not a square matrix", "Give as many rows as columns.")
    for number, row in enumerate(rows):
        if not all(map(_is_number, row)):
            problem = f"row {number} of {key!r} has an entry that is not a finite number: {_short_repr(row)}"
            raise document.error(problem, "Give finite numbers.")
    return np.array(rows, float)


def _triples(
    document: JsonDocument, parent: dict[str, Any], key: str, variables: int | Sequence[str]
) -> list[tuple[Spins, float]]:
    """Read `[i, j, value]` rows of `variables`, their count or names."""
    terms = _terms(document, parent, key, variables)
    if longer := next((given for given, _ in terms if len(given) > 2), None):
        problem = f"an entry of {key!r} has {len(longer)} variables, and a QUBO's have two"
        raise document.error(problem, "Give it as 'polynomial'.")
    return terms


def _terms(
    document: JsonDocument, parent: dict[str, Any], key: str, variables: int | Sequence[str], *, least: int = 2
) -> list[tuple[Spins, float]]:
    """Read `[i, j, …, value]` rows of at least so many `variables`, which are a count or names."""
    rows, terms = parent.get(key), list[tuple[Spins, float]]()
    index_of = {} if isinstance(variables, int) else {name: number for number, name in enumerate(variables)}
    count = variables if isinstance(variables, int) else 0
    for row in rows if isinstance(rows, list) else [rows]:
        if not (isinstance(row, list) and len(row) > least and _is_number(row[-1])):
            problem = f"an entry of {key!r} is not [i, j, value]: {_short_repr(row)}"
            raise document.error(problem, "Correct the entry.")
        given = row[:-1]
        if index_of:
            if not all(isinstance(name, str) and name in index_of for name in given):
                problem = f"an entry of {key!r} names no variable: {_short_repr(row)}"
                raise document.error(problem, "Use the names in 'variables'.")
            given = [index_of[name] for name in given]
        elif not all(isinstance(index, int) and not isinstance(index, bool) and 0 <= index < count for index in given):
            problem = f"an entry of {key!r} has indices outside 0 to {count - 1}: {_short_repr(row)}"
            raise document.error(problem, "Number the variables from 0.")
        terms.append((tuple(given), float(row[-1])))
    return terms


def _variable_names(document: JsonDocument, matrix: dict[str, Any]) -> list[str] | None:
    """Return the names of the variables; None where their number is given."""
    names = matrix.get("variables")
    if not isinstance(names, list):
        return None
    if not 1 <= len(names) <= MAX_NODES or not all(isinstance(name, str) and name for name in names):
        problem = f"'variables' is no list of 1 to {MAX_NODES} names"
        raise document.error(problem, "Give a name for each variable, or their number.")
    if len(set(names)) < len(names):
        raise document.error("two variables have one name", "Give each variable a name of its own.")
    return names


def _count_variables(document: JsonDocument, matrix: dict[str, Any]) -> int:
    count = matrix.get("variables")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_NODES:
        problem = f"'variables' is {_short_repr(count)}, not a whole number from 1 to {MAX_NODES}"
        raise document.error(problem, "Give the number of variables.")
    return count


def _is_number(value: object) -> TypeGuard[float]:
    return is_number(value) and is_in_range(value)


def _short_repr(value: object) -> str:
    return repr(value)[:60]


_READERS: dict[str, Callable[[JsonDocument], BinaryProblem]] = {
    "variable_ids": _bqpjson,
    "linear_biases": _dimod,
    "qubo": _qubo,
    "J": _ising,
    "polynomial": polynomial,
    "labs": _labs,
    "numbers": _numbers,
    "returns": _portfolio,
}
