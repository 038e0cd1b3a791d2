"""Python objects as problems: their text has the energies that the object's own library computes, and their names."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import dimod
import networkx as nx
import numpy as np
import pytest
import rustworkx as rx
import scipy.sparse
from numpy.typing import NDArray
from pyscf import fci, gto, mcscf, scf
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator, Pauli, SparseObservable, SparsePauliOp

import hybridloop as hl
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.problems.exact import exact_ground_energy
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.api.sweep_input import read_sweep
from hybridloop.data import load_table
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.flows.sweep_execution.spec import points_of
from hybridloop.inputs.formats.binary import read_binary_problem
from hybridloop.inputs.formats.energies import read_energy_problem, read_pauli_sum
from hybridloop.inputs.problem_objects.geometry_options import GeometryOptions
from hybridloop.inputs.problems import Reading, read_for, read_problem, read_scan
from tests.paths import DATA
from tests.preparation_helpers import prepare_qaoa
from tests.value_helpers import known

ROADS = [("oslo", "bergen", 7.5), ("bergen", "stavanger", 2.0), ("oslo", "stavanger", 5.5)]
H2 = "H 0 0 0; H 0 0 0.735"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Integrals of PySCF are kept in HYBRIDLOOP_HOME."""
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(tmp_path))


def binary(value: object) -> BinaryProblem:
    problem = read_problem(value)
    return read_binary_problem(known(problem.text), problem.name)


def text_of(value: object) -> str:
    text = read_problem(value).text
    return known(text)


def molecule_of(text: str | None) -> Molecule:
    molecule = read_energy_problem(str(text), "molecule")
    assert isinstance(molecule, Molecule)
    return molecule


def matrix_of(value: object) -> NDArray[Any]:
    """Return the matrix of a Pauli sum with qubit 0 as the leftmost factor, as OpenFermion and PennyLane have it."""
    terms = read_pauli_sum(text_of(value), "operator").hamiltonian.to_list()
    matrix: NDArray[Any] = SparsePauliOp.from_list([(label[::-1], value) for label, value in terms]).to_matrix()
    return matrix


def assignments(count: int) -> NDArray[np.int_]:
    return np.array(list(itertools.product((0, 1), repeat=count)))


def weighted_graph() -> nx.Graph:
    graph = nx.Graph(name="roads")
    graph.add_weighted_edges_from(ROADS)
    graph.add_node("lonely")
    return graph


def test_a_networkx_graph_keeps_its_names_and_cuts() -> None:
    graph = weighted_graph()
    problem = binary(graph)
    assert problem.labels == ("oslo", "bergen", "stavanger", "lonely")
    for bits in assignments(4):
        chosen = {node for node, bit in zip(graph, bits, strict=True) if bit}
        assert problem.objective.energies([bits])[0] == pytest.approx(nx.cut_size(graph, chosen, weight="weight"))


@pytest.mark.parametrize(
    "value",
    [
        ROADS,
        [(*edge[:2], {"weight": edge[2]}) for edge in ROADS],
        {edge[:2]: edge[2] for edge in ROADS},
        nx.node_link_data(weighted_graph(), edges="links"),
    ],
    ids=["tuples", "with attributes", "by pair", "node-link data"],
)
def test_edges_are_the_same_graph(value: object) -> None:
    expected = binary(weighted_graph())
    found = binary(value)
    assert found.labels == expected.labels[: len(found.labels)]
    assert found.objective.couplings == expected.objective.couplings


def test_a_rustworkx_graph_has_the_names_of_its_nodes() -> None:
    graph = rx.PyGraph()
    graph.add_nodes_from(["oslo", "gone", "bergen"])
    graph.remove_node(1)
    graph.add_edge(0, 2, 7.5)
    assert binary(graph).labels == ("oslo", "bergen")
    graph[2] = None
    assert binary(graph).labels == ("0", "2")
    assert binary(rx.generators.cycle_graph(5)).extremes == (4.0, 0.0)  # an odd cycle keeps one edge


@pytest.mark.parametrize("convert", [np.asarray, scipy.sparse.csr_array, scipy.sparse.coo_matrix])
def test_a_symmetric_matrix_without_a_diagonal_is_a_graph(convert: Any) -> None:
    graph = weighted_graph()
    problem = binary(convert(nx.to_numpy_array(graph)))
    assert problem.kind == "max-cut"
    assert problem.objective.couplings == binary(graph).objective.couplings


