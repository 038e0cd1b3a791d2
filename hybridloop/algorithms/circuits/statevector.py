"""Classical simulation of circuits by their amplitudes: energies and gradients of a Pauli sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import BASIS_GATES, EnergyModel
from hybridloop.algorithms.circuits.diagonalization import bit_masks, conjugate
from hybridloop.algorithms.problems.determinants import symplectic_matrix

MAX_OPERATIONS = 7_000_000_000  # of all searches of a circuit: half a minute at 2.3e8 a second, on one slow core
MAX_BYTES = 1_000_000_000  # of a simulation's arrays
MAX_QUBITS = 20  # of more, one layer is not affordable
BYTES_PER_ELEMENT = 70  # of a sparse matrix while it is made
CALL = 1_500  # amplitudes that pass a rotation in the time of its calls

Amplitudes = NDArray[Any]  # real where all rotations are
Slopes = tuple[tuple[int, float], ...]
_PAULIS = {"x": (True, False), "y": (True, True), "z": (False, True)}
_AXES = {f"r{name * width}": pauli for name, pauli in _PAULIS.items() for width in (1, 2)}  # the same on both qubits
_INVERSES = {"s": "sdg", "sdg": "s"}
_UNITS = np.array([1.0, 1j, -1.0, -1j])


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """exp(φ G), where G takes each of the `rows` from its partner with a factor, and G² is −1 on them.

    φ in radians is the constant plus Σ slope · parameter.
    """

    rows: NDArray[np.intp] | slice
    partners: NDArray[np.intp] | slice
    factors: Amplitudes
    slopes: Slopes
    constant: float = 0.0

    def angle(self, point: NDArray[np.float64]) -> float:
        return self.constant + sum(slope * float(point[index]) for index, slope in self.slopes)

    def generate(self, state: Amplitudes) -> Amplitudes:
        """Return the `rows` of G on a state; the others are 0."""
        generated: Amplitudes = self.factors * state[self.partners]
        return generated

    def turn(self, state: Amplitudes, angle: float, generated: Amplitudes) -> None:
        """Rotate a state in place, by what `generate` returns of it."""
        state[self.rows] = np.cos(angle) * state[self.rows] + np.sin(angle) * generated


@dataclass(frozen=True, slots=True, eq=False)
class RotationSequence:
    """Rotations, in order, of one basis state among `size`, number `start`."""

    size: int
    start: int
    rotations: tuple[Rotation, ...]
    num_angles: int

    @property
    def operations(self) -> int:
        """Number of operations of a gradient without those of its matrix."""
        return rotation_operations(sum(len(each.factors) for each in self.rotations), len(self.rotations))

    def state(self, point: NDArray[np.float64]) -> Amplitudes:
        """Return the amplitudes (size,) at a point (n,)."""
        state = np.zeros(self.size, np.result_type(float, *{each.factors.dtype for each in self.rotations}))
        state[self.start] = 1.0
        for rotation in self.rotations:
            rotation.turn(state, rotation.angle(point), rotation.generate(state))
        return state

    def value_and_gradient(
        self, matrix: scipy.sparse.csr_array, point: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the expectation value of a Hermitian matrix and its gradient (n,), by the adjoint method."""
        state, gradient = self.state(point), np.zeros(self.num_angles)
        dual = multiply(matrix, state)
        value = float(np.vdot(state, dual).real)
        for rotation in reversed(self.rotations):
            angle, generated = rotation.angle(point), rotation.generate(state)
            by_angle = 2.0 * float(np.vdot(dual[rotation.rows], generated).real)
            for index, slope in rotation.slopes:
                gradient[index] += slope * by_angle
            rotation.turn(state, -angle, generated)
            rotation.turn(dual, -angle, rotation.generate(dual))
        return value, gradient


def rotation_operations(rows: int, rotations: int) -> int:
    """Return the operations of a gradient for rotations with so many rows in all: amplitudes that pass a rotation.

    The adjoint method takes three times those of the state.
    """
    return 3 * (rows + CALL * rotations)


def gradients_of_search(angles: int) -> int:
    """Return the gradients that a search of so many angles takes at least: a hundred, and a Hessian."""
    return 100 + angles


def is_affordable(operations: int, gradients: int, size: int) -> bool:
    """Return whether gradients of so many operations are within `MAX_OPERATIONS`, and bytes within `MAX_BYTES`."""
    return operations * gradients <= MAX_OPERATIONS and size <= MAX_BYTES


def multiply(matrix: scipy.sparse.csr_array, state: Amplitudes) -> Amplitudes:
    """Return a matrix on a state; SciPy would copy a real matrix to a complex one for each product."""
    if np.iscomplexobj(state) and not np.iscomplexobj(matrix.data):
        image: Amplitudes = np.asarray(matrix @ state.view(float).reshape(-1, 2)).reshape(-1).view(complex)
        return image
    return np.asarray(matrix @ state)


