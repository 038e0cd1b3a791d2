"""Tables, GML and Matrix Market: the graph that networkx reads, or a refusal that names the way out."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from hybridloop.algorithms.formats.binary import GraphObjective, read_binary_problem
from hybridloop.algorithms.formats.detect import BINARY_FORMATS, detect_format
from hybridloop.algorithms.problems.binary import BinaryProblem
from hybridloop.algorithms.problems.energy_units import parse_energy
from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.errors import InputError, ProblemError


def roads() -> nx.Graph:
    graph = nx.Graph()
    graph.add_weighted_edges_from([("New York", "Oslo", 7.5), ("Oslo", "Bergen", 2.0), ("New York", "Bergen", 5.5)])
    return graph


def is_graph(problem: BinaryProblem, graph: nx.Graph) -> bool:
    """Return whether the problem is the graph's max-cut: -w/2 for each edge, by the names of the nodes."""
    found = {
        frozenset((problem.labels[i], problem.labels[j])): -2 * w for (i, j), w in problem.objective.couplings.items()
    }
    weights = {frozenset(map(str, (a, b))): data.get("weight", 1.0) for a, b, data in graph.edges(data=True)}
    return problem.kind == "max-cut" and found == weights and set(problem.labels) == set(map(str, graph.nodes))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("header", [("source", "target", "weight"), ("From", "To", "km"), None])
def test_a_csv_of_edges_is_read_with_and_without_a_header(separator: str, header: tuple[str, ...] | None) -> None:
    file = io.StringIO()
    rows = [(a, b, str(w)) for a, b, w in roads().edges(data="weight")]
    csv.writer(file, delimiter=separator).writerows([header, *rows] if header else rows)
    text = "# exported\n" + file.getvalue()
    assert detect_format(text) in BINARY_FORMATS
    assert is_graph(read_binary_problem(text, "roads"), roads())


def test_the_columns_of_edges_are_found_by_name() -> None:
    text = "id,weight,target,source,label\n1,7.5,Oslo,New York,E6\n2,2,Oslo,Bergen,E16\n3,5.5,New York,Bergen,\n"
    assert is_graph(read_binary_problem(text, "roads"), roads())
    unweighted = read_binary_problem("source,target,label\na,b,E6\nb,c,E7\n", "roads")
    assert is_graph(unweighted, nx.Graph([("a", "b"), ("b", "c")]))
    two = read_binary_problem("source,target\na,b\nb,c\n", "roads")
    assert two.labels == ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("u,v\nv,w\nw,u\n", ["uv", "vw", "wu"]),
        ("u,v,1\nv,w,1\nw,x,1\n", ["uv", "vw", "wx"]),
        ("from,to\nto,via\nvia,from\n", [("from", "to"), ("to", "via"), ("via", "from")]),
        ("source,target,weight\nsource,a,1\na,target,1\n", [("source", "a"), ("a", "target")]),
        (",a,b\na,0,1\nb,1,0\n", ["ab"]),
        ("0 1\n1 2\n", ["01", "12"]),
        ("0 1 1\n1 2 1\n2 0 1\n", ["01", "12", "20"]),
        ("0 1 1\n1 0 1\n1 1 0\n", ["01", "12", "20"]),
        (
            "graph [ node [ id 1234567 ] node [ id 1234568 ]\nedge [ source 1234567 target 1234568 ] ]",
            [(1234567, 1234568)],
        ),
        (
            "%%MatrixMarket matrix coordinate real symmetric\n% complex network\n2 2 1\n2 1 1\n",
            [(1, 2)],
        ),
    ],
)
def test_no_edge_is_lost_to_a_header_or_to_rounding(text: str, edges: list[Any]) -> None:
    assert is_graph(read_binary_problem(text, "edges"), nx.Graph(list(map(tuple, edges))))


def test_three_words_of_edges_keep_their_weights() -> None:
    graph = nx.Graph()
    graph.add_weighted_edges_from([(1, 2, 3), (2, 3, 1), (3, 1, 2)])
    assert is_graph(read_binary_problem("1 2 3\n2 3 1\n3 1 2\n", "edges"), graph)


