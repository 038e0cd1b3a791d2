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
from tests.algorithms.gate_states import PauliRotations

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
    """Energy and gradient of a circuit by adjoint differentiation (T. Jones and J. Gacon, arXiv:2009.02823)."""

    def __init__(self, ansatz: Ansatz, hamiltonian: SparsePauliOp) -> None:
        circuit = ansatz.circuit
        self._rotations = PauliRotations(gates_of(circuit), circuit.num_qubits, ansatz.num_parameters)
        fixed = self._rotations.fixed
        self._hamiltonian = fixed.conj().T @ hamiltonian.to_matrix() @ fixed

    def __call__(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the energy at the angles (n,) and its gradient (n,)."""
        half = self._rotations.half_angles(point)
        cosines, sines = np.cos(half), 1j * np.sin(half)
        paulis = list(zip(self._rotations.partners, self._rotations.phases, strict=True))
        state = np.zeros(len(self._hamiltonian), complex)
        state[0] = 1.0
        for cosine, sine, (partners, phases) in zip(cosines, sines, paulis, strict=True):
            state = cosine * state - sine * (phases * state[partners])
        costate = self._hamiltonian @ state
        energy = float(np.vdot(state, costate).real)
        slopes = np.zeros(len(half))
        for index in reversed(range(len(half))):
            partners, phases = paulis[index]
            turned = phases * state[partners]
            slopes[index] = np.vdot(costate, turned).imag
            state = cosines[index] * state + sines[index] * turned
            costate = cosines[index] * costate + sines[index] * (phases * costate[partners])
        return energy, slopes @ self._rotations.slopes
