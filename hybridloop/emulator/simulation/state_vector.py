"""Pure state of qubits as amplitudes: gates, the probability of a measurement's outcome, and its projection.

Every operation returns a new array, so that paths through a program may share one. Qubit k is bit k of an amplitude's
index.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit.library import get_standard_gate_name_mapping

State = NDArray[np.complex128]  # 2^n amplitudes

_GATE_CLASSES = {name: gate.base_class for name, gate in get_standard_gate_name_mapping().items()}


def ground_state(num_qubits: int) -> State:
    """Return the state with all qubits 0."""
    state = np.zeros(1 << num_qubits, dtype=np.complex128)
    state[0] = 1
    return state


@lru_cache(maxsize=4096)
def gate_matrix(name: str, angles: tuple[float, ...] = ()) -> NDArray[np.complex128]:
    """Return the matrix of one of Qiskit's standard gates; the first qubit is the least significant. Angles in rad."""
    matrix: NDArray[np.complex128] = np.asarray(_GATE_CLASSES[name](*angles).to_matrix(), dtype=np.complex128)
    return matrix


def apply_gate(state: State, matrix: NDArray[np.complex128], qubits: Sequence[int]) -> State:
    """Return the state after the gate with this matrix on these qubits."""
    if len(qubits) == 1:
        product: State = np.matmul(matrix, state.reshape(-1, 2, 1 << qubits[0])).reshape(-1)
        return product
    num_qubits, width = state.size.bit_length() - 1, len(qubits)
    # one axis for each qubit, the highest first; the matrix's axes likewise
    axes = [num_qubits - 1 - qubit for qubit in reversed(qubits)]
    tensor = np.tensordot(
        matrix.reshape((2,) * (2 * width)), state.reshape((2,) * num_qubits), (range(width, 2 * width), axes)
    )
    return np.ascontiguousarray(np.moveaxis(tensor, range(width), axes)).reshape(-1)


def probability_of_one(state: State, qubit: int) -> float:
    """Return the chance of measuring 1, from 0 to 1; rounding errors below 1e-12 are removed."""
    parts = state.reshape(-1, 2, 1 << qubit)
    zero, one = (float(np.vdot(parts[:, bit], parts[:, bit]).real) for bit in (0, 1))
    chance = one / (zero + one)
    return 0.0 if chance < 1e-12 else 1.0 if chance > 1 - 1e-12 else chance


def project(state: State, qubit: int, bit: int) -> State:
    """Return the normalized state after measuring `bit` on the qubit."""
    projected = np.zeros_like(state)
    kept = state.reshape(-1, 2, 1 << qubit)[:, bit]
    projected.reshape(-1, 2, 1 << qubit)[:, bit] = kept / np.linalg.norm(kept)
    return projected