@pytest.mark.parametrize("convert", [np.asarray, scipy.sparse.csc_matrix])
def test_a_matrix_with_a_diagonal_is_a_qubo(convert: Any) -> None:
    matrix = np.random.default_rng(5).integers(-4, 5, (4, 4)).astype(float) + np.diag([1.5] * 4)
    problem = binary(convert(matrix))
    assert problem.kind == "qubo"
    bits = assignments(4)
    assert problem.objective.energies(bits) == pytest.approx(np.einsum("ki,ij,kj->k", bits, matrix, bits))
    assert binary({"qubo": matrix}).objective.energies(bits) == pytest.approx(problem.objective.energies(bits))


@pytest.mark.parametrize("vartype", ["BINARY", "SPIN"])
def test_a_quadratic_model_keeps_its_energies_and_names(vartype: str) -> None:
    model = dimod.BinaryQuadraticModel({"a": 1.5, 7: -2.0, "c": 0.0}, {("c", "a"): 3.0, (7, "c"): -1.0}, 0.25, vartype)
    problem = binary(model)
    assert problem.labels == tuple(map(str, model.variables))
    assert problem.kind == ("qubo" if vartype == "BINARY" else "ising")
    for bits in assignments(3):
        values = bits if vartype == "BINARY" else 1 - 2 * bits
        energy = model.energy(dict(zip(model.variables, values, strict=True)))
        assert problem.objective.energies([bits])[0] == pytest.approx(energy)


def test_dicts_of_dimod_are_models_too() -> None:
    linear, quadratic = {"a": 0.5, "b": -1.0}, {("a", "b"): 2.0}
    spins, bits = dimod.BinaryQuadraticModel.from_ising(linear, quadratic), assignments(2)
    expected = [spins.energy({"a": 1 - 2 * a, "b": 1 - 2 * b}) for a, b in bits]
    assert binary({"h": linear, "J": quadratic}).objective.energies(bits) == pytest.approx(expected)
    terms = {("a", "a"): -1.0, ("a", "b"): 2.0, ("b", "a"): 0.5}
    model = dimod.BinaryQuadraticModel.from_qubo(terms)
    expected = [model.energy({"a": a, "b": b}) for a, b in bits]
    assert binary(terms).objective.energies(bits) == pytest.approx(expected)
    assert binary({"numbers": np.array([3, 1, 2])}).kind == "number-partitioning"


def test_a_diagonal_operator_is_a_binary_problem() -> None:
    operator = SparsePauliOp.from_list([("IIZ", 0.5), ("ZIZ", -1.5), ("IZI", 2.0), ("III", 0.25), ("ZIZ", 0.5)])
    energies = binary(operator).objective.all_energies()
    assert energies == pytest.approx(operator.to_matrix().diagonal().real)  # both number states by variable 0 first


