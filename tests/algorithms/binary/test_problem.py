"""Binary problems agree with brute force, dimod and the reference; malformed text is refused with its line."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

import dimod
import numpy as np
import pytest
import rustworkx
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.algorithms.binary import problem_kinds as binary
from hybridloop.algorithms.binary.graphs import Graph, graph_from_edges
from hybridloop.algorithms.binary.ising import Ising, ising_from_qubo
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.choices import GraphObjective
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.formats.binary import read_binary_problem
from hybridloop.inputs.formats.rows import read_rows
from hybridloop.inputs.formats.tables import read_table
from tests.paths import DATA
from tests.value_helpers import known

REFERENCE: Mapping[str, Any] = json.loads((DATA / "graphs.json").read_text())
whole = st.integers(-4, 4).map(float)
matrices = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.lists(whole, min_size=n, max_size=n), min_size=n, max_size=n)
)


def assignments(count: int) -> np.ndarray[Any, Any]:
    """Return all assignments; column i is bit i of the row's index."""
    return np.array([[index >> i & 1 for i in range(count)] for index in range(2**count)])


def reference_graph(name: str) -> Graph:
    entry = REFERENCE["graphs"][name]
    return graph_from_edges(entry["n"], entry["edges"], name)


@given(matrix=matrices, offset=whole)
def test_a_qubo_has_the_same_values_as_ising_energies_and_as_a_pauli_sum(
    matrix: list[list[float]], offset: float
) -> None:
    q, ising = np.array(matrix), ising_from_qubo(matrix, offset)
    rows = assignments(len(q))
    expected = np.einsum("ki,ij,kj->k", rows, q, rows) + offset
    np.testing.assert_allclose(ising.energies(rows), expected, atol=1e-9)
    np.testing.assert_allclose(ising.all_energies(), expected, atol=1e-9)
    np.testing.assert_allclose(np.diag(ising.operator().to_matrix()).real, expected, atol=1e-9)
    model = dimod.BinaryQuadraticModel(q, "BINARY")
    h, j, constant = model.to_ising()
    assert ising.offset - offset == pytest.approx(constant)
    np.testing.assert_allclose(-ising.fields, [h[i] for i in range(len(q))], atol=1e-9)  # its spins are 2 x − 1
    assert {tuple(sorted(k)): v for k, v in j.items() if v} == pytest.approx(dict(ising.couplings))


@given(matrix=matrices)
def test_ising_energies_add_and_scale_like_their_values(matrix: list[list[float]]) -> None:
    one = ising_from_qubo(matrix)
    other = Ising(np.arange(float(len(matrix))), {(0, 1): 0.5} if len(matrix) > 1 else {}, 1.0)
    both = one.plus(other.scaled(-2.0)).all_energies()
    np.testing.assert_allclose(both, one.all_energies() - 2.0 * other.all_energies(), atol=1e-9)


@pytest.mark.parametrize("name", sorted(REFERENCE["graphs"]))
def test_the_maximum_cut_agrees_with_the_reference(name: str) -> None:
    entry, problem = REFERENCE["graphs"][name], binary.max_cut(reference_graph(name))
    assert known(problem.extremes)[0] == pytest.approx(entry["max_cut"])
    assert problem.objective.offset == pytest.approx(entry["mean_random_cut"])
    bits = [int(bit) for bit in reversed(entry["one_optimal"])]
    assert problem.objective.energies(bits)[0] == pytest.approx(entry["max_cut"])
    values = problem.objective.all_energies()
    assert int(np.isclose(values, entry["max_cut"]).sum()) == entry["num_optimal"]


def test_the_minima_of_the_qubo_and_the_portfolio_agree_with_the_reference() -> None:
    entry = REFERENCE["qubo"]
    problem = binary.qubo(entry["Q"])
    assert known(problem.extremes)[0] == pytest.approx(entry["min"])
    assert best(problem) == [entry["argmin"]]
    entry = REFERENCE["portfolio"]
    chosen = portfolio_of(entry)
    assert chosen.extremes == pytest.approx((entry["min"], entry["worst_feasible"]))
    assert best(chosen) == [entry["argmin"]]
    (constraint,) = chosen.constraints
    assert known(constraint.group).ones == 4


