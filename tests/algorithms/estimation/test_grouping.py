"""Coefficient splitting: the same operator with fewer shots, at the exact ground state of reference molecules."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector
from scipy.sparse.linalg import eigsh

from hybridloop.algorithms.circuits.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.estimates import shot_energies
from hybridloop.algorithms.estimation.grouping import (
    GroupingChoice,
    choose_grouping,
    group_hamiltonian,
    split_coefficients,
)
from hybridloop.algorithms.estimation.observable import Grouping, Observable, observable
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.rounds import Counts


def dense(measured: Observable) -> NDArray[np.complex128]:
    """Rebuild the operator from the groups: each diagonal, transformed back by its circuit's unitary."""
    size = 2**measured.num_qubits
    total: NDArray[np.complex128] = measured.constant * np.eye(size).astype(np.complex128)
    for group in measured.groups:
        circuit = group.measurement_circuit(QuantumCircuit(measured.num_qubits)).remove_final_measurements(
            inplace=False
        )
        signs = [1 - 2.0 * (np.bitwise_count(np.arange(size) & mask) % 2) for mask in group.masks]
        unitary = Operator(circuit).data
        total = total + unitary.conj().T @ np.diag(group.coefficients @ np.array(signs)) @ unitary
    return total


@settings(max_examples=40)
@given(
    st.dictionaries(st.text("IXYZ", min_size=3, max_size=3), st.floats(-1, 1), min_size=1, max_size=20),
    st.integers(0, 7),
    st.sampled_from(list(Grouping)),
)
def test_split_coefficients_add_up_to_the_operator(
    terms: dict[str, float], reference_state: int, grouping: Grouping
) -> None:
    whole = observable(SparsePauliOp.from_list(list(terms.items())), grouping)
    shared = split_coefficients(whole, reference_state)
    np.testing.assert_allclose(dense(shared), whole.operator.to_matrix(), atol=1e-12)


def distributions(measured: Observable, state: NDArray[np.complex128]) -> list[NDArray[np.float64]]:
    """Return the exact outcome distribution of each group's circuit in a state."""
    empty = QuantumCircuit(measured.num_qubits)
    circuits = [group.measurement_circuit(empty).remove_final_measurements(inplace=False) for group in measured.groups]
    return [Statevector(state).evolve(circuit).probabilities() for circuit in circuits]


def ground_state(problem: ElectronicProblem) -> tuple[float, NDArray[np.complex128]]:
    values, vectors = eigsh(
        problem.hamiltonian.to_matrix(sparse=True), k=1, which="SA", v0=np.ones(2**problem.encoding.num_qubits)
    )
    return float(values[0]), vectors[:, 0].astype(complex)


def neyman_cost(measured: Observable, state: NDArray[np.complex128]) -> float:
    """Return Σ_g σ_g in hartree from the exact distributions."""
    total = 0.0
    for group, probabilities in zip(measured.groups, distributions(measured, state), strict=True):
        outcomes = np.arange(len(probabilities), dtype=np.uint8)[:, None]
        energies = shot_energies(group, Counts(measured.num_qubits, outcomes, np.ones(len(outcomes), np.int64)))
        mean = float(probabilities @ energies)
        total += math.sqrt(float(probabilities @ (energies - mean) ** 2))
    return total


def test_splitting_saves_over_40_percent_of_the_shots_at_the_ground_state(
    problem_of: Callable[..., ElectronicProblem],
) -> None:
    problem = problem_of("H4_1")
    _, state = ground_state(problem)
    whole = observable(problem.hamiltonian)
    before, after = neyman_cost(whole, state), neyman_cost(split_coefficients(whole, problem.reference_state), state)
    assert before == pytest.approx(1.31, abs=0.01)  # computed apart, for these groups
    assert (after / before) ** 2 < 0.6


@pytest.mark.parametrize("name", ["H4_1", "LiH_1.595_fc"])
def test_fully_commuting_groups_take_a_quarter_of_the_circuits_and_no_more_shots_at_the_ground_state(
    problem_of: Callable[..., ElectronicProblem], name: str
) -> None:
    problem = problem_of(name)
    _, state = ground_state(problem)
    qubit_wise, commuting = (
        group_hamiltonian(problem.hamiltonian, grouping, problem.reference_state) for grouping in Grouping
    )
    assert len(commuting.groups) <= 0.28 * len(qubit_wise.groups)
    assert neyman_cost(commuting, state) <= 1.06 * neyman_cost(qubit_wise, state)


def test_the_choice_of_grouping_weighs_shots_and_gates_and_gives_its_reason(
    problem_of: Callable[..., ElectronicProblem],
) -> None:
    def chosen(name: str, ansatz: Ansatz | None = None) -> GroupingChoice:
        problem = problem_of(name)
        circuit = uccsd(problem) if ansatz is None else ansatz
        return choose_grouping(problem.hamiltonian, circuit, problem.reference_state, shots=4000, precision=0.7e-3)

    small, large = chosen("H2_0.735"), chosen("H4_1")
    assert small.grouping is Grouping.QUBIT_WISE  # there are two groups either way
    assert "would save only" in small.why
    assert large.grouping is Grouping.FULLY_COMMUTING
    assert "9 circuits per point instead of 35" in large.why
    short = chosen("H4_1", hardware_efficient(6, np.zeros(12)))
    assert short.grouping is Grouping.QUBIT_WISE
    assert "two-qubit gates to the 5 of the ansatz" in short.why
    assert all(group.diagonalization is None for group in short.observable.groups)


def test_one_group_is_not_split() -> None:
    whole = observable(SparsePauliOp(["ZZ", "IZ"], [1.0, 0.5]))
    assert split_coefficients(whole, 0) is whole