@pytest.mark.parametrize(
    "value",
    [
        SparsePauliOp.from_list([("XZI", 0.5), ("YYI", -1.0), ("III", 2.0)]),
        SparseObservable.from_list([("XZI", 0.5), ("YYI", -1.0), ("III", 2.0)]),
        [("XZI", 0.5), ("YYI", -1.0), ("III", 2.0)],
        {"XZI": 0.5, "YYI": -1.0, "III": 2.0},
        Operator(SparsePauliOp.from_list([("XZI", 0.5), ("YYI", -1.0), ("III", 2.0)])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_operator_keeps_its_matrix(value: object) -> None:
    expected = 0.5 * Pauli("XZI").to_matrix() - Pauli("YYI").to_matrix() + 2 * np.eye(8)
    assert read_pauli_sum(text_of(value), "").hamiltonian.to_matrix() == pytest.approx(expected)


def test_openfermion_operators_keep_their_matrices() -> None:
    import openfermion

    qubits = openfermion.QubitOperator("X0 Z2", 0.5) + openfermion.QubitOperator("Y1", -2.0) + 0.25
    assert matrix_of(qubits) == pytest.approx(openfermion.get_sparse_operator(qubits).toarray())
    fermions = openfermion.FermionOperator("0^ 2", 0.5) + openfermion.FermionOperator("2^ 0", 0.5)
    fermions += openfermion.FermionOperator("1^ 1", -1.0)
    assert matrix_of(fermions) == pytest.approx(openfermion.get_sparse_operator(fermions).toarray())
    with pytest.raises(InputError, match="not Hermitian"):
        read_problem(openfermion.QubitOperator("X0", 1j))


def test_a_pennylane_hamiltonian_keeps_its_matrix() -> None:
    import pennylane as qml

    operator = qml.Hamiltonian([0.5, -2.0], [qml.X(0) @ qml.Z(2), qml.Y(1)]) + 0.25 * qml.I(0)
    assert matrix_of(operator) == pytest.approx(qml.matrix(operator, wire_order=[0, 1, 2]))
    cost, _ = qml.qaoa.maxcut(nx.Graph([(0, 1), (1, 2), (2, 0)]))
    assert binary(cost).extremes == (-2.0, 0.0)
    with pytest.raises(InputError, match="a sum of Pauli words"):
        read_problem(qml.Hermitian(np.eye(2), 0))


def test_pyscf_objects_have_the_energy_that_pyscf_computes(capfd: pytest.CaptureFixture[str]) -> None:
    mol = gto.M(atom="He 0 0 0; H 0 0 0.9", basis="6-31g", charge=1, verbose=0)
    field = scf.RHF(mol)
    problem = read_problem(mol)
    assert problem.name == "HeH"
    mol.verbose = 4
    read_problem(scf.RHF(mol))
    mol.verbose = 0
    assert capfd.readouterr().out == ""
    assert problem.text == read_problem(field).text
    assert field.mo_coeff is None  # the user's object is left alone
    whole = molecule_of(text_of(field.run()))
    assert whole.hartree_fock_energy == pytest.approx(field.e_tot, abs=1e-8)
    assert exact_ground_energy(whole) == pytest.approx(fci.FCI(field).kernel()[0], abs=1e-7)
    for method in (mcscf.CASCI, mcscf.CASSCF):
        space = molecule_of(text_of(method(field, 2, 2)))
        assert exact_ground_energy(space) == pytest.approx(method(field, 2, 2).run(verbose=0).e_tot, abs=1e-6)
    triplet = molecule_of(text_of(scf.ROHF(gto.M(atom=H2, spin=2, verbose=0))))
    assert triplet.electrons == (2, 0)


def test_a_hamiltonian_of_qdk_chemistry_is_read_by_its_fcidump() -> None:
    dump = (DATA / "H2_0.735.fcidump").read_text("utf-8")

    def to_fcidump_file(_self: object, path: str, alpha: int, beta: int) -> None:
        assert (alpha, beta) == (1, 1)
        assert ".hamiltonian." in path  # else the library refuses the name
        Path(path).write_text(dump, "utf-8")

    kind = type("Hamiltonian", (), {"__module__": "qdk_chemistry.data", "to_fcidump_file": to_fcidump_file})
    assert hl.problem(kind(), electrons=(1, 1), name="h2").text == dump
    with pytest.raises(InputError, match=r"electrons=\(1, 1\)"):
        read_problem(kind())
    state = type("Wavefunction", (), {"get_active_num_electrons": lambda _: (1, 1)})
    members = {"get_hamiltonian": lambda _: kind(), "get_wavefunction": lambda _: state()}
    assert text_of(type("Ansatz", (), {"__module__": "qdk_chemistry._core.data", **members})()) == dump


def test_a_set_of_edges_has_one_text_in_any_order() -> None:
    for edges in (ROADS, ROADS[::-1]):
        assert text_of(set(edges)) == text_of(frozenset(ROADS)) == text_of(sorted(ROADS))
    assert binary({(0, 0): 0.0, (0, 1): -2.0, (1, 2): 1.0}).kind == "qubo"


def test_a_stretched_bond_at_which_hartree_fock_oscillates_is_on_the_curve_of_the_points_before() -> None:
    energies = []
    for bond in (2.2, 2.5, 3.0):  # PySCF's default solver does not converge at the last two
        text = text_of(gto.M(atom=f"H 0 0 0; F 0 0 {bond}", verbose=0))
        energies.append(molecule_of(text).hartree_fock_energy)
    assert energies == pytest.approx([-98.210618, -98.162552, -98.116040], abs=1e-5)  # other solutions are 0.3 higher


@pytest.mark.parametrize("basis", ["sto-3g", "sto-3g@1s", "uncsto-3g"])
def test_no_file_of_this_folder_is_read_as_a_basis_set(
    basis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sto-3g").write_text("BASIS\nH    S\n  open('ran','w') 1.0\nEND\n")
    with pytest.raises(InputError, match="has a file of that name"):
        read_problem(H2, GeometryOptions(basis))
    assert not (tmp_path / "ran").exists()


REFUSED: dict[str, tuple[Any, str]] = {
    "a directed graph": (nx.DiGraph([(0, 1)]), "to_undirected"),
    "a directed rustworkx graph": (rx.PyDiGraph(), "to_undirected"),
    "a directed acyclic graph": (rx.PyDAG(), "to_undirected"),
    "parallel edges": (nx.MultiGraph([(0, 1), (1, 0)]), "parallel edges"),
    "edges with a number by another name": (nx.Graph([(0, 1, {"capacity": 2})]), "'capacity'.*Name it weight"),
    "a weight that is no number": ([("a", "b", "far")], "'far', no number"),
    "two nodes of one name": (nx.Graph([(1, "1")]), "two nodes are called '1'"),
    "a complex weight": ([("a", "b", 1j)], "no number"),
    "a discrete model": (dimod.DiscreteQuadraticModel(), "BinaryQuadraticModel"),
    "a matrix with two meanings": (np.array([[0, -1.0], [-1.0, 0]]), "networkx.from_numpy_array"),
    "a matrix of one triangle": (np.array([[0, 1.0], [0, 0]]), "graph's weights or a QUBO"),
    "a matrix that is not square": (np.ones((2, 3)), "2 × 3"),
    "a complex matrix": (np.array([[1j]]), "no real numbers"),
    "a vector": (np.array([1, 2, 3]), '"numbers"'),
    "a list of numbers": ([3, 1, 2], '"numbers"'),
    "lists with two meanings": ([[0, 1], [1, 2]], "edges as tuples"),
    "a dict with two meanings": ({(0, 1): -2.0, (1, 2): 1.0}, r"networkx graph for edges.*\(0, 0\): 0.0 .* for a QUBO"),
    "tuples with two meanings": (((1, -1, 0), (-1, 2, 0), (0, 0, 3)), "may be edges or a matrix"),
    "an Ising model with a misspelt key": ({"h": {}, "J": {("a", "b"): 1}, "ofset": 5}, "'ofset'.*'offset'"),
    "integrals of many orbitals": (
        gto.M(atom="H 0 0 0", spin=1, basis=[[0, [2.0**n, 1]] for n in range(71)]),
        "71 orb",
    ),
    "an empty list": ([], "has no edges"),
    "a node that is a mapping": ([["a", {"name": "b"}]], "an edge has two nodes"),
    "a node with a list in it": ([[("a", [1]), "b"]], "an edge has two nodes"),
    "an edge of four": ([("a", "b", 1, 2)], "two nodes and an optional weight"),
    "a dict of lists": ({"a": ["b"]}, "Give edges such as"),
    "a dict without numbers": ({("a", "b"): None}, "no pair with a number"),
    "an operator that is not Hermitian": (SparsePauliOp(["X"], [1j]), "not Hermitian"),
    "an operator with a parameter": (SparsePauliOp(["X"], [Parameter("t")]), "parameters: t"),
    "a circuit": (QuantumCircuit(1), "ansatz=circuit"),
    "unrestricted orbitals": (scf.UHF(gto.M(atom=H2, verbose=0)), "scf.RHF"),
    "a text": ("0 1\n1 2\n", "ProblemText"),
    "atoms with commas": ("H 0 0 0, H 0 0 0.74", "atom 1 .* has 7 coordinates.*separated by semicolons"),
    "an atom with two coordinates": ("H 0 0 0; H 0 0", r"atom 2 \(H\) has 2 coordinates"),
    "an atom that is none": ("H 0 0 0\nH 0 0 x", "atom 2 is 'H 0 0 x'"),
    "a built-in geometry by another name": ({"geometry": "h2", "name": "mine"}, "Leave name out"),
    "a number": (3, "no problem can be read from a int"),
    "nothing": (None, "no problem can be read from a NoneType"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_object_that_is_no_problem_is_refused_with_what_to_write(case: str) -> None:
    value, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        read_problem(value)


def test_qaoa_refuses_an_operator_that_it_cannot_minimize() -> None:
    with pytest.raises(InputError, match=r"XZ is not diagonal.*run vqe"):
        prepare_qaoa(read_problem(SparsePauliOp(["XZ"])), QaoaSettings(), seed=0)


def test_a_sweep_takes_objects_and_geometries(tmp_path: Path) -> None:
    graphs = read_sweep({"name": "s", "algorithm": "qaoa", "problems": [nx.cycle_graph(3), weighted_graph(), ROADS]})
    assert [problem.name for problem in graphs.problems] == ["graph-1", "roads", "graph-2"]
    points = [{"problem": weighted_graph(), "shots": 10}, {"problem": "petersen"}]
    listed = read_sweep({"name": "s", "algorithm": "qaoa", "points": points})
    assert [point.problem.name for point in points_of(listed)] == ["roads", "petersen"]
    (tmp_path / "h2.xyz").write_text("2\n\nH 0 0 0\nH 0 0 0.735\n")
    geometries = f"[h2.xyz, {{geometry: h2.xyz, basis: 6-31g, charge: 1}}, '{H2}', h2]"
    (tmp_path / "sweep.yaml").write_text(f"algorithm: vqe\nproblems: {geometries}\n")
    spec = read_sweep(tmp_path / "sweep.yaml")
    assert [problem.name for problem in spec.problems] == ["h2-sto-3g", "h2-6-31g", "H2-sto-3g", "h2"]
    assert spec.problems[0].text == spec.problems[2].text
    curve = [{"geometry": f"H 0 0 0; H 0 0 {distance}", "name": f"H2-{distance}A"} for distance in (0.6, 0.9)]
    named = read_sweep({"name": "s", "algorithm": "vqe", "problems": curve})
    assert [problem.name for problem in named.problems] == ["H2-0.6A", "H2-0.9A"]
    assert molecule_of(spec.problems[1].text).electrons == (1, 0)


def test_a_geometry_has_basis_charge_and_multiplicity() -> None:
    built_in = molecule_of(load_table("problems")["h2"]["fcidump"])
    found = molecule_of(read_for("vqe", H2, VqeSettings(), Reading(GeometryOptions())).text)
    assert exact_ground_energy(found) == pytest.approx(exact_ground_energy(built_in), abs=1e-8)
    triplet = read_for("vqe", H2, VqeSettings(multiplicity=3), Reading(GeometryOptions("6-31g")))
    assert molecule_of(triplet.text).electrons == (2, 0)
    for options, message in (
        (GeometryOptions("sto-33g"), "PySCF can't compute"),
        (GeometryOptions("../basis"), "no name of a basis set"),
        (GeometryOptions(charge=1, multiplicity=1), "PySCF can't compute"),
    ):
        with pytest.raises(InputError, match=message):
            read_problem(H2, options)
    for field, options in (("basis", GeometryOptions("sto-3g")), ("charge", GeometryOptions(charge=0))):
        with pytest.raises(InputError, match=f"{field}: h2 is no geometry"):
            read_problem("h2", options)
    for given, message in (({"bases": "x"}, "no 'bases'"), ({"charge": "1"}, "charge '1' is not taken for a geometry")):
        with pytest.raises(InputError, match=message):
            read_problem({"geometry": H2, **given})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3\n\nH 0 0 0\nH 0 0 0.7\n", "3 atoms, and 2 lines"),
        ("2\n\nH 0 0 0\nH 0 0 __import__('os').abort()\n", "line 4.*no atom with three coordinates"),
    ],
)
def test_a_geometry_is_parsed_before_pyscf_sees_it(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.xyz").write_text(text)
    with pytest.raises(InputError, match=message):
        read_problem(tmp_path / "bad.xyz", GeometryOptions())
    with pytest.raises(InputError, match=message):
        hl.molecule(tmp_path / "bad.xyz")


def test_a_problem_can_be_given_a_name() -> None:
    named = hl.problem(weighted_graph(), name="norway")
    assert (named.name, named.text) == ("norway", text_of(weighted_graph()))
    assert read_problem(named.model_dump()) == named  # as a deployment's parameter
    with pytest.raises(InputError, match="a built-in problem"):
        hl.problem("h2", name="mine")


def test_the_points_of_a_scan_are_told_apart() -> None:
    points = [gto.M(atom=f"H 0 0 0; H 0 0 {distance}", verbose=0) for distance in (0.7, 0.9)]
    scan = json.loads(text_of(read_scan(points)))
    assert [point["name"] for point in scan["points"]] == ["H2-1", "H2-2"]