def portfolio_of(entry: Mapping[str, Any]) -> BinaryProblem:
    return binary.portfolio(
        entry["mu"], entry["sigma"], risk_aversion=entry["risk_aversion"], budget=entry["budget"], source="reference"
    )


def best(problem: BinaryProblem) -> list[str]:
    """Return the assignments of least cost; the rightmost character is variable 0."""
    values = problem.cost.all_energies()
    indices = np.flatnonzero(np.isclose(values, values.min(), atol=1e-12))
    return [format(index, f"0{problem.num_variables}b") for index in indices]


@given(
    edges=st.sets(st.sampled_from(list(itertools.combinations(range(6), 2))), min_size=1),
)
def test_every_minimum_of_the_independent_set_cost_is_a_maximum_independent_set(edges: set[tuple[int, int]]) -> None:
    problem = binary.independent_set(graph_from_edges(6, [(i, j, 1.0) for i, j in edges]))
    graph = rustworkx.PyGraph()
    graph.add_nodes_from(range(6))
    graph.add_edges_from([(i, j, None) for i, j in edges])
    rows = assignments(6)
    independent = [row for row in rows if not any(row[i] and row[j] for i, j in edges)]
    largest = max(int(row.sum()) for row in independent)
    for word in best(problem):
        chosen = {i for i, bit in enumerate(reversed(word)) if bit == "1"}
        assert len(chosen) == largest
        assert not any(i in chosen and j in chosen for i, j in edges)
    assert problem.extremes == (largest, 0)


@given(
    mu=st.lists(st.floats(-1, 1), min_size=4, max_size=4),
    sigma=st.lists(st.floats(-1, 1), min_size=16, max_size=16),
    budget=st.integers(0, 4),
)
def test_the_penalty_of_a_budget_makes_the_best_assignment_feasible(
    mu: list[float], sigma: list[float], budget: int
) -> None:
    covariance = np.reshape(sigma, (4, 4))
    if not np.abs(covariance + covariance.T - np.diag(mu)).sum() > 1e-3:
        return
    try:
        problem = binary.portfolio(mu, covariance, risk_aversion=0.5, budget=budget)
    except InputError:  # of a constant objective
        return
    rows = assignments(4)
    costs, feasible = problem.cost.all_energies(), rows.sum(axis=1) == budget
    np.testing.assert_array_equal(problem.is_feasible(rows), feasible)
    assert costs[feasible].min() <= costs.min() + 1e-9
    np.testing.assert_allclose(costs[feasible], problem.objective.all_energies()[feasible], atol=1e-9)


@given(numbers=st.lists(st.integers(1, 30), min_size=2, max_size=6))
def test_the_number_partitioning_objective_is_the_squared_difference(numbers: list[int]) -> None:
    problem = binary.number_partitioning(numbers)
    differences = [
        abs(sum(n if signs >> i & 1 else -n for i, n in enumerate(numbers))) for signs in range(2 ** len(numbers))
    ]
    np.testing.assert_allclose(problem.objective.all_energies(), np.square(differences), atol=1e-6)


@given(
    edges=st.dictionaries(st.sampled_from(list(itertools.combinations(range(5), 2))), st.floats(0.25, 4), min_size=1)
)
def test_every_graph_format_gives_the_same_problem(edges: dict[tuple[int, int], float]) -> None:
    graph = rustworkx.PyGraph()
    graph.add_nodes_from([{"id": str(i)} for i in range(5)])
    graph.add_edges_from([(i, j, {"weight": str(w)}) for (i, j), w in edges.items()])
    node_link = rustworkx.node_link_json(graph, edge_attrs=lambda data: data)
    graphml = "".join(
        [
            '<?xml version="1.0"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n',
            '<key id="d0" for="edge" attr.name="weight" attr.type="double"><default>1</default></key>\n',
            '<graph edgedefault="undirected">\n',
            *(f'<node id="{i}"/>\n' for i in range(5)),
            *(f'<edge source="{i}" target="{j}"><data key="d0">{w!r}</data></edge>\n' for (i, j), w in edges.items()),
            "</graph></graphml>",
        ]
    )
    header = f"5 {len(edges)}\n" + "".join(f"{i + 1} {j + 1} {w!r}\n" for (i, j), w in edges.items())
    expected = binary.max_cut(graph_from_edges(5, [(i, j, w) for (i, j), w in edges.items()])).objective.all_energies()
    for text in (known(node_link), graphml, header):
        np.testing.assert_allclose(read_binary_problem(text, "it").objective.all_energies(), expected)