@pytest.mark.parametrize("matrix", [[[1, -1, 0], [-1, 2, 0.5], [0, 0.5, 3]], [[1, -1], [0, 2]]])
def test_a_small_qubo_in_words_is_no_graph(matrix: list[list[float]]) -> None:
    file = io.StringIO()
    np.savetxt(file, matrix)
    for text in (file.getvalue(), "\n".join(" ".join(map(str, row)) for row in matrix)):
        problem = read_binary_problem(text, "qubo")
        bits = np.array([[number >> k & 1 for k in range(len(matrix))] for number in range(2 ** len(matrix))])
        assert problem.objective.energies(bits) == pytest.approx(np.einsum("ki,ij,kj->k", bits, matrix, bits))


@pytest.mark.parametrize("with_names", [True, False])
@pytest.mark.parametrize("size", [3, 5])
def test_a_csv_matrix_is_a_graph_or_a_qubo(*, with_names: bool, size: int) -> None:
    graph = nx.relabel_nodes(nx.cycle_graph(size), lambda node: f"n{node}" if with_names else node)
    for matrix in (nx.to_numpy_array(graph), nx.to_numpy_array(graph) - 2 * np.eye(size)):
        names = [str(node) for node in graph]
        rows = [[name, *row] if with_names else row for name, row in zip(names, matrix.tolist(), strict=True)]
        lines = [["", *names], *rows] if with_names else rows
        text = "\n".join(",".join(map(str, line)) for line in lines) + "\n"
        problem = read_binary_problem(text, "matrix")
        assert problem.labels == tuple(names)
        if matrix[0, 0] == 0:
            assert is_graph(problem, graph)
            continue
        bits = np.array([[number >> k & 1 for k in range(size)] for number in range(2**size)])
        assert problem.kind == "qubo"
        assert problem.objective.energies(bits) == pytest.approx(np.einsum("ki,ij,kj->k", bits, matrix, bits))


def test_a_matrix_of_words_is_read() -> None:
    file = io.StringIO()
    np.savetxt(file, nx.to_numpy_array(nx.petersen_graph()))
    assert is_graph(read_binary_problem(file.getvalue(), "petersen"), nx.petersen_graph())
    chosen = read_binary_problem(file.getvalue(), "petersen", GraphObjective.INDEPENDENT_SET)
    assert chosen.extremes == (4.0, 0.0)


@pytest.mark.parametrize("graph", [nx.karate_club_graph(), roads(), nx.path_graph(3)], ids=["karate", "roads", "path"])
def test_gml_is_the_graph_that_networkx_writes(graph: nx.Graph) -> None:
    text = "\n".join(nx.generate_gml(graph))
    assert is_graph(read_binary_problem(text, "graph"), nx.parse_gml(text))
    assert detect_format('Creator "yFiles"\n' + text) in BINARY_FORMATS


@pytest.mark.parametrize("symmetry", ["symmetric", "general"])
def test_matrix_market_is_the_matrix_that_scipy_writes(symmetry: Any) -> None:
    graph = nx.Graph()
    graph.add_weighted_edges_from([(0, 1, 1.0), (1, 2, -1.0), (2, 3, 1.0)])
    file = io.BytesIO()
    scipy.io.mmwrite(file, nx.to_scipy_sparse_array(graph), symmetry=symmetry)
    text = file.getvalue().decode()
    assert detect_format(text) in BINARY_FORMATS
    named = nx.relabel_nodes(graph, {node: node + 1 for node in graph})  # the format counts from 1
    assert is_graph(read_binary_problem(text, "graph"), named)
    file = io.BytesIO()
    scipy.io.mmwrite(file, scipy.sparse.coo_array(np.array([[-1.0, 2.0], [0.0, -1.0]])))
    assert read_binary_problem(file.getvalue().decode(), "qubo").extremes == (-1.0, 0.0)


