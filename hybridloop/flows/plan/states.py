"""State vectors of many points at once: gates in their order, angles for each point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Gate
from qiskit.circuit.library import get_standard_gate_name_mapping

States = NDArray[np.complex128]  # (points, 2^qubits), qubit 0 the lowest bit
Angles = NDArray[np.float64]  # (points, angles of the gate), in radians

_PAULIS = {
    "x": np.array([[0, 1], [1, 0]], complex),
    "y": np.array([[0, -1j], [1j, 0]]),
    "z": np.diag([1.0 + 0j, -1.0]),
}
_ROTATIONS = {
    **{f"r{name}": pauli for name, pauli in _PAULIS.items()},
    **{f"r{name}{name}": np.kron(pauli, pauli) for name, pauli in _PAULIS.items()},
}


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A standard gate on qubits, with its angles at each point."""

    name: str
    qubits: tuple[int, ...]
    angles: Angles

    def same(self, other: Step) -> bool:
        """Whether it does the same at every point."""
        alike = (self.name, self.qubits) == (other.name, other.qubits)
        return alike and np.array_equal(self.angles, other.angles)


def ground_states(points: int, qubits: int) -> States:
    """All qubits 0, for each point."""
    states = np.zeros((points, 2**qubits), complex)
    states[:, 0] = 1.0
    return states


def evolved(states: States, steps: Sequence[Step]) -> States:
    """The states after these gates."""
    size = states.shape[1]
    numbers = np.arange(size)
    for step in steps:
        if step.name == "cx":
            states = states[:, numbers ^ ((numbers >> step.qubits[0] & 1) << step.qubits[1])]
        elif step.name == "rz":
            half = 0.5j * step.angles
            states = states * np.where(numbers >> step.qubits[0] & 1, np.exp(half), np.exp(-half))
        elif len(step.qubits) == 1:
            states = _turned(states, step)
        else:
            states = _applied(states, step)
    return states


def _turned(states: States, step: Step) -> States:
    matrix = _matrices(step)
    split = states.reshape(len(states), -1, 2, 2 ** step.qubits[0])
    low, high = split[:, :, 0], split[:, :, 1]
    a, b, c, d = (matrix[:, i, j, None, None] for i in (0, 1) for j in (0, 1))
    together: States = np.stack([a * low + b * high, c * low + d * high], axis=2).reshape(states.shape)
    return together


def _applied(states: States, step: Step) -> States:
    """Any gate: its qubits' axes are brought together, its first qubit the lowest."""
    qubits = int(states.shape[1]).bit_length() - 1
    axes = [qubits - qubit for qubit in reversed(step.qubits)]  # axis 0 is the point, axis 1 the highest qubit
    ends = list(range(1 + qubits - len(axes), 1 + qubits))
    moved = np.moveaxis(states.reshape(len(states), *(2,) * qubits), axes, ends)
    wide = moved.reshape(len(states), -1, 2 ** len(axes))
    out = (wide @ np.swapaxes(_matrices(step), 1, 2)).reshape(moved.shape)
    back: States = np.moveaxis(out, ends, axes).reshape(states.shape)
    return back


def _matrices(step: Step) -> States:
    """The gate's matrix for each point, or one for all."""
    if step.name in _ROTATIONS:
        pauli, half = _ROTATIONS[step.name], step.angles[:, :, None] / 2
        turn: States = np.cos(half) * np.eye(len(pauli)) - 1j * np.sin(half) * pauli
        return turn
    if not step.angles.shape[1]:
        return _fixed(step.name)
    gate = type(_standard()[step.name])
    return np.stack([np.asarray(gate(*row).to_matrix(), complex) for row in step.angles.tolist()])


@cache
def _fixed(name: str) -> States:
    return np.asarray(_standard()[name].to_matrix(), complex)[None]


@cache
def _standard() -> dict[str, Gate]:
    return dict(get_standard_gate_name_mapping())