@dataclass(frozen=True, slots=True, eq=False)
class StatevectorModel(EnergyModel):
    """A circuit in `BASIS_GATES` and a Pauli sum; an `EnergyModel` without a penalty.

    Clifford gates are moved behind the rotations: exp(−i φ P / 2) C = C exp(−i φ P' / 2) with P' = C† P C. The sum then
    is that before these gates, and its `matrix` between the basis states that the rotations reach: symmetries leave
    a half of them or less.
    """

    sequence: RotationSequence
    matrix: scipy.sparse.csr_array

    @classmethod
    def of(cls, circuit: QuantumCircuit, operator: SparsePauliOp) -> StatevectorModel | None:
        """Simulate a circuit; None where that is not affordable, or where a gate is a program of its own."""
        if circuit.num_qubits > MAX_QUBITS or not {gate.name for gate in circuit.data} <= set(BASIS_GATES):
            return None
        paulis, angles = _without_cliffords(circuit, operator)
        turns, terms = paulis[: len(angles)], paulis[len(angles) :]
        states = _span([flip for flip, _, _ in turns])
        elements = len(states) * len({flip for flip, _, _ in terms})
        arrays = len(states) * (8 * len({flip for flip, _, _ in turns}) + 16 * len(set(turns)))
        operations = rotation_operations(len(states) * len(turns), len(turns)) + elements
        if not is_affordable(
            operations, gradients_of_search(circuit.num_parameters), BYTES_PER_ELEMENT * elements + arrays
        ):
            return None
        rotations = _rotations(turns, angles, states)
        coefficients: dict[tuple[int, int], complex] = {}
        for (flip, phases, unit), coefficient in zip(terms, operator.coeffs, strict=True):
            coefficients[flip, phases] = coefficients.get((flip, phases), 0.0) + unit * coefficient
        matrix = symplectic_matrix(coefficients, states)
        is_real = not any(np.iscomplexobj(each.factors) for each in rotations)
        sequence = RotationSequence(len(states), 0, rotations, circuit.num_parameters)
        return cls(sequence, matrix.real if is_real or not matrix.data.imag.any() else matrix)

    @property
    def operations(self) -> int:
        """Number of operations of a gradient."""
        return self.sequence.operations + int(self.matrix.nnz)

    def energy(self, point: NDArray[np.float64]) -> float:
        """Return the energy that a measurement without noise would give."""
        state = self.sequence.state(point)
        return float(np.vdot(state, multiply(self.matrix, state)).real)

    def objective_and_gradient(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return energy and gradient (n,)."""
        return self.sequence.value_and_gradient(self.matrix, point)


_Pauli = tuple[int, int, complex]  # flip x, phases z and a unit u, for the Pauli operator u X^x Z^z


def _without_cliffords(
    circuit: QuantumCircuit, operator: SparsePauliOp
) -> tuple[list[_Pauli], list[tuple[float, Slopes]]]:
    """Return the Pauli operators of rotations, in order, and then of a sum's terms, and the rotations' half angles."""
    indices = {parameter: index for index, parameter in enumerate(circuit.parameters)}
    count = sum(instruction.name in _AXES for instruction in circuit.data)
    x, z = (
        np.vstack([np.zeros((count, part.shape[1]), bool), part]) for part in (operator.paulis.x, operator.paulis.z)
    )
    is_negative, angles = np.zeros(len(x), bool), list[tuple[float, Slopes]]()
    for instruction in reversed(circuit.data):
        name, qubits = instruction.name, tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        first = count - len(angles)  # of the Pauli operators that follow this gate
        if name in _AXES:
            x[first - 1, qubits], z[first - 1, qubits] = _AXES[name]
            angles.append(_half_angle(instruction.params[0], indices))
        elif name == "x":
            is_negative[first:] ^= z[first:, qubits[0]]
        else:
            is_negative[first:] ^= conjugate(x[first:], z[first:], _INVERSES.get(name, name), qubits)
    powers = (x & z).sum(axis=1) + 2 * is_negative  # P = i^|x & z| X^x Z^z
    return list(zip(bit_masks(x), bit_masks(z), _UNITS[powers % 4].tolist(), strict=True)), angles[::-1]


def _half_angle(angle: Any, indices: dict[Any, int]) -> tuple[float, Slopes]:
    """Return the constant, and the slope by each parameter, of half a rotation's angle."""
    if not (isinstance(angle, ParameterExpression) and angle.parameters):
        return float(angle) / 2.0, ()
    zeros = dict.fromkeys(angle.parameters, 0.0)
    constant = float(angle.bind(zeros))
    return constant / 2.0, tuple(
        (indices[each], (float(angle.bind({**zeros, each: 1.0})) - constant) / 2.0) for each in zeros
    )


def _span(flips: Sequence[int]) -> NDArray[np.int64]:
    """Return all basis states, ascending, that such flips reach from 0."""
    states = np.zeros(1, np.int64)
    for flip in dict.fromkeys(flips):
        if flip not in states:  # then none of these states is among them either
            states = np.concatenate((states, states ^ flip))
    return np.sort(states)


def _rotations(
    turns: Sequence[_Pauli], angles: Sequence[tuple[float, Slopes]], states: NDArray[np.int64]
) -> tuple[Rotation, ...]:
    """Return exp(−i φ P) on amplitudes of the states, for each Pauli operator; equal ones share their arrays."""

    @cache
    def partners(flip: int) -> NDArray[np.intp] | slice:
        return np.searchsorted(states, states ^ flip) if flip else slice(None)

    @cache
    def factors(flip: int, phases: int, unit: complex) -> Amplitudes:
        values: Amplitudes = -1j * unit * (1.0 - 2.0 * (np.bitwise_count((states ^ flip) & phases) & 1))
        return values if values.imag.any() else values.real.copy()

    return tuple(
        Rotation(slice(None), partners(turn[0]), factors(*turn), slopes, constant)
        for turn, (constant, slopes) in zip(turns, angles, strict=True)
    )
