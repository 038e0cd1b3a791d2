"""Terms shared out among groups: the same operator, fewer shots, at the exact ground state of reference molecules."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector
from scipy.sparse.linalg import eigsh

from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.estimation import shot_energies
from hybridloop.algorithms.measurement import Observable, observable
from hybridloop.algorithms.rounds import Counts
from hybridloop.algorithms.sharing import share_terms


def operator_of(shared: Observable) -> SparsePauliOp:
    """Added up again from the groups."""
    labels = [("I" * shared.num_qubits, shared.constant)]
    for group in shared.groups:
        for mask, coefficient in zip(group.masks, group.coefficients, strict=True):
            kept = [letter if mask >> q & 1 else "I" for q, letter in enumerate(reversed(group.basis))]
            labels.append(("".join(reversed(kept)), float(coefficient)))
    return SparsePauliOp.from_list(labels)


@settings(max_examples=25)
@given(
    st.dictionaries(st.text("IXYZ", min_size=3, max_size=3), st.floats(-1, 1), min_size=1, max_size=20),
    st.integers(0, 7),
)
def test_shares_add_up_to_the_operator(terms: dict[str, float], reference_state: int) -> None:
    whole = observable(SparsePauliOp.from_list(list(terms.items())))
    shared = share_terms(whole, reference_state)
    np.testing.assert_allclose(operator_of(shared).to_matrix(), whole.operator.to_matrix(), atol=1e-12)


def distributions(measured: Observable, state: NDArray[np.complex128]) -> list[NDArray[np.float64]]:
    """What each group's circuit gives of the state, exactly."""
    empty = QuantumCircuit(measured.num_qubits)
    turned = [group.measured(empty).remove_final_measurements(inplace=False) for group in measured.groups]
    return [Statevector(state).evolve(each).probabilities() for each in turned]


def ground_state(problem: ElectronicProblem) -> tuple[float, NDArray[np.complex128]]:
    values, vectors = eigsh(
        problem.hamiltonian.to_matrix(sparse=True), k=1, which="SA", v0=np.ones(2**problem.encoding.num_qubits)
    )
    return float(values[0]), vectors[:, 0].astype(complex)


def neyman_cost(measured: Observable, state: NDArray[np.complex128]) -> float:
    """Σ_g σ_g in hartree, from the exact distributions."""
    total = 0.0
    for group, probabilities in zip(measured.groups, distributions(measured, state), strict=True):
        outcomes = np.arange(len(probabilities), dtype=np.uint8)[:, None]
        energies = shot_energies(group, Counts(measured.num_qubits, outcomes, np.ones(len(outcomes), np.int64)))
        mean = float(probabilities @ energies)
        total += math.sqrt(float(probabilities @ (energies - mean) ** 2))
    return total


def test_sharing_saves_half_of_the_shots_at_the_ground_state(problem_of: Callable[..., ElectronicProblem]) -> None:
    problem = problem_of("H4_1")
    _, state = ground_state(problem)
    whole = observable(problem.hamiltonian)
    before, after = neyman_cost(whole, state), neyman_cost(share_terms(whole, problem.reference_state), state)
    assert before == pytest.approx(1.31, abs=0.01)  # computed apart, for these groups
    assert (after / before) ** 2 < 0.6


def test_what_is_one_group_stays_as_it_is() -> None:
    whole = observable(SparsePauliOp(["ZZ", "IZ"], [1.0, 0.5]))
    assert share_terms(whole, 0) is whole
