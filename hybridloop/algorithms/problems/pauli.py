"""Pauli sum problem: a Hermitian operator whose lowest eigenvalue is searched, without molecule or electrons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from qiskit.quantum_info import SparsePauliOp

MAX_EXACT_QUBITS = 16
MAX_ELEMENTS = 2**22  # of the matrix: the lowest eigenvalue takes about two seconds
MAX_DENSE_QUBITS = 6


@dataclass(frozen=True, slots=True, eq=False)
class PauliProblem:
    """A Hermitian Pauli sum, in a unit chosen by the user. It has no reference state and no electrons."""

    hamiltonian: SparsePauliOp
    source: str

    @property
    def num_qubits(self) -> int:
        return int(self.hamiltonian.num_qubits)

    def exact_ground_energy(self) -> float | None:
        """Return the lowest eigenvalue by exact diagonalization.

        None above `MAX_EXACT_QUBITS` qubits, and where the matrix has too many elements.
        """
        in_a_row = len(np.unique(self.hamiltonian.paulis.x, axis=0))
        if self.num_qubits > MAX_EXACT_QUBITS or in_a_row << self.num_qubits > MAX_ELEMENTS:
            return None
        if self.num_qubits <= MAX_DENSE_QUBITS:
            return float(np.linalg.eigvalsh(self.hamiltonian.to_matrix())[0])
        # a start that overlaps with every symmetry sector
        start = np.random.default_rng(self.num_qubits).normal(size=2**self.num_qubits)
        matrix = self.hamiltonian.to_matrix(sparse=True)
        return float(scipy.sparse.linalg.eigsh(matrix, k=1, which="SA", v0=start, return_eigenvectors=False)[0])
