"""Matrices of NumPy, SciPy and pandas, and quadratic models of dimod, as a graph or a QUBO in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from hybridloop.errors import InputError
from hybridloop.inputs.formats.constrained import constrained_model
from hybridloop.inputs.formats.programs import Row, Variable, whole_variable
from hybridloop.inputs.formats.programs import program as json_of_program
from hybridloop.inputs.formats.tables import SquareMatrix
from hybridloop.inputs.problem_objects import not_a_problem
from hybridloop.inputs.problem_objects.graphs import graph_text

Terms = Mapping[tuple[object, object], float]


def matrix(values: Any) -> tuple[str, str]:
    """Return the name and text of a square matrix of NumPy or SciPy; see `matrix_text`."""
    return matrix_text(values)


def table(frame: Any) -> tuple[str, str]:
    """Return the name and text of a pandas DataFrame, whose index names the rows as its columns name the columns."""
    if not (hasattr(frame, "index") and hasattr(frame, "columns")):
        raise not_a_problem(frame, "Give a square DataFrame, or a list of edges.")
    names = [str(name) for name in frame.index]
    if names != [str(name) for name in frame.columns]:
        problem = "the rows and columns of the table have different names"
        raise InputError("problem", problem, "For edges give list(frame.itertuples(index=False, name=None)).")
    return matrix_text(frame.to_numpy(), names)


def matrix_text(values: Any, names: list[str] | None = None) -> tuple[str, str]:
    """Return the name and text of a square matrix: a graph's weights, or a QUBO, min xᵀQx (`SquareMatrix`)."""
    from scipy.sparse import coo_array

    try:
        entries = coo_array(values)
        entries.sum_duplicates()
        if entries.ndim != 2 or entries.shape[0] != entries.shape[1] or not entries.shape[0]:
            shape = " × ".join(map(str, entries.shape))
            remedy = 'Give as many rows as columns; for numbers to partition give {"numbers": [3, 1, 2]}.'
            raise InputError("problem", f"the matrix has the shape {shape}", remedy)
        rows, columns = (axis.tolist() for axis in entries.coords)
        numbers = entries.data.astype(float, casting="safe").tolist()
    except (TypeError, ValueError) as error:
        raise InputError("problem", f"the matrix has no real numbers: {error}", "Give real numbers.") from error
    labels = tuple(names or map(str, range(entries.shape[0])))
    found = {(i, j): value for i, j, value in zip(rows, columns, numbers, strict=True) if value}
    graph = SquareMatrix(labels, found, "the matrix").as_graph()
    if graph is not None:
        return "graph", graph_text(labels, [(labels[i], labels[j], weight) for i, j, weight in graph.edges])
    return "QUBO", qubo_text(labels, {(labels[i], labels[j]): value for (i, j), value in found.items()})


def qubo_text(variables: Iterable[object], terms: Terms, offset: float = 0.0) -> str:
    """Return JSON of a QUBO, min Σ q_ij x_i x_j + offset, with named variables."""
    names = _distinct(variables)
    rows = [[str(i), str(j), float(value)] for (i, j), value in terms.items()]
    return json.dumps({"qubo": {"variables": names, "terms": rows}, "offset": float(offset)})


def ising_text(fields: Mapping[object, float], couplings: Terms, offset: float = 0.0) -> str:
    """Return JSON of an Ising model with named spins, in the form of dimod's serialized BinaryQuadraticModel."""
    ends = [name for pair in couplings for name in pair]
    names = _distinct(dict.fromkeys([*fields, *ends]))
    position = {name: number for number, name in enumerate(names)}
    return json.dumps(
        {
            "variable_type": "SPIN",
            "variable_labels": names,
            "linear_biases": [float(fields.get(name, 0.0)) for name in dict.fromkeys([*fields, *ends])],
            "quadratic_head": [position[str(i)] for i, _ in couplings],
            "quadratic_tail": [position[str(j)] for _, j in couplings],
            "quadratic_biases": [float(value) for value in couplings.values()],
            "offset": float(offset),
        }
    )


