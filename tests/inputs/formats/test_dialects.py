"""Dialects: each example has one reader and the value of an independent one; what contradicts itself is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from pyscf import fci, gto, scf
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.choices import GraphObjective
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.formats.binary import read_binary_problem
from hybridloop.inputs.formats.detect import detect_format
from hybridloop.inputs.formats.energies import read_pauli_sum
from hybridloop.inputs.formats.fcidump import read_fcidump
from hybridloop.inputs.problem_objects.geometry_options import GeometryOptions
from hybridloop.inputs.problems import read_problem
from hybridloop.preparation.problem import exact_energy, parse_problem
from hybridloop.settings.input_format import InputFormat
from tests.paths import DATA

DIALECTS = DATA / "dialects"
EDGES = {("1", "2"): 2.0, ("2", "3"): 3.0, ("1", "3"): 1.0, ("3", "4"): 4.0}
CUT = 9.0  # 2 + 3 + 4 of the weights
ROWS = "1 2 2\n2 3 3\n1 3 1\n3 4 4\n"
GRAPHS: dict[str, tuple[InputFormat, str]] = {
    "rows": (InputFormat.EDGES, ROWS),
    "csv": (InputFormat.EDGES, "source,target,weight\n" + ROWS.replace(" ", ",")),
    "konect": (InputFormat.EDGES, "% sym positive\n% 4 4 4\n" + ROWS),
    "snap": (InputFormat.EDGES, "# Undirected graph: roads.txt\n# Nodes: 4 Edges: 4\n# From To\n" + ROWS),
    "rudy": (InputFormat.RUDY, "4 4\n" + ROWS),
    "dimacs": (InputFormat.DIMACS, "c roads\np edge 4 4\n" + "".join(f"e {row}\n" for row in ROWS.splitlines())),
    "metis": (InputFormat.METIS, "% roads\n4 4 1\n2 2 3 1\n1 2 3 3\n2 3 1 1 4 4\n3 4\n"),
    "json": (InputFormat.EDGES, "[[1, 2, 2], [2, 3, 3.0], [1, 3, 1], [3, 4, 4]]"),
    "json-objects": (
        InputFormat.EDGES,
        json.dumps([{"source": a, "target": b, "weight": w} for (a, b), w in EDGES.items()]),
    ),
    "d3": (
        InputFormat.NODE_LINK,
        json.dumps(
            {
                "nodes": [{"id": name, "group": 1} for name in "1234"],
                "links": [{"source": a, "target": b, "value": w} for (a, b), w in EDGES.items()],
            }
        ),
    ),
    "matrix": (InputFormat.MATRIX, "0 2 1 0\n2 0 3 0\n1 3 0 4\n0 0 4 0\n"),
    "gml": (InputFormat.GML, ""),
    "gexf": (InputFormat.GEXF, ""),
    "graphml": (InputFormat.GRAPHML, ""),
}
TERMS = {("0", "0"): -1.0, ("0", "1"): 2.0, ("1", "1"): -1.5, ("1", "2"): 1.0, ("2", "2"): -0.5}
QUBOS: dict[str, tuple[InputFormat, str]] = {
    "coo": (InputFormat.QUBO, "".join(f"{i} {j} {q}\n" for (i, j), q in TERMS.items())),
    "coo-head": (InputFormat.QUBO, "# vartype=BINARY\n" + "".join(f"{i} {j} {q}\n" for (i, j), q in TERMS.items())),
    "qbsolv": (
        InputFormat.QBSOLV,
        "c by hand\np qubo 0 3 3 2\n" + "".join(f"{i} {j} {q}\n" for (i, j), q in TERMS.items()),
    ),
    "biqmac": (
        InputFormat.BIQMAC,
        "3 5\n" + "".join(f"{int(i) + 1} {int(j) + 1} {q if i == j else q / 2}\n" for (i, j), q in TERMS.items()),
    ),
    "bqpjson": (
        InputFormat.BQPJSON,
        json.dumps(
            {
                "version": "1.0.0",
                "id": 1,
                "metadata": {},
                "variable_ids": [0, 1, 2],
                "variable_domain": "boolean",
                "scale": 2.0,
                "offset": 0.0,
                "linear_terms": [{"id": int(i), "coeff": q / 2} for (i, j), q in TERMS.items() if i == j],
                "quadratic_terms": [
                    {"id_tail": int(i), "id_head": int(j), "coeff": q / 2} for (i, j), q in TERMS.items() if i != j
                ],
            }
        ),
    ),
}
PAULIS = {"ZZI": 1.0, "IZZ": 0.5, "ZIZ": -0.25, "IIX": 0.75}
PAULI_TEXTS = {
    "label-first": "".join(f"{label} {c}\n" for label, c in PAULIS.items()),
    "coefficient-first": "".join(f"{c} {label}\n" for label, c in PAULIS.items()),
    "csv": "label,coefficient\n" + "".join(f"{label},{c}\n" for label, c in PAULIS.items()),
    "tabs": "coeff\tpauli\n" + "".join(f"{c}\t{label}\n" for label, c in PAULIS.items()),
    "complex": "".join(f"{label} ({c}+0j)\n" for label, c in PAULIS.items()),
    "times": "".join(f"{c} * {label}\n" for label, c in PAULIS.items()),
    "sparse": "1.0 Z1 Z2\n0.5 Z0 Z1\n-0.25 Z0 Z2\n0.75 X0\n",
    "pennylane": "1.0 * (Z(1) @ Z(2)) +\n0.5 * (Z(0) @ Z(1)) +\n-0.25 * (Z(0) @ Z(2)) +\n0.75 * X(0)\n",
    "openfermion": "1.0 [Z1 Z2] +\n0.5 [Z0 Z1] +\n-0.25 [Z0 Z2] +\n0.75 [X0]",
    "qiskit": str(SparsePauliOp.from_list(list(PAULIS.items()))),
    "json": json.dumps({"terms": PAULIS}),
    "json-dictionary": json.dumps(PAULIS),
    "json-pairs": json.dumps(list(PAULIS.items())),
    "json-pairs-turned": json.dumps([[c, label] for label, c in PAULIS.items()]),
    "json-records": json.dumps([{"pauli": label, "coeff": c} for label, c in PAULIS.items()]),
    "json-columns": json.dumps({"paulis": list(PAULIS), "coeffs": list(PAULIS.values())}),
    "json-complex": json.dumps({label: [c, 0.0] for label, c in PAULIS.items()}),
    "json-sparse": json.dumps({"Z1 Z2": 1.0, "Z0 Z1": 0.5, "Z0 Z2": -0.25, "X0": 0.75}),
}


def text_of(name: str) -> str:
    graph = nx.Graph()
    graph.add_weighted_edges_from([(a, b, w) for (a, b), w in EDGES.items()])
    writers: dict[str, Any] = {"gml": nx.generate_gml, "gexf": nx.generate_gexf, "graphml": nx.generate_graphml}
    return GRAPHS[name][1] or "\n".join(writers[name](graph))


def edges_of(problem: BinaryProblem) -> dict[frozenset[str], float]:
    labels = problem.labels
    return {frozenset((labels[i], labels[j])): -2 * w for (i, j), w in problem.objective.couplings.items()}


def file_problem(name: str) -> BinaryProblem:
    read = read_problem(DIALECTS / name)
    return read_binary_problem(str(read.text), read.name)


@pytest.mark.parametrize("name", GRAPHS)
def test_each_format_of_a_graph_has_its_edges_and_one_reader(name: str) -> None:
    text = text_of(name)
    assert detect_format(text) is GRAPHS[name][0]
    problem = read_binary_problem(text, name)
    shift = 1 if name == "matrix" else 0  # whose rows have no names
    named = {frozenset(str(int(node) - shift) for node in pair): w for pair, w in EDGES.items()}
    assert edges_of(problem) == named
    assert problem.title.startswith("max-cut of 4 nodes, 4 edges, weights 1 to 4, read as ")
    assert problem.extremes == (CUT, 0.0)


@pytest.mark.parametrize("name", QUBOS)
def test_each_format_of_a_qubo_has_its_energies_and_one_reader(name: str) -> None:
    form, text = QUBOS[name]
    assert detect_format(text) is form
    problem = read_binary_problem(text, name)
    assert problem.title.startswith("QUBO of 3 variables, 5 terms, minimized")
    for bits in itertools.product((0, 1), repeat=3):
        energy = sum(q * bits[int(i)] * bits[int(j)] for (i, j), q in TERMS.items())
        assert problem.objective.energies([bits])[0] == pytest.approx(energy)


@pytest.mark.parametrize("name", PAULI_TEXTS)
def test_each_form_of_a_pauli_sum_is_its_operator_and_has_one_reader(name: str) -> None:
    text = PAULI_TEXTS[name]
    assert detect_format(text) is InputFormat.PAULIS
    assert dict(read_pauli_sum(text, name).hamiltonian.to_list()) == {label: complex(c) for label, c in PAULIS.items()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ZZI 1.0\nIZ 0.5\n", "2 letter"),
        ("ZZI 1.0\nIZZ\n", "not a label"),
        ("ZZI 1.0\nIZZ 0.5+0.1j\n", "not real"),
        ("ZZI 1.0\nIXX 0.5\n0.5\n", "not a label"),
        ("0.5 [Z0 Z1] +\n", "text was cut"),
        ("0.5 [Z0 Z1] +\n0.3 [X", "have been cut"),
        ("0.5 [Z0 Z0]\n", "qubit 0 twice"),
        ("SparsePauliOp(['ZZ', 'XX', ..., 'YY'],\n coeffs=[1., 2., ..., 3.])", "not whole"),
        ("SparsePauliOp(['ZZ', 'XX'],\n coeffs=[1.])", "2 labels and 1 coefficients"),
    ],
)
def test_a_pauli_sum_that_contradicts_itself_is_refused(text: str, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        read_pauli_sum(text, "operator")


def test_the_files_of_graphs_have_the_cut_of_brute_force() -> None:
    assert file_problem("o11_konect.tsv").extremes == (9.0, 0.0)
    assert file_problem("o11_konect.tsv").unused == ("time stamps",)
    assert file_problem("o13d_label_weight.graphml").extremes == (5.0, 0.0)
    assert "'Edge Weight' as weight" in file_problem("o13d_label_weight.graphml").title
    assert file_problem("o16d_edge_list.json").extremes == (4.5, 0.0)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("o15g_rudy_truncated.mc", 1, "5 nodes and 6 edges, and 5 lines follow"),
        ("o15h_weight_missing.txt", 3, "a weight is missing"),
        ("o20_knapsack.csv", 2, "this is a table, and not the edges of a graph"),
    ],
)
def test_a_file_that_is_no_graph_is_refused_by_its_cause(name: str, line: int, message: str) -> None:
    with pytest.raises(ProblemError, match=message) as refused:
        file_problem(name)
    assert refused.value.line == line


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("p1_openfermion.txt", {"IZZ": 0.5, "ZZI": 1.0, "XII": 0.3, "IXI": 0.3, "IIX": 0.3}),
        ("p3c_coeff_first.txt", {"ZZI": 1.0, "IZZ": 0.5, "ZIZ": -0.25, "IIZ": 0.75}),
        ("p7_sparsepauliop_repr.txt", {"ZZI": 1.0, "IZZ": 0.5, "XII": 0.3, "IXI": 0.3, "IIX": 0.3}),
    ],
)
def test_the_files_of_operators_have_the_lowest_eigenvalue(name: str, terms: dict[str, float]) -> None:
    found = parse_problem(read_problem(DIALECTS / name))
    exact = np.linalg.eigvalsh(SparsePauliOp.from_list(list(terms.items())).to_matrix())[0]
    assert found.exact_ground_energy() == pytest.approx(exact, abs=1e-9)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "atoms", "charge", "stated"),
    [
        ("g1_charge_line.txt", "He 0 0 0; H 0 0 0.9", 1, "charge and multiplicity by line 1"),
        ("g4b_qcschema_molecule.json", "He 0 0 0; H 0 0 0.8996012579248", 1, "charge by QCSchema"),
        ("g5b_oh_minus.xyz", "O 0 0 0; H 0 0 0.97", -1, "charge by its comment"),
    ],
)
def test_the_files_of_geometries_have_the_energy_of_their_charge(
    name: str, atoms: str, charge: int, stated: str
) -> None:
    found = parse_problem(read_problem(DIALECTS / name, GeometryOptions()))
    built = gto.M(atom=atoms, basis="sto-3g", charge=charge, verbose=0)
    field = scf.RHF(built).run()
    assert exact_energy(found) == pytest.approx(fci.FCI(field).kernel()[0], abs=1e-6)  # type: ignore[arg-type]
    assert stated in found.geometry.title  # type: ignore[union-attr]
    with pytest.raises(InputError, match=f"states charge {charge}, and {charge + 1} is given"):
        read_problem(DIALECTS / name, GeometryOptions(charge=charge + 1))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("units bohr\nH 0 0 0\nH 0 0 1.4\n", "H 0 0 0; H 0 0 0.7408480947616"),
        ("D 0 0 0\nH 0 0 0.74\n", "H 0 0 0; H 0 0 0.74"),
        ("0 1\nH\nX 1 1.0\nH 1 0.74 2 90\n", "H 0 0 0; H 0 0 0.74"),
    ],
    ids=["units", "isotope", "dummy"],
)
def test_a_dialect_of_geometries_is_the_plain_one(text: str, same: str, tmp_path: Path) -> None:
    (tmp_path / "molecule.txt").write_text(text)
    found, plain = read_problem(tmp_path / "molecule.txt", GeometryOptions()), read_problem({"geometry": same})
    energies = [exact_energy(parse_problem(each)) for each in (found, plain)]  # type: ignore[arg-type]
    assert energies[0] == pytest.approx(energies[1], abs=1e-7)


def test_a_lattice_model_needs_no_core_energy_unless_it_was_cut() -> None:
    found = read_fcidump((DIALECTS / "f7_hubbard_no_core.fcidump").read_text(), "hubbard")
    assert exact_energy(found) == pytest.approx(-1.0, abs=1e-9)  # U/2 − √(U²/4 + 4t²) of U = 3, t = 1
    assert "core energy 0" in found.stated
    ring = [(2, 1), (3, 2), (4, 1), (4, 3)]
    sites = "".join(f"4.0 {p} {p} {p} {p}\n" for p in range(1, 5))
    text = " &FCI NORB=4,NELEC=4,MS2=0,\n &END\n" + sites + "".join(f"-1.0 {p} {q} 0 0\n" for p, q in ring)
    assert read_fcidump(text, "ring").core_energy == 0.0
    lines = text.splitlines(keepends=True)
    for end in range(1, len(lines)):
        with pytest.raises(ProblemError):
            read_fcidump("".join(lines[:end]), "cut")


def test_integrals_of_complex_type_and_with_comments_are_real() -> None:
    plain = (DATA / "H2_0.735.fcidump").read_text()
    head, _, rest = plain.partition("&END\n") if "&END\n" in plain else plain.partition("/\n")
    rows = [line.split() for line in rest.splitlines() if line.strip()]
    written = "".join(f"({row[0]},0.0) {' '.join(row[1:])}\n" for row in rows)
    found = read_fcidump(f"! of a program\n{head}&END\n# integrals\n{written}", "complex")
    assert exact_energy(found) == pytest.approx(exact_energy(read_fcidump(plain, "plain")), abs=1e-12)


@pytest.mark.parametrize("name", ["H2_0.735", "fcidump/H4_1.5", "fcidump/H3+_0.9"])
def test_integrals_cut_at_any_line_are_refused(name: str) -> None:
    lines = (DATA / f"{name}.fcidump").read_text().rstrip().splitlines(keepends=True)
    for end in range(1, len(lines)):
        with pytest.raises(ProblemError):
            read_fcidump("".join(lines[:end]), "cut")


def test_an_independent_set_has_the_largest_weight() -> None:
    graph = nx.Graph(nx.petersen_graph())
    weights = {node: float(1 + 3 * node % 7) for node in graph}
    text = f"p edge 10 {graph.number_of_edges()}\n"
    text += "".join(f"n {node + 1} {weight}\n" for node, weight in weights.items())
    text += "".join(f"e {a + 1} {b + 1}\n" for a, b in graph.edges)
    problem = read_binary_problem(text, "petersen", GraphObjective.INDEPENDENT_SET)
    whole = {node: {"weight": int(weight)} for node, weight in weights.items()}
    nx.set_node_attributes(graph, whole)
    _, best = nx.max_weight_clique(complement(graph), weight="weight")
    assert problem.extremes is not None
    assert problem.extremes[0] == best
    lowest = problem.cost.all_energies().min()
    assert lowest == pytest.approx(-best)  # so that the penalty is large enough
    assert problem.title.startswith("maximum weight independent set of 10 nodes, 15 edges, weights of nodes 1 to ")
    assert read_binary_problem(text, "petersen").unused == ("weights of the nodes",)


def complement(graph: nx.Graph) -> nx.Graph:
    other = nx.complement(graph)
    other.add_nodes_from(graph.nodes(data=True))
    return other
