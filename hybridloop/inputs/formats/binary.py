"""Reader for binary problems in text: graphs, rows of a QUBO, clauses, programs, diagonal Pauli sums, and JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hybridloop.algorithms.binary.graphs import Graph
from hybridloop.algorithms.binary.ising import Ising
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.binary.problem_kinds import independent_set, max_cut, spin_glass
from hybridloop.algorithms.choices import GraphObjective
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.formats.detect import check_blanks, detect_format
from hybridloop.inputs.formats.json_text import JsonDocument, read_json, read_json_object
from hybridloop.inputs.formats.rows import json_rows, read_rows
from hybridloop.runtime.leaves import leaf
from hybridloop.settings.input_format import ENERGY_FORMATS, NOT_PROBLEMS, InputFormat

if TYPE_CHECKING:
    from hybridloop.inputs.formats import (
        binary_json,
        clauses,
        constrained,
        energies,
        evidence,
        graphs,
        programs,
        tables,
    )
else:
    clauses = leaf("hybridloop.inputs.formats.clauses")
    constrained = leaf("hybridloop.inputs.formats.constrained")
    energies = leaf("hybridloop.inputs.formats.energies")
    graphs = leaf("hybridloop.inputs.formats.graphs")
    programs = leaf("hybridloop.inputs.formats.programs")
    tables = leaf("hybridloop.inputs.formats.tables")
    binary_json = leaf("hybridloop.inputs.formats.binary_json")
    evidence = leaf("hybridloop.inputs.formats.evidence")

ACCEPTED_FORMATS = (
    "edges, CSV, GraphML, METIS, DIMACS, GML, GEXF, rows of a QUBO, clauses of MaxSAT, node-link JSON, or JSON with "
    "`qubo`, `h` and `J`, `polynomial`, `labs`, `numbers`, `returns`, `terms`, a dimod BinaryQuadraticModel, LP or MPS"
)
_OF_NODE_LINK = ("nodes", "links", "edges", "directed", "multigraph", "graph", "attrs", "name")
_OF_ROWS = {InputFormat.EDGES, InputFormat.RUDY, InputFormat.MATRIX, InputFormat.QUBO, InputFormat.BIQMAC}
_REFUSED = {*ENERGY_FORMATS, *NOT_PROBLEMS}


def read_binary_problem(
    text: str,
    source: str,
    objective: GraphObjective = GraphObjective.MAX_CUT,
    form: InputFormat | None = None,
) -> BinaryProblem:
    """Read a binary problem in the format that the text has (`detect_format`), or in the given `form`.

    JSON has one of these sets of keys; the first two may have an `offset`:
    `qubo`: the rows of Q, or `[i, j, value]` triples under `terms` with `variables`, their count or their names;
    `h` and `J`: the fields, and `[i, j, value]` triples, or rows of more spins;
    `polynomial`: rows `[i, j, …, value]` of any number of variables under `terms`, with `variables` as a QUBO has them;
    its `vartype` is BINARY, or SPIN;
    either one of bits may have `maximize` and linear `constraints`: each has a `name`, rows `[i, value]` under `terms`,
    a `sense` (<=, =, >=) and a `bound`, or `one_hot`, variables of which exactly one is 1;
    `labs`: the length of a low-autocorrelation sequence;
    `numbers`: the numbers to partition;
    `returns`, `covariance`, `risk_aversion`, `budget`: a portfolio, whose `assets` may be named;
    the result of dimod's `BinaryQuadraticModel.to_serializable`, or bqpjson;
    `nodes` and `links`: a graph in node-link form; a list of edges, or of a matrix's rows;
    `terms`: a Pauli sum of I and Z alone.
    Raises ProblemError for malformed text, InputError for an `objective` given with a text that is not a graph.
    """
    start = text.lstrip("\ufeff \t\r\n")[:1]
    if not start:
        raise ProblemError(source, None, "the text is empty", f"Give {ACCEPTED_FORMATS}.")
    check_blanks(text, source)
    found = form or detect_format(text)
    if found in _GRAPH_READERS:
        return _graph_problem(_GRAPH_READERS[found](text, source), objective)
    if start == "[" and (found in _OF_ROWS or found is None):
        value = read_json(text, source)
        if not isinstance(value, list) or not value:
            raise ProblemError(source, None, "the list is empty", f"Give {ACCEPTED_FORMATS}.")
        return _table_problem(tables.read_table(json_rows(value, source), found, is_forced=form is not None), objective)
    if found in _OF_ROWS or (found is None and start not in "{<"):
        table = read_rows(text, source)
        if found is None and evidence.may_be_adjacency(table):
            return _graph_problem(graphs.read_metis(text, source), objective)  # which says what contradicts it
        return _table_problem(tables.read_table(table, found, is_forced=form is not None), objective)
    if found is not InputFormat.PAULIS and (found in _REFUSED or start == "<"):
        what = "no known kind of graph in XML" if found is None else found.description
        raise ProblemError(source, None, f"this is {what}", f"Give {ACCEPTED_FORMATS}.")
    _check_own_objective(source, objective)
    try:
        if found is InputFormat.PAULIS:
            return _diagonal(energies.read_pauli_sum(text, source))
        if found is InputFormat.CNF:
            return clauses.read_clauses(text, source)
        if found is InputFormat.QBSOLV:
            return tables.read_qbsolv(text, source).as_problem()
        if found is InputFormat.LP:
            return binary_json.polynomial(
                JsonDocument(source, dict(constrained.read_lp(text, source))), reading="read as LP"
            )
        if found is InputFormat.MPS:
            return binary_json.polynomial(
                JsonDocument(source, dict(programs.read_mps(text, source))), reading="read as MPS"
            )
        document = JsonDocument(source, read_json_object(text, source))
        if (problem := binary_json.problem_of_document(document)) is not None:
            return problem
    except ProblemError:
        raise
    except InputError as error:  # from a problem builder, which does not know the file
        raise ProblemError(source, None, error.problem.removeprefix(f"{source}: "), error.remedy) from error
    raise document.error("no key names a known kind of problem", f"Give {ACCEPTED_FORMATS}.")


def _graph_problem(graph: Graph, objective: GraphObjective) -> BinaryProblem:
    return max_cut(graph) if objective is GraphObjective.MAX_CUT else independent_set(graph)


def _table_problem(table: Graph | tables.SquareMatrix, objective: GraphObjective) -> BinaryProblem:
    """Return the problem of a table: its graph's, or the minimum of xᵀQx."""
    graph = table if isinstance(table, Graph) else table.as_graph()
    if graph is not None:
        return _graph_problem(graph, objective)
    assert isinstance(table, tables.SquareMatrix)
    _check_own_objective(table.source, objective)
    return table.as_problem()


