"""Measurement groups of an observable, and the circuits that measure them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Qubit
from qiskit.quantum_info import (
    Operator,
    Pauli,
    PauliList,
    SparsePauliOp,
    Statevector,
    random_clifford,
    random_pauli_list,
    random_statevector,
)

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits.diagonalization import Diagonalization, Gate, diagonalize
from hybridloop.algorithms.estimation import observable as observable_module
from hybridloop.algorithms.estimation.commuting_groups import color_greedily
from hybridloop.algorithms.estimation.estimates import combine, group_statistics
from hybridloop.algorithms.estimation.observable import Grouping, MeasurementGroup, observable
from hybridloop.algorithms.rounds import Counts
from hybridloop.errors import InputError
from tests.algorithms.reference_helpers import MOLECULES, problem_of
from tests.long_form import long_form, short_or_long

GROUPINGS = list(Grouping)
LABELS = st.lists(st.text("IXYZ", min_size=3, max_size=3), min_size=1, max_size=20, unique=True)


def terms(group: MeasurementGroup) -> list[str]:
    """Return the group's Pauli labels, from its basis and masks."""
    places = list(enumerate(reversed(group.basis)))
    return ["".join(letter if mask >> i & 1 else "I" for i, letter in reversed(places)) for mask in group.masks]


@given(LABELS, st.integers(0, 2**32))
def test_grouping_keeps_every_term_once_and_groups_only_commuting_terms(labels: list[str], seed: int) -> None:
    coefficients = np.random.default_rng(seed).normal(size=len(labels))
    made = observable(SparsePauliOp(labels, coefficients))
    kept = {
        term: coefficient
        for group in made.groups
        for term, coefficient in zip(terms(group), group.coefficients, strict=True)
    }
    if made.constant:
        kept["III"] = made.constant
    assert kept == pytest.approx(dict(zip(labels, coefficients, strict=True)))
    assert sum(len(group.masks) for group in made.groups) == len(set(labels) - {"III"})
    for group in made.groups:
        assert len(SparsePauliOp(terms(group)).group_commuting(qubit_wise=True)) == 1


def dense(group: MeasurementGroup, num_qubits: int) -> NDArray[np.complex128]:
    """Return the group's operator as a matrix: its diagonal, transformed back by the unitary of its circuit."""
    circuit = group.measurement_circuit(QuantumCircuit(num_qubits)).remove_final_measurements(inplace=False)
    outcomes = np.arange(2**num_qubits)
    signs = [1 - 2.0 * (np.bitwise_count(outcomes & mask) % 2) for mask in group.masks]
    diagonal = np.diag(group.coefficients @ np.array(signs).reshape(len(group.masks), -1))
    unitary: NDArray[np.complex128] = Operator(circuit).data
    transformed: NDArray[np.complex128] = unitary.conj().T @ diagonal @ unitary
    return transformed


