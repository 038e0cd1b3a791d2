"""Pure state of qubits as amplitudes: gates, the probability of a measurement's outcome, and its projection.

Every operation returns a new state, so that paths through a program may share one. Qubit k is bit k of an amplitude's
index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit.library import get_standard_gate_name_mapping

Amplitudes = NDArray[np.complex128]

_GATE_CLASSES = {name: gate.base_class for name, gate in get_standard_gate_name_mapping().items()}


@lru_cache(maxsize=4096)
def gate_matrix(name: str, angles: tuple[float, ...] = ()) -> NDArray[np.complex128]:
    """Return the matrix of one of Qiskit's standard gates; the first qubit is the least significant. Angles in rad."""
    matrix: NDArray[np.complex128] = np.asarray(_GATE_CLASSES[name](*angles).to_matrix(), dtype=np.complex128)
    return matrix


@dataclass(frozen=True, slots=True)
class StateVector:
    """2^n amplitudes; every method leaves them as they are."""

    amplitudes: Amplitudes

    @classmethod
    def ground(cls, num_qubits: int) -> StateVector:
        """Return the state with all qubits 0."""
        amplitudes = np.zeros(1 << num_qubits, dtype=np.complex128)
        amplitudes[0] = 1
        return cls(amplitudes)

    def after_gate(self, name: str, angles: tuple[float, ...], qubits: Sequence[int]) -> StateVector:
        """Return the state after a gate."""
        matrix, amplitudes = gate_matrix(name, angles), self.amplitudes
        if len(qubits) == 1:
            return StateVector(np.matmul(matrix, amplitudes.reshape(-1, 2, 1 << qubits[0])).reshape(-1))
        num_qubits, width = amplitudes.size.bit_length() - 1, len(qubits)
        # one axis for each qubit, the highest first; the matrix's axes likewise
        axes = [num_qubits - 1 - qubit for qubit in reversed(qubits)]
        tensor = np.tensordot(
            matrix.reshape((2,) * (2 * width)), amplitudes.reshape((2,) * num_qubits), (range(width, 2 * width), axes)
        )
        return StateVector(np.ascontiguousarray(np.moveaxis(tensor, range(width), axes)).reshape(-1))

    def probability_of_one(self, qubit: int) -> float:
        """Return the chance of measuring 1, from 0 to 1; rounding errors below 1e-12 are removed."""
        parts = self.amplitudes.reshape(-1, 2, 1 << qubit)
        zero, one = (float(np.vdot(parts[:, bit], parts[:, bit]).real) for bit in (0, 1))
        chance = one / (zero + one)
        return 0.0 if chance < 1e-12 else 1.0 if chance > 1 - 1e-12 else chance

    def projected(self, qubit: int, bit: int) -> StateVector:
        """Return the normalized state after measuring `bit`, whose chance is not 0."""
        projected = np.zeros_like(self.amplitudes)
        kept = self.amplitudes.reshape(-1, 2, 1 << qubit)[:, bit]
        projected.reshape(-1, 2, 1 << qubit)[:, bit] = kept / np.linalg.norm(kept)
        return StateVector(projected)