def _check_own_objective(source: str, objective: GraphObjective) -> None:
    if objective is not GraphObjective.MAX_CUT:
        problem = f"{source} is not a graph and states its own objective"
        raise InputError("objective", problem, "Leave the objective out.")


def _diagonal(problem: PauliProblem) -> BinaryProblem:
    """Return a diagonal Pauli sum as spins: Z is 1 for a variable that is 0, and -1 for one that is 1."""
    paulis = problem.hamiltonian.paulis
    if paulis.x.any():
        label = paulis[int(np.argmax(paulis.x.any(axis=1)))].to_label()
        remedy = "Give terms of I and Z alone, or search its lowest eigenvalue: hybridloop run vqe."
        raise ProblemError(problem.source, None, f"the term {label} is not diagonal", remedy)
    spins = [tuple(np.flatnonzero(row).tolist()) for row in paulis.z]
    energy = Ising.of(problem.num_qubits, zip(spins, problem.hamiltonian.coeffs.real.tolist(), strict=True))
    return spin_glass(energy, problem.source)


def _node_link(text: str, source: str) -> Graph:
    document = JsonDocument(source, read_json_object(text, source))
    document.check_names(document.value, _OF_NODE_LINK)
    return graphs.read_node_link(document)


_GRAPH_READERS: dict[InputFormat | None, Callable[[str, str], Graph]] = {
    InputFormat.GRAPHML: lambda text, source: graphs.read_graphml(text, source),
    InputFormat.NODE_LINK: _node_link,
    InputFormat.METIS: lambda text, source: graphs.read_metis(text, source),
    InputFormat.DIMACS: lambda text, source: graphs.read_dimacs(text, source),
    InputFormat.GML: lambda text, source: graphs.read_with_networkx(text, source, "GML"),
    InputFormat.GEXF: lambda text, source: graphs.read_with_networkx(text, source, "GEXF"),
}