def test_an_edge_list_keeps_node_names_and_weights_are_optional() -> None:
    graph = read_table(read_rows("# three towns\nParis Rome\nRome, Oslo  # by sea\n", "towns"))
    assert isinstance(graph, Graph)
    assert graph.nodes == ("Paris", "Rome", "Oslo")
    assert graph.edges == ((0, 1, 1.0), (1, 2, 1.0))
    numbered = read_table(read_rows("10 2\n2 1", "numbers"))
    assert isinstance(numbered, Graph)
    assert numbered.nodes == ("1", "2", "10")


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_a_dimod_model_has_the_energies_that_dimod_computes(vartype: str) -> None:
    model = dimod.BinaryQuadraticModel({"a": 1.5, "b": -1.0, "c": 0.0}, {"ab": 2.0, "bc": -0.5}, 0.25, vartype)
    problem = read_binary_problem(json.dumps(model.to_serializable()), "model")
    assert problem.labels == ("a", "b", "c")
    for row, energy in zip(assignments(3), problem.objective.all_energies(), strict=True):
        # our spin of bit 0 is +1
        values = {name: int(1 - 2 * bit if vartype == "SPIN" else bit) for name, bit in zip("abc", row, strict=True)}
        assert energy == pytest.approx(model.energy(values))


def test_json_keys_tell_the_kind_of_problem() -> None:
    entry = REFERENCE["portfolio"]
    texts = {
        "qubo": {"qubo": [[1, 2], [0, -1]], "offset": 0.5},
        "ising": {"h": [1, 0], "J": [[1, 0, -2.0]]},
        "number-partitioning": {"numbers": [3, 1, 2]},
        "portfolio": {
            "returns": entry["mu"],
            "covariance": entry["sigma"],
            "risk_aversion": 0.5,
            "budget": 4,
        },
    }
    for kind, document in texts.items():
        assert read_binary_problem(json.dumps(document), "it").kind == kind
    sparse = {"qubo": {"variables": 2, "terms": [[0, 0, 1], [0, 1, 2], [1, 1, -1]]}, "offset": 0.5}
    from_triples, from_rows = (read_binary_problem(json.dumps(entry), "it") for entry in (sparse, texts["qubo"]))
    np.testing.assert_array_equal(from_triples.objective.all_energies(), from_rows.objective.all_energies())
    assert read_binary_problem("0 1\n", "it", GraphObjective.INDEPENDENT_SET).kind == "independent-set"