def polynomial_text(terms: Mapping[Iterable[Any], float], offset: float = 0.0, *, vartype: str = "BINARY") -> str:
    """Return JSON of a polynomial of any order: the coefficient of each product of named variables."""
    names = distinct_names(name for product in terms for name in product)
    rows = [[*map(str, product), float(value)] for product, value in terms.items()]
    return json.dumps({"polynomial": {"variables": names, "terms": rows}, "vartype": vartype, "offset": float(offset)})


def quadratic_model(model: Any) -> tuple[str, str]:
    """Return the name and text of a dimod BinaryQuadraticModel, BinaryPolynomial or ConstrainedQuadraticModel."""
    vartype = getattr(getattr(model, "vartype", None), "name", None)
    if hasattr(model, "constraints") and hasattr(model, "objective"):
        _distinct(model.variables)
        return "program", json.dumps(constrained_model(model))
    if vartype not in ("BINARY", "SPIN"):
        raise not_a_problem(model, "Give a dimod.BinaryQuadraticModel or BinaryPolynomial.")
    if isinstance(model, Mapping):
        return "polynomial", polynomial_text(model, vartype=vartype)
    if vartype == "SPIN":
        return "Ising", ising_text(model.linear, model.quadratic, model.offset)
    terms = {(variable, variable): bias for variable, bias in model.linear.items()}
    return "QUBO", qubo_text(model.linear, {**terms, **model.quadratic}, model.offset)


def quadratic_program(program: Any) -> tuple[str, str]:
    """Return the name and text of a QuadraticProgram of qiskit-optimization: bits, integers, linear constraints."""
    if not hasattr(program, "linear_constraints"):
        raise not_a_problem(program, "Give a QuadraticProgram.")
    variables = list[Variable]()
    for variable in program.variables:
        kind = variable.vartype.name
        if kind not in ("BINARY", "INTEGER"):
            what = f"the variable {variable.name[:80]} is {kind.lower()}"
            raise InputError("problem", what, "Declare it binary, or an integer.")
        least, most = variable.lowerbound, variable.upperbound
        is_bit = kind == "BINARY"
        variables.append(
            Variable(variable.name) if is_bit else whole_variable(variable.name, least, most, "the program")
        )
    if program.quadratic_constraints:
        what = f"the constraint {program.quadratic_constraints[0].name[:80]} is quadratic"
        raise InputError("problem", what, "Give linear constraints.")
    objective = program.objective
    linear, quadratic = (part.to_dict(use_name=True) for part in (objective.linear, objective.quadratic))
    terms = {**{(name,): float(value) for name, value in linear.items()}, **quadratic}
    rows = [
        Row(each.name, each.linear.to_dict(use_name=True), each.sense.label, float(each.rhs))
        for each in program.linear_constraints
    ]
    maximizes = objective.sense.name == "MAXIMIZE"
    document = json_of_program(variables, terms, rows, offset=float(objective.constant), maximize=maximizes)
    return str(program.name or "program"), json.dumps(document)


def constrained_text(
    names: list[str],
    terms: Mapping[Any, Any],
    constraints: Iterable[tuple[str, Mapping[Any, Any], str, float]],
    *,
    offset: float = 0.0,
    maximize: bool = False,
) -> str:
    """Return JSON of a polynomial of bits with linear constraints: name, coefficients, sense and bound of each."""
    rows = [[*map(str, product), float(value)] for product, value in terms.items()]
    limits = [
        {
            "name": name,
            "terms": [[str(variable), float(value)] for variable, value in coefficients.items()],
            "sense": sense,
            "bound": float(bound),
        }
        for name, coefficients, sense, bound in constraints
    ]
    polynomial = {"variables": names, "terms": rows}
    return json.dumps({"polynomial": polynomial, "offset": float(offset), "maximize": maximize, "constraints": limits})


def distinct_names(variables: Iterable[Any]) -> list[str]:
    """Return the names of variables that may come several times: whole numbers in their order, others as they come."""
    ends = list(dict.fromkeys(variables))
    return _distinct(sorted(ends) if all(isinstance(name, int) for name in ends) else ends)


def _distinct(variables: Iterable[object]) -> list[str]:
    names = [str(variable) for variable in variables]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        problem = f"two variables are called {twice[:80]!r}"
        raise InputError("problem", problem, "Give each variable a name of its own.")
    return names
