"""Classical simulation of small circuits by state vectors: energies, slopes and curvatures of a Pauli sum."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression
from qiskit.quantum_info import SparsePauliOp
from scipy.sparse import csr_array

from hybridloop.algorithms.circuits.ansatz import EnergyModel

MAX_WORK = 100_000  # amplitudes times gates: an energy with its gradient takes tens of milliseconds

State = NDArray[np.complex128]
_FIXED = {
    "x": np.array([[0, 1], [1, 0]], complex),
    "h": np.array([[1, 1], [1, -1]], complex) / np.sqrt(2.0),
    "s": np.diag([1, 1j]),
    "sdg": np.diag([1, -1j]),
}
_PAULIS = {"rx": _FIXED["x"], "ry": np.array([[0, -1j], [1j, 0]]), "rz": np.diag([1.0 + 0j, -1.0])}


@dataclass(frozen=True, slots=True)
class _Gate:
    """A gate's name and qubits; a rotation's angle is the constant plus Σ slope · parameter."""

    name: str
    qubits: tuple[int, ...]
    constant: float = 0.0
    slopes: tuple[tuple[int, float], ...] = ()

    def angle(self, point: NDArray[np.float64]) -> float:
        return self.constant + sum(slope * float(point[index]) for index, slope in self.slopes)

    def apply(self, state: State, angle: float) -> State:
        if self.name == "cx":
            return _flip_controlled(state, *self.qubits)
        matrix = _FIXED.get(self.name)
        if matrix is None:
            matrix = np.cos(angle / 2.0) * np.eye(2) - 1j * np.sin(angle / 2.0) * _PAULIS[self.name]
        return apply_matrix(state, matrix, self.qubits[0])

    def undo(self, state: State, angle: float) -> State:
        if self.name in ("s", "sdg"):
            return apply_matrix(state, _FIXED[self.name].conj(), self.qubits[0])
        return self.apply(state, -angle)


@dataclass(frozen=True, eq=False)
class StatevectorModel(EnergyModel):
    """A circuit in `BASIS_GATES` and the matrix of a Pauli sum; an `EnergyModel` without a penalty."""

    gates: tuple[_Gate, ...]
    matrix: csr_array
    num_angles: int

    @classmethod
    def of(cls, circuit: QuantumCircuit, operator: SparsePauliOp) -> StatevectorModel | None:
        """Simulate a circuit; None where that takes above `MAX_WORK`."""
        if (1 << circuit.num_qubits) * circuit.size() > MAX_WORK:
            return None
        indices = {parameter: index for index, parameter in enumerate(circuit.parameters)}
        gates = tuple(_gate(circuit, instruction, indices) for instruction in circuit.data)
        return cls(gates, csr_array(operator.to_matrix(sparse=True)), circuit.num_parameters)

    @property
    def work(self) -> int:
        """Number of amplitudes times that of gates, which an energy takes time for."""
        return self.matrix.shape[0] * len(self.gates)

    @cached_property
    def _ground(self) -> State:
        zero = np.zeros(self.matrix.shape[0], complex)
        zero[0] = 1.0
        return zero

    def state(self, point: NDArray[np.float64]) -> State:
        """Return the state vector (2^qubits,)."""
        state = self._ground
        for gate in self.gates:
            state = gate.apply(state, gate.angle(point))
        return state

    def energy(self, point: NDArray[np.float64]) -> float:
        """Return the energy that a measurement without noise would give."""
        state = self.state(point)
        return float(np.vdot(state, np.asarray(self.matrix @ state)).real)

    def objective_and_gradient(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return energy and gradient (n,), by the adjoint method."""
        state, gradient = self.state(point), np.zeros(self.num_angles)
        dual: State = np.asarray(self.matrix @ state)
        value = float(np.vdot(state, dual).real)
        for gate in reversed(self.gates):
            if gate.slopes:  # dE/dφ of exp(−i φ P / 2) is Im ⟨dual|P|state⟩
                turned = apply_matrix(state, _PAULIS[gate.name], gate.qubits[0])
                by_angle = float(np.vdot(dual, turned).imag)
                for index, slope in gate.slopes:
                    gradient[index] += slope * by_angle
            angle = gate.angle(point)
            state, dual = gate.undo(state, angle), gate.undo(dual, angle)
        return value, gradient


def _gate(circuit: QuantumCircuit, instruction: Any, indices: dict[Any, int]) -> _Gate:
    qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
    angle = instruction.params[0] if instruction.params else 0.0
    if not (isinstance(angle, ParameterExpression) and angle.parameters):
        return _Gate(instruction.name, qubits, float(angle))
    zeros = dict.fromkeys(angle.parameters, 0.0)
    constant = float(angle.bind(zeros))
    slopes = tuple((indices[each], float(angle.bind({**zeros, each: 1.0})) - constant) for each in zeros)
    return _Gate(instruction.name, qubits, constant, slopes)


def apply_matrix(state: State, matrix: NDArray[np.complex128], qubit: int) -> State:
    """Return a state (2^n,) after a 2 × 2 matrix on a qubit."""
    parts = state.reshape(-1, 2, 1 << qubit)
    after = np.empty_like(parts)
    after[:, 0] = matrix[0, 0] * parts[:, 0] + matrix[0, 1] * parts[:, 1]
    after[:, 1] = matrix[1, 0] * parts[:, 0] + matrix[1, 1] * parts[:, 1]
    return after.reshape(-1)


def _flip_controlled(state: State, control: int, target: int) -> State:
    numbers = np.arange(len(state))
    after: State = state[numbers ^ ((numbers >> control & 1) << target)]
    return after
