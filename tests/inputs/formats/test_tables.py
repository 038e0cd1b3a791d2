"""Tables of edges: the graph that networkx reads, or a refusal that names the way out."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import networkx as nx
import pytest

from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.problems.energy_units import parse_energy
from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.formats.binary import read_binary_problem
from hybridloop.inputs.formats.detect import detect_format
from hybridloop.settings.input_format import BINARY_FORMATS


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
        ("sep=;\n0;1\n1;2\n", ["01", "12"]),
        ("0|1\n1|2\n", ["01", "12"]),
        ("0 1 1\n1 2 1\n2 0 1\n", ["01", "12", "20"]),
    ],
)
def test_no_edge_is_lost_to_a_header_or_to_rounding(text: str, edges: list[Any]) -> None:
    assert is_graph(read_binary_problem(text, "edges"), nx.Graph(list(map(tuple, edges))))


@pytest.mark.parametrize(
    "text",
    ["a;b;1,5\nb;c;0,25\n", "a b 1,5\nb c 0,25\n", "von\tnach\tkm\na\tb\t1,5\nb\tc\t0,25\n"],
    ids=["semicolons", "words", "tabs"],
)
def test_decimal_commas_are_found_with_the_separator(text: str) -> None:
    graph = nx.Graph()
    graph.add_weighted_edges_from([("a", "b", 1.5), ("b", "c", 0.25)])
    assert is_graph(read_binary_problem(text, "edges"), graph)


@pytest.mark.parametrize("first", [",a,b,c", "a,b,c", "km,a,b,c"])
def test_a_matrix_with_names_is_a_graph_or_a_qubo(first: str) -> None:
    graph = nx.Graph()
    graph.add_weighted_edges_from([("a", "b", 1.5), ("b", "c", 0.25)])
    assert is_graph(read_binary_problem(f"{first}\na,0,1.5,0\nb,1.5,0,0.25\nc,0,0.25,0\n", "matrix"), graph)
    found = read_binary_problem(f"{first}\na,-1,2,0\nb,0,-1,0\nc,0,0,3\n", "matrix")
    assert (found.kind, found.labels) == ("qubo", ("a", "b", "c"))
    assert found.objective.all_energies().min() == pytest.approx(-1.0)


REFUSED: dict[str, tuple[str, int | None, str]] = {
    "a weight by another name": ("source,target,lanes,km\na,b,1,2\n", 1, "'lanes' has numbers.*Name it weight"),
    "columns without a header": ("a,b,c,1\nb,c,d,2\n", 1, "4 columns.*source,target,weight"),
    "a weight that is none": ("source,target,weight\na,b,1\nb,c,far\n", 3, "'far' is not a number"),
    "an edge twice": ("source,target\na,b\nb,a\n", 3, "given twice"),
    "a matrix": ("0,-1,0,0\n-1,0,0,0\n0,0,0,1\n0,0,1,0\n", None, "a graph's weights or a QUBO"),
    "a first row that may be names": ("Ort;Ziel\na;b\nb;c\nc;a\n", 1, "names of columns or an edge"),
    "two decimal signs": ("a;b;1,5\nb;c;2.5\n", 1, "1,5 and 2.5: two decimal signs"),
    "thousands": ("a;b;1,500\nb;c;2,000\n", 1, "one and a part, or some thousands.*1.500 or 1500"),
    "commas of two meanings": ("source,target,km\na,b,1,5\nb,c,2\n", 2, "may be decimal signs"),
    "commas of two meanings in a later line": (
        "source,target,km\na,b,1\nb,c,2\nc,d,4\nd,e,2,5\n",
        5,
        "four cells, and others three",
    ),
    "data without a weight": ("a b {'km': 3}\nb c {'km': 4}\n", 1, "'km', and no weight"),
    "a node with an edge to itself": ("0 1 1.5\n1 2 2.0\n2 2 1.0\n2 3 1.0\n", 3, "to itself.*--format qubo"),
    "a row without its weight": ("0,1,1\n1,2\n2,0,1\n", 2, "a weight is missing"),
    "a count of edges that is wrong": ("5 6\n1 2 3\n2 3 2\n", 1, "5 nodes and 6 edges, and 2 lines follow"),
    "a count that may be an edge": ("4 3\n1 2\n2 3\n3 1\n", 1, "--format edges, or --format rudy"),
    "real numbers for nodes": ("0 1 1.5\n1.5 2 1\n", 2, "'1.5' in a column of nodes"),
    "times": ("0 1 1082040961\n1 2 1082040962\n", 1, "may be times"),
    "weights and times": ("0 1 2.0 1082040961\n1 2 1.0 1082040962\n", 1, "column 4 .* may be times"),
    "a table": ("item,value,weight\ntent,6,3\nstove,7,4\n", 2, "'item' has names and 'value' has numbers"),
    "fewer decimals at the end": ("0 1 1.25\n1 2 2.50\n2 0 1.7", 3, "it was cut"),
    "a directed graph of SNAP": ("# Directed graph: a.txt\n# Nodes: 2 Edges: 1\n0 1\n", 1, "is directed"),
    "counts in comments": ("# Nodes: 3 Edges: 3\n0 1\n1 2\n", None, "state 3 nodes and 3 edges, and 2 lines"),
    "separators alone": ("sep=;\n;\n;", None, "has no edge"),
    "a line of one comma": ("a b far\n,\nb c 1\n", 1, "'far' is not a number"),
    "an adjacency list": ("a b c\nb c\nc\n", 3, "read_adjlist"),
    "a name of a column that is also a node": ("a,b,w\nb,c,1\n", 1, "'w' is not a number"),
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
    with pytest.raises(ValueError, match=r"is not a number|must be an energy"):  # two ways to match take hours
        parse("1" * 500_000 + "x")
