"""State vectors of many points at once, by numpy alone: gates, their matrices and their action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

States = NDArray[np.complex128]
FIXED: dict[str, NDArray[np.complex128]] = {
    "x": np.array([[0, 1], [1, 0]], complex),
    "y": np.array([[0, -1j], [1j, 0]]),
    "z": np.diag([1.0 + 0j, -1.0]),
    "h": np.array([[1, 1], [1, -1]], complex) / np.sqrt(2),
    "s": np.diag([1, 1j]),
    "sdg": np.diag([1, -1j]),
}
PAULIS = {"rx": FIXED["x"], "ry": FIXED["y"], "rz": FIXED["z"]}


class Gate(NamedTuple):
    """A gate's name, qubits and angle: a constant, plus a slope times the value for each parameter index."""

    name: str
    qubits: tuple[int, ...]
    constant: float = 0.0
    slopes: tuple[tuple[int, float], ...] = ()


def initial_states(points: int, qubits: int) -> States:
    """Return all zeros for each point, (points, 2^qubits)."""
    states = np.zeros((points, 2**qubits), complex)
    states[:, 0] = 1.0
    return states


def evolve(states: States, gates: Sequence[Gate], points: NDArray[np.float64]) -> States:
    """Apply gates to states (k, 2^qubits), at the angles (k, n) of each."""
    size = states.shape[1]
    indices = np.arange(size)
    for name, qubits, constant, slopes in gates:
        if name == "cx":
            states = states[:, indices ^ ((indices >> qubits[0] & 1) << qubits[1])]
            continue
        matrix = FIXED[name][None] if name in FIXED else _rotations(name, constant, slopes, points)
        split = states.reshape(len(states), -1, 2, 2 ** qubits[0])
        low, high = split[:, :, 0], split[:, :, 1]
        a, b, c, d = (matrix[:, i, j, None, None] for i in (0, 1) for j in (0, 1))
        states = np.stack([a * low + b * high, c * low + d * high], axis=2).reshape(len(states), size)
    return states


def _rotations(
    name: str, constant: float, slopes: tuple[tuple[int, float], ...], points: NDArray[np.float64]
) -> States:
    angles = np.full(len(points), constant)
    for index, slope in slopes:
        angles = angles + slope * points[:, index]
    half = angles[:, None, None] / 2
    rotations: States = np.cos(half) * np.eye(2) - 1j * np.sin(half) * PAULIS[name]
    return rotations
