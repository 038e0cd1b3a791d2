"""L-BFGS search with exact energies and gradients: the energies that a circuit can reach."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp
from scipy.optimize import minimize

from hybridloop.algorithms.circuits.ansatz import Ansatz
from tests.algorithms.batched_state_helpers import gates_of
from tests.algorithms.gate_states import FIXED, PAULIS, Gate

STARTS = 10
NEARBY = (0.1, 0.5)  # radians: standard deviations of two thirds of the perturbed starts; the others are anywhere


def search_exactly(ansatz: Ansatz, hamiltonian: SparsePauliOp) -> list[float]:
    """Return the minima of a circuit's energy from its initial point, as `minima_near`."""
    return minima_near(ExactEnergy(ansatz, hamiltonian), ansatz.initial_point)


def minima_near(
    energy: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]], initial: NDArray[np.float64]
) -> list[float]:
    """Return the energies at the ends of `STARTS` searches, ascending, in the operator's unit.

    `energy` returns an energy and its gradient (n,). The first search starts at the initial point (n,), the others at
    random points, seeded by their number.
    """
    found = []
    for number in range(STARTS):
        generator, start = np.random.default_rng(number), np.array(initial)
        if number and number % 3:
            start = start + generator.normal(0.0, NEARBY[number % 3 - 1], len(start))
        elif number:
            start = generator.uniform(-math.pi, math.pi, len(start))
        found.append(float(minimize(energy, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).fun))
    return sorted(found)


class ExactEnergy:
    """Energy and gradient of a circuit by adjoint differentiation (T. Jones and J. Gacon, arXiv:2009.02823).

    The gates without angles are moved behind the rotations, which turns each rotation's Pauli into another one:
    a permutation of the basis states with phases.
    """

    def __init__(self, ansatz: Ansatz, hamiltonian: SparsePauliOp) -> None:
        size = 2**ansatz.circuit.num_qubits
        moved = np.eye(size, dtype=complex)  # the gates without angles so far, as one unitary
        self._paulis: list[tuple[NDArray[np.int64], NDArray[np.complex128]]] = []
        self._constants: list[float] = []
        slopes: list[NDArray[np.float64]] = []
        for gate in gates_of(ansatz.circuit):
            if gate.name not in PAULIS:
                moved = _matrix(gate, size) @ moved
                continue
            pauli = moved.conj().T @ _matrix(gate, size) @ moved
            partners = np.abs(pauli).argmax(axis=1)
            self._paulis.append((partners, pauli[np.arange(size), partners]))
            self._constants.append(gate.constant)
            slopes.append(np.zeros(ansatz.num_parameters))
            for index, slope in gate.slopes:
                slopes[-1][index] = slope
        self._slopes = np.array(slopes)
        self._hamiltonian = moved.conj().T @ hamiltonian.to_matrix() @ moved

    def __call__(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the energy at the angles (n,) and its gradient (n,)."""
        half = (self._constants + self._slopes @ point) / 2
        cosines, sines = np.cos(half), 1j * np.sin(half)
        state = np.zeros(len(self._hamiltonian), complex)
        state[0] = 1.0
        for cosine, sine, (partners, phases) in zip(cosines, sines, self._paulis, strict=True):
            state = cosine * state - sine * (phases * state[partners])
        costate = self._hamiltonian @ state
        energy = float(np.vdot(state, costate).real)
        slopes = np.zeros(len(half))
        for index in reversed(range(len(half))):
            partners, phases = self._paulis[index]
            turned = phases * state[partners]
            slopes[index] = np.vdot(costate, turned).imag
            state = cosines[index] * state + sines[index] * turned
            costate = cosines[index] * costate + sines[index] * (phases * costate[partners])
        return energy, slopes @ self._slopes


def _matrix(gate: Gate, size: int) -> NDArray[np.complex128]:
    """Return a gate on all qubits (size, size); of a rotation, the Pauli that it rotates about."""
    matrix: NDArray[np.complex128]
    if gate.name == "cx":
        indices = np.arange(size)
        control, target = gate.qubits
        matrix = np.eye(size, dtype=complex)[indices ^ ((indices >> control & 1) << target)]
        return matrix
    below = 2 ** gate.qubits[0]
    small = PAULIS[gate.name] if gate.name in PAULIS else FIXED[gate.name]
    matrix = np.kron(np.kron(np.eye(size // below // 2), small), np.eye(below)).astype(complex)
    return matrix
