"""State vectors and density matrices of many points at once, by numpy alone; gates and their noise."""

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


class PauliRotations:
    """A circuit of a few qubits as rotations about Pauli products, for states of many points.

    The gates without angles are moved behind the rotations, which turns each rotation's Pauli into another one: a
    permutation of the basis states (`partners`) with `phases`. `fixed` (2^qubits, 2^qubits) are the gates behind them.
    """

    def __init__(self, gates: Sequence[Gate], qubits: int, angles: int) -> None:
        size = 2**qubits
        self.fixed = np.eye(size, dtype=complex)
        self.partners: list[NDArray[np.int64]] = []
        self.phases: list[NDArray[np.complex128]] = []
        self._constants: list[float] = []
        slopes: list[NDArray[np.float64]] = []
        for gate in gates:
            if gate.name not in PAULIS:
                self.fixed = evolve(self.fixed.T, [gate], np.zeros((size, 0))).T
                continue
            turned = evolve(self.fixed.T, [Gate(gate.name[1], gate.qubits)], np.zeros((size, 0))).T
            pauli = self.fixed.conj().T @ turned
            partners = np.abs(pauli).argmax(axis=1)
            self.partners.append(partners)
            self.phases.append(pauli[np.arange(size), partners])
            self._constants.append(gate.constant)
            slopes.append(np.zeros(angles))
            for index, slope in gate.slopes:
                slopes[-1][index] = slope
        self.slopes = np.array(slopes)

    def half_angles(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return half the angle of each rotation at points (n,) or (k, n)."""
        half: NDArray[np.float64] = (np.array(self._constants) + points @ self.slopes.T) / 2.0
        return half

    def states(self, points: NDArray[np.float64]) -> States:
        """Return the states (k, 2^qubits) at points (k, n)."""
        half = self.half_angles(points)[:, :, None]
        cosines, sines = np.cos(half), 1j * np.sin(half)
        states = np.zeros((len(points), len(self.fixed)), complex)
        states[:, 0] = 1.0
        for index, (partners, phases) in enumerate(zip(self.partners, self.phases, strict=True)):
            states = cosines[:, index] * states - sines[:, index] * (phases * states[:, partners])
        return states @ self.fixed.T


def evolve_noisy(states: States, gates: Sequence[Gate], points: NDArray[np.float64], two_qubit_error: float) -> States:
    """Apply gates to density matrices (k, 4^qubits), whose columns are the higher bits.

    Depolarizing noise follows each gate: of strength `two_qubit_error` on two qubits, else of a tenth of it.
    """
    count = states.shape[1].bit_length() // 2
    for gate in gates:
        states = evolve(states, [gate, _conjugate(gate, count)], points)
        strength = two_qubit_error / (1 if len(gate.qubits) == 2 else 10)
        mixed = states
        for qubit in gate.qubits:
            mixed = _fully_mixed(mixed, qubit, count)
        states = (1.0 - strength) * states + strength * mixed
    return states


def outcome_probabilities(states: States, qubits: int) -> NDArray[np.float64]:
    """Return the probabilities (k, 2^qubits) of all outcomes, of state vectors or density matrices."""
    if states.shape[1] == 2**qubits:
        return np.abs(states) ** 2
    diagonal: NDArray[np.float64] = states[:, :: 2**qubits + 1].real.clip(0.0)
    return diagonal


def _conjugate(gate: Gate, count: int) -> Gate:
    """Return the gate's complex conjugate on the columns' qubits."""
    name = {"s": "sdg", "sdg": "s"}.get(gate.name, gate.name)
    sign = -1.0 if name in ("rx", "rz") else 1.0
    slopes = tuple((index, sign * slope) for index, slope in gate.slopes)
    return Gate(name, tuple(qubit + count for qubit in gate.qubits), sign * gate.constant, slopes)


def _fully_mixed(states: States, qubit: int, count: int) -> States:
    """Return density matrices with one qubit fully mixed."""
    split = states.reshape(len(states), -1, 2, 2 ** (count - 1), 2, 2**qubit)
    mixed = np.zeros_like(split)
    mixed[:, :, 0, :, 0] = mixed[:, :, 1, :, 1] = (split[:, :, 0, :, 0] + split[:, :, 1, :, 1]) / 2.0
    return mixed.reshape(states.shape)


def _rotations(
    name: str, constant: float, slopes: tuple[tuple[int, float], ...], points: NDArray[np.float64]
) -> States:
    angles = np.full(len(points), constant)
    for index, slope in slopes:
        angles = angles + slope * points[:, index]
    half = angles[:, None, None] / 2
    rotations: States = np.cos(half) * np.eye(2) - 1j * np.sin(half) * PAULIS[name]
    return rotations
