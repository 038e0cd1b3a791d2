"""Second-order perturbation theory against dense matrices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import hardware_efficient
from hybridloop.algorithms.circuits.perturbation import MAX_QUBITS, missing_energies, missing_energy
from hybridloop.algorithms.circuits.statevector import StatevectorModel
from hybridloop.algorithms.problems.electronic import ElectronicProblem


def test_eigenstates_miss_nothing_and_mixtures_about_their_error(problem_of: Callable[..., ElectronicProblem]) -> None:
    hamiltonian = problem_of("H4_1").hamiltonian
    matrix = hamiltonian.to_matrix(sparse=True)
    energies, states = np.linalg.eigh(matrix.toarray())
    assert missing_energy(matrix, states[:, 3]) == pytest.approx(0.0, abs=1e-12)
    for other in (5, 20, 40):
        mixed = np.sqrt(0.995) * states[:, 0] + np.sqrt(0.005) * states[:, other]
        error = 0.005 * (energies[other] - energies[0])
        assert 0.3 * error < missing_energy(matrix, mixed) < 3.0 * error


def test_states_below_are_left_out(problem_of: Callable[..., ElectronicProblem]) -> None:
    matrix = problem_of("H2_0.735").hamiltonian.to_matrix(sparse=True)
    states = np.linalg.eigh(matrix.toarray())[1]
    mixed = np.sqrt(0.9) * states[:, 2] + np.sqrt(0.1) * states[:, 0]
    assert missing_energy(matrix, mixed) > 0.01
    residual = missing_energy(matrix, mixed, [states[:, 0], states[:, 2]])
    assert residual == pytest.approx(0.0, abs=1e-12)


def test_a_circuit_with_too_many_qubits_is_not_examined() -> None:
    ansatz = hardware_efficient(MAX_QUBITS + 1, np.random.default_rng(0))
    points = ansatz.initial_point[None, :]
    assert missing_energies(SparsePauliOp("Z" * (MAX_QUBITS + 1)), ansatz, points) is None


def test_a_deflated_model_has_the_next_level_as_its_minimum(problem_of: Callable[..., ElectronicProblem]) -> None:
    hamiltonian = problem_of("H2_0.735").hamiltonian
    ansatz = hardware_efficient(2, np.random.default_rng(0))
    model = StatevectorModel.of(ansatz.circuit, hamiltonian)
    assert model is not None
    deflated = model.deflated([ansatz.initial_point], 5.0)
    state, dense = model.state(ansatz.initial_point), hamiltonian.to_matrix()
    expected = dense + 5.0 * np.outer(state, state.conj())
    np.testing.assert_allclose(deflated.matrix.toarray(), expected)
    other = ansatz.initial_point + 0.3
    overlap = abs(np.vdot(state, model.state(other))) ** 2
    assert deflated.energy(other) == pytest.approx(model.energy(other) + 5.0 * overlap)