XML = (
    '<graphml>\n<key id="w" for="edge" attr.name="weight"/>\n<graph>\n<node id="a"/>\n<node id="b"/>\n'
    "{}\n</graph>\n</graphml>"
)
LINKS = '{{"nodes": [\n{{"id": 0}},\n{{"id": 1}}],\n"links": [\n{}]}}'


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "empty"),
        ("# nothing\n", None, "no edge"),
        ("0 1\n\n2 2\n", 3, "to itself"),
        ("0 1\n1 0\n", 2, r"given twice \(first on line 1"),
        ("0 1 nan\n", 1, "weight is nan"),
        ("0 1 1e999\n", 1, "weight is inf"),
        ("0 1 heavy\n", 1, "not a number"),
        ("0 1\n2\n", 2, "1 column.*the line was cut"),
        ("0 1 2 3\n", 1, "4 columns and 1 rows"),
        ("0 1 0\n", None, "every weight is 0"),
        ("3 2\n1 2 1\n2 4 1\n", 3, "not among"),
        (XML.format('<edge source="a" target="a"/>'), 6, "to itself"),
        (XML.format('<edge source="a"/>'), 6, "no target"),
        (XML.format('<edge source="a" target="b"><data key="w">much</data></edge>'), 6, "not a number"),
        (XML.format('<edge source="a" target="b"><data key="w">nan</data></edge>'), 6, "weight is nan"),
        (XML.format("<hyperedge/>"), 6, "hyperedges"),
        (XML.format('<node id="a"/>'), 6, "given twice"),
        (XML.format("<edge"), 7, "not XML"),
        (XML.format(""), None, "no edge"),
        ("<html></html>", None, "no known kind of graph in XML"),
        ('<!DOCTYPE g [<!ENTITY a "aa">]>\n<graphml/>', 1, "document type"),
        ('{"nodes": [\n}', 2, "not JSON"),
        (LINKS.format('{"source": 0, "target": 0}'), None, "to itself"),
        (LINKS.format('{"source": 0, "target": 1},\n{"source": 0, "target": 2}'), None, "'2', which is not a node"),
        (LINKS.format('{"source": 0, "target": 1, "weight": NaN}'), None, "NaN is not"),
        (LINKS.format('{"source": 0, "target": 1, "weight": [1]}'), None, "not a number"),
        (LINKS.format('{"source": 0}'), None, "'target' is None"),
        (LINKS.format(""), None, "no edge"),
        ('{"nodes": 3}', None, "not a list of objects"),
        ('{"a": 1}', None, "no key names"),
        ('{"qubo": 1, "qubo": 2}', None, "given twice"),
        ('{"a":' * 200_000, None, "nested too deeply"),
        ('{"qubo": [[1, NaN], [0, 1]]}', None, "NaN is not"),
        ('{"qubo": [[1, 2]]}', None, "not a square matrix"),
        ('{"qubo": []}', None, "square matrix"),
        ('{"qubo": [[0]]}', None, "as good as any other"),
        ('{"qubo": {"variables": 2, "terms": [[0, 2, 1]]}}', None, "indices"),
        ('{"qubo": {"variables": 1e9, "terms": []}}', None, "not a whole number"),
        ('{"h": [0, 0], "J": [[0, 0, 1]]}', None, "to itself"),
        ('{"h": [], "J": []}', None, "shape"),
        ('{"numbers": [1]}', None, "two or more"),
        ('{"numbers": [1, "2"]}', None, "not a list of finite numbers"),
        ('{"returns": [1, 2], "covariance": [[1, 0], [0, 1]], "risk_aversion": 1, "budget": 3}', None, "budget of 3"),
        ('{"returns": [1, 2], "covariance": [[1, 0], [0, 1]], "risk_aversion": 1}', None, "budget is None"),
        ('{"returns": [1], "covariance": [[1, 0], [0, 1]], "risk_aversion": 1, "budget": 1}', None, "shape"),
    ],
)
def test_malformed_text_is_refused_with_its_line(text: str, line: int | None, message: str) -> None:
    with pytest.raises(ProblemError, match=message) as refused:
        read_binary_problem(text, "file.txt")
    assert (refused.value.source, refused.value.line) == ("file.txt", line)


@pytest.mark.parametrize(
    "large",
    [
        lambda: read_binary_problem("0 1\n" * 200_001, "large"),
        lambda: read_binary_problem("".join(f"0 {i} 1\n" for i in range(1, 3000)), "large"),
        lambda: read_binary_problem("<graphml><graph>" + '<edge source="a" target="b"/>' * 1_000_000, "large"),
        lambda: graph_from_edges(10, ((0, 1, 1.0) for _ in range(10_000_000))),
        lambda: binary.number_partitioning([1.0] * 100_000),
    ],
)
def test_problems_that_are_far_too_large_are_refused(large: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        large()


def test_a_problem_too_large_for_brute_force_has_the_extremes_of_a_solver() -> None:
    problem = binary.max_cut(graph_from_edges(21, [(i, i + 1, 1.0) for i in range(20)]))
    assert problem.extremes == (20.0, 0.0)
    assert problem.approximation_ratio(3.0) == 0.15
