"""Groups of terms, and the circuits that answer for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Qubit
from qiskit.quantum_info import SparsePauliOp, Statevector, random_statevector

from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.estimation import combine, tally
from hybridloop.algorithms.fermions import FermionMapping
from hybridloop.algorithms.measurement import MeasurementGroup, observable
from hybridloop.algorithms.rounds import Counts
from hybridloop.errors import InputError

LABELS = st.lists(st.text("IXYZ", min_size=3, max_size=3), min_size=1, max_size=20, unique=True)


def terms(group: MeasurementGroup) -> list[str]:
    """The group's Pauli labels, spelled out from its basis and masks."""
    places = list(enumerate(reversed(group.basis)))
    return ["".join(letter if mask >> i & 1 else "I" for i, letter in reversed(places)) for mask in group.masks]


@given(LABELS, st.integers(0, 2**32))
def test_grouping_keeps_every_term_once_and_mixes_only_what_commutes(labels: list[str], seed: int) -> None:
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


@settings(max_examples=25)
@given(LABELS, st.integers(0, 2**32))
def test_measured_circuits_give_the_expectation_value(labels: list[str], seed: int) -> None:
    operator = SparsePauliOp(labels, np.random.default_rng(seed).normal(size=len(labels)))
    state = random_statevector(8, seed)
    circuit = QuantumCircuit(3)
    circuit.prepare_state(state)
    made = observable(operator)
    tallies = []
    for group in made.groups:
        measured = group.measured(circuit)
        assert [register.name for register in measured.cregs] == ["c"]
        probabilities = Statevector(measured.remove_final_measurements(inplace=False)).probabilities()
        counts = {format(i, "03b"): round(p * 10**15) for i, p in enumerate(probabilities)}
        tallies.append(tally(group, Counts.from_bitstrings(counts)))
    expected = state.expectation_value(operator).real
    assert combine(made, tallies).value == pytest.approx(expected, abs=1e-9)


def test_qubit_i_is_measured_into_bit_i() -> None:
    (group,) = observable(SparsePauliOp(["XIZ", "IYI"], [1.0, 2.0])).groups
    measured = group.measured(QuantumCircuit(3))
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
    assert group.measured(circuit).count_ops() == {"x": 1, "measure": 1}


@pytest.mark.parametrize("mapping", list(FermionMapping))
def test_groups_promise_no_more_shots_than_the_librarys_and_are_about_as_few_as_the_reference(
    reference: Mapping[str, Any], problem_of: Callable[..., ElectronicProblem], mapping: FermionMapping
) -> None:
    for name, known in reference.items():
        problem = problem_of(name, mapping)
        made = observable(problem.hamiltonian)
        counts = [known[mapping][key] for key in ("qwc_groups_sorted_insertion", "qwc_groups_qiskit")]
        assert len(made.groups) <= 1.03 * max(counts)  # ties among equal coefficients may fall otherwise
        rest = problem.hamiltonian[(problem.hamiltonian.paulis.x | problem.hamiltonian.paulis.z).any(axis=1)]
        library = sum(np.linalg.norm(part.coeffs) for part in rest.group_commuting(qubit_wise=True))
        assert sum(np.linalg.norm(group.coefficients) for group in made.groups) <= library + 1e-12


@pytest.mark.parametrize(
    ("coefficient", "words"), [(1j, "not Hermitian"), (np.nan, "no finite number"), (np.inf, "no finite number")]
)
def test_operators_that_are_no_energy_are_refused(coefficient: complex, words: str) -> None:
    with np.errstate(invalid="ignore"):  # of infinity, which the library multiplies by 1
        operator = SparsePauliOp(["ZZ", "XX"], np.array([1.0, coefficient]))
    with pytest.raises(InputError, match=words) as caught:
        observable(operator)
    assert caught.value.field == "problem"