@long_form
@settings(max_examples=short_or_long(20, 200))
@given(st.lists(st.text("IXYZ", min_size=4, max_size=4), min_size=1, max_size=30, unique=True), st.integers(0, 2**32))
def test_fully_commuting_groups_add_up_to_the_operator_as_dense_matrices(labels: list[str], seed: int) -> None:
    operator = SparsePauliOp(labels, np.random.default_rng(seed).normal(size=len(labels)))
    made = observable(operator, Grouping.FULLY_COMMUTING)
    together = made.constant * np.eye(16) + sum(dense(group, 4) for group in made.groups)
    np.testing.assert_allclose(together, operator.to_matrix(), atol=1e-12)
    assert sum(len(group.masks) for group in made.groups) == len(set(labels) - {"IIII"})
    assert all(len(set(group.masks)) == len(group.masks) for group in made.groups)
    assert 0 not in [mask for group in made.groups for mask in group.masks]


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_signs_of_transformed_terms_are_those_of_dense_matrices(seed: int, num_qubits: int) -> None:
    rng = np.random.default_rng(seed)
    paulis = random_pauli_list(num_qubits, 12, seed=rng, phase=False)
    gates: list[Gate] = []
    for _ in range(20):
        name = str(rng.choice(["h", "s", "sdg", *(["cx"] if num_qubits > 1 else [])]))
        gates.append((name, tuple(rng.permutation(num_qubits)[: 2 if name == "cx" else 1].tolist())))
    diagonalization, circuit = Diagonalization(tuple(gates)), QuantumCircuit(num_qubits)
    diagonalization.append_to(circuit)
    unitary, table = Operator(circuit).data, diagonalization.transform(paulis)
    for term, x, z, sign in zip(paulis, table.x, table.z, table.phase == 2, strict=True):
        expected = unitary @ term.to_matrix() @ unitary.conj().T
        np.testing.assert_allclose((-1.0 if sign else 1.0) * Pauli((z, x)).to_matrix(), expected, atol=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_commuting_terms_are_diagonalized_with_at_most_n_squared_two_qubit_gates(seed: int) -> None:
    rng, num_qubits = np.random.default_rng(seed), 6
    z = rng.integers(0, 2, (20, num_qubits)).astype(bool)
    scrambled = random_clifford(num_qubits, seed=rng)
    terms = [Pauli((row, np.zeros(num_qubits, bool))).evolve(scrambled) for row in np.unique(z, axis=0)]
    paulis = PauliList.from_symplectic(np.array([term.z for term in terms]), np.array([term.x for term in terms]))
    diagonalization = diagonalize(paulis)
    assert not diagonalization.transform(paulis).x.any()
    assert diagonalization.two_qubit_gates <= num_qubits * (num_qubits - 1)


def test_qubit_wise_commuting_terms_take_no_two_qubit_gate() -> None:
    (group,) = observable(SparsePauliOp(["XIZ", "IYI"], [1.0, 2.0]), Grouping.FULLY_COMMUTING).groups
    assert group.diagonalization is None
    assert group.basis == "XYZ"


@long_form
@settings(max_examples=short_or_long(10, 100))
@given(LABELS, st.integers(0, 2**32), st.sampled_from(GROUPINGS))
def test_measured_circuits_give_the_expectation_value(labels: list[str], seed: int, grouping: Grouping) -> None:
    operator = SparsePauliOp(labels, np.random.default_rng(seed).normal(size=len(labels)))
    state = random_statevector(8, seed)
    circuit = QuantumCircuit(3)
    circuit.prepare_state(state)
    made = observable(operator, grouping)
    tallies = []
    for group in made.groups:
        measured = group.measurement_circuit(circuit)
        assert [register.name for register in measured.cregs] == ["c"]
        probabilities = Statevector(measured.remove_final_measurements(inplace=False)).probabilities()
        counts = {format(i, "03b"): round(p * 10**15) for i, p in enumerate(probabilities)}
        tallies.append(group_statistics(group, Counts.from_bitstrings(counts)))
    expected = state.expectation_value(operator).real
    assert combine(made.constant, tallies).value == pytest.approx(expected, abs=1e-9)


def test_qubit_i_is_measured_into_bit_i() -> None:
    (group,) = observable(SparsePauliOp(["XIZ", "IYI"], [1.0, 2.0])).groups
    measured = group.measurement_circuit(QuantumCircuit(3))
    targets = {
        measured.find_bit(gate.qubits[0]).index: measured.find_bit(gate.clbits[0]).index
        for gate in measured.data
        if gate.operation.name == "measure"
    }
    assert targets == {0: 0, 1: 1, 2: 2}
    assert measured.count_ops() == {"measure": 3, "h": 2, "sdg": 1}


def test_qubits_outside_all_registers_are_measured_too() -> None:
    (group,) = observable(SparsePauliOp(["Z"])).groups
    circuit = QuantumCircuit([Qubit()])
    circuit.x(0)
    assert group.measurement_circuit(circuit).count_ops() == {"x": 1, "measure": 1}


@pytest.mark.parametrize("mapping", list(FermionMapping))
def test_groups_need_no_more_shots_than_qiskits_and_are_about_as_few_as_the_reference(mapping: FermionMapping) -> None:
    for name, known in MOLECULES.items():
        problem = problem_of(name, mapping)
        made = observable(problem.hamiltonian)
        counts = [known[mapping][key] for key in ("qwc_groups_sorted_insertion", "qwc_groups_qiskit")]
        assert len(made.groups) <= 1.03 * max(counts)  # ties among equal coefficients may fall otherwise
        rest = problem.hamiltonian[(problem.hamiltonian.paulis.x | problem.hamiltonian.paulis.z).any(axis=1)]
        library = sum(np.linalg.norm(part.coeffs) for part in rest.group_commuting(qubit_wise=True))
        assert sum(np.linalg.norm(group.coefficients) for group in made.groups) <= library + 1e-12


@pytest.mark.parametrize("mapping", list(FermionMapping))
@pytest.mark.parametrize(("name", "known"), [("H2_0.735", 2), ("HeH+_0.7743", 4), ("H4_1", 9), ("LiH_1.595_fc", 20)])
def test_fully_commuting_groups_are_about_as_few_as_in_another_implementation(
    mapping: FermionMapping, name: str, known: int
) -> None:
    made = observable(problem_of(name, mapping).hamiltonian, Grouping.FULLY_COMMUTING)
    assert len(made.groups) <= 1.05 * known  # ties among equal coefficients may fall otherwise
    assert made.two_qubit_gates <= 10


@pytest.mark.parametrize(
    ("coefficient", "words"), [(1j, "not Hermitian"), (np.nan, "not a finite number"), (np.inf, "not a finite number")]
)
def test_operators_with_invalid_coefficients_are_refused(coefficient: complex, words: str) -> None:
    with np.errstate(invalid="ignore"):  # of infinity, which the library multiplies by 1
        operator = SparsePauliOp(["ZZ", "XX"], np.array([1.0, coefficient]))
    with pytest.raises(InputError, match=words) as caught:
        observable(operator)
    assert caught.value.field == "problem"


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_thousands_of_terms_are_grouped_without_graph_coloring(
    grouping: Grouping, monkeypatch: pytest.MonkeyPatch
) -> None:
    coloured: list[int] = []

    def counted(paulis: PauliList, *, qubit_wise: bool) -> list[list[int]]:
        coloured.append(len(paulis))
        return color_greedily(paulis, qubit_wise=qubit_wise)

    monkeypatch.setattr(observable_module, "color_greedily", counted)
    labels = ["".join("IZ"[mask >> qubit & 1] for qubit in range(12)) for mask in range(1, 3002)]
    (group,) = observable(SparsePauliOp(labels), grouping).groups
    assert len(group.masks) == 3001
    assert coloured == []
    observable(SparsePauliOp(labels[:50]), grouping)
    assert coloured == [50]