MM = "%%MatrixMarket matrix coordinate real general\n"
REFUSED: dict[str, tuple[str, int | None, str]] = {
    "a weight by another name": ("source,target,lanes,km\na,b,1,2\n", 1, "'lanes' has numbers.*Name it weight"),
    "columns without a header": ("a,b,c,1\nb,c,d,2\n", 1, "4 columns.*source,target,weight"),
    "a weight that is none": ("source,target,weight\na,b,1\nb,c,far\n", 3, "'far' is not a number"),
    "an edge twice": ("source,target\na,b\nb,a\n", 3, "given twice"),
    "a matrix with two meanings": ("0,-1,0,0\n-1,0,0,0\n0,0,0,1\n0,0,1,0\n", None, "a graph's weights or a QUBO"),
    "edges or a matrix": ("1,2,3\n2,3,1\n3,1,2\n", None, "edges or a matrix"),
    "edges or a triangle": ("1,0,0\n2,3,0\n4,5,6\n", None, "edges or a matrix"),
    "edges or a triangle in words": ("1 0 0\n2 3 0\n4 5 6\n", None, "edges or a matrix"),
    "edges of negative nodes or a matrix": ("-1 0 1\n0 1 1\n1 -1 1\n", None, "edges or a matrix"),
    "two lines of decimals": ("1.0 2.0\n0.0 2.0\n", None, "two lines of two"),
    "a name of a column that is also a node": ("a,b,w\nb,c,1\n", 1, "'w' is not a number"),
    "rows in another order": (",a,b\nb,0,1\na,1,0\n", 2, "rows and columns in one order"),
    "a directed GML": ("graph [ directed 1 node [ id 0 ] ]", 1, "directed"),
    "a directed GML in quotes": ('graph [ directed "1" node [ id 0 ] ]', 1, "directed"),
    "GML without that node": (
        "graph [ node [ id 0 ] node [ id 1000000 ]\nedge [ source 0 target 1000001 ] ]",
        2,
        "names no node",
    ),
    "GML without an end": ("graph [ node [ id 0 ]", None, "ends within a list"),
    "GML without a node": ("graph [\nedge [ source 0 target 1 ] ]", 2, "names no node"),
    "GML with another weight": (
        "graph [ node [ id 0 ] node [ id 1 ]\nedge [ source 0 target 1 value 3 ] ]",
        2,
        "'value', and no weight",
    ),
    "GML in lists": ("graph [ " + "a [ " * 1000, 1, "nested too deeply"),
    "a matrix that is not square": (MM + "2 3 1\n1 2 1.0\n", None, "shape 2 × 3"),
    "a matrix without end": (MM + "999999999 999999999 1\n1 2 1.0\n", None, "at most 2,000"),
    "a matrix of many digits": (MM + "0000000019999999 0000000019999999 1\n1 2 1.0\n", None, "at most 2,000"),
    "a matrix of many entries": (MM + "3 3 90000000000\n1 2 1.0\n", None, "entries, and the text 2 lines"),
    "a matrix cut short": (MM + "2 2 2\n1 2 1.0\n", None, "not Matrix Market"),
    "a complex matrix": (MM.replace("real", "complex") + "2 2 1\n1 2 1.0 1.0\n", 1, "complex entries"),
    "an array of nonsense": (MM.replace("coordinate", "array") + "2 2\n1\nfoo\n", None, "not Matrix Market"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_that_is_no_problem_is_refused_with_the_way_out(case: str) -> None:
    text, line, message = REFUSED[case]
    with pytest.raises(ProblemError, match=message) as refused:
        read_binary_problem(text, "table")
    assert refused.value.line == line


def test_a_qubo_with_named_variables_keeps_them() -> None:
    text = '{"qubo": {"variables": ["a", "b"], "terms": [["a", "a", -1], ["a", "b", 2], ["b", "a", 1]]}, "offset": 3}'
    problem: Any = read_binary_problem(text, "qubo")
    assert problem.labels == ("a", "b")
    assert problem.objective.energies([[0, 0], [1, 0], [1, 1]]) == pytest.approx([3, 2, 5])
    for wrong, message in (('["a", "a"]', "one name"), ('["a", 1]', "no list of"), ('["a", "c"]', "names no variable")):
        with pytest.raises(InputError, match=message):
            read_binary_problem(text.replace('["a", "b"]', wrong, 1), "qubo")


@pytest.mark.parametrize("parse", [parse_decimal, parse_energy])
def test_a_long_text_that_is_no_number_is_refused_in_one_pass(parse: Callable[[str], float]) -> None:
    with pytest.raises(ValueError, match="is not a"):  # an expression with two ways to match would take hours
        parse("1" * 500_000 + "x")
