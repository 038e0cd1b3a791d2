"""Energies of small circuits from state vectors in numpy, with the noise of shots: fast enough for many seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.fermions import excitation
from hybridloop.algorithms.measurement import observable
from hybridloop.algorithms.optimizer import Optimizer
from hybridloop.algorithms.uccsd import Excitation

State = Callable[[NDArray[np.float64]], NDArray[np.float64]]

TURNS = {
    "I": np.eye(2),
    "Z": np.eye(2),
    "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "Y": np.array([[1, -1j], [1, 1j]]) / np.sqrt(2),
}


@dataclass
class Measuring:
    """Plays an optimizer's rounds; counts rounds and jobs (points times groups)."""

    hamiltonian: SparsePauliOp
    state: State
    shots: int
    seed: int
    rounds: int = field(default=0, init=False)
    jobs: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        measured = observable(self.hamiltonian)
        self._constant, self._groups = measured.constant, []
        outcomes = np.arange(2**measured.num_qubits)
        for group in measured.groups:
            turn = np.eye(1)
            for pauli in group.basis:
                turn = np.kron(turn, TURNS[pauli])
            signs = [1 - 2 * (np.bitwise_count(outcomes & mask).astype(int) % 2) for mask in group.masks]
            self._groups.append((turn, group.coefficients @ np.array(signs), group.reach))
        self._matrix = self.hamiltonian.to_matrix()

    def exact(self, point: NDArray[np.float64]) -> float:
        """The energy without noise."""
        state = self.state(point)
        return float((state.conj() @ self._matrix @ state).real)

    def round(self, points: NDArray[np.float64]) -> Sequence[Estimate]:
        """The points' energies from fresh shots."""
        self.rounds += 1
        return [self._estimate(self.state(point)) for point in points]

    def play(self, optimizer: Optimizer) -> NDArray[np.float64]:
        """Rounds until the optimizer stops; the point that it hands back."""
        while len(points := optimizer.ask()):
            optimizer.tell(points, self.round(points))
        assert optimizer.best is not None
        return optimizer.best.point

    def _estimate(self, state: NDArray[np.float64]) -> Estimate:
        value, variance = self._constant, 0.0
        for turn, energies, reach in self._groups:
            self.jobs += 1
            probabilities = np.abs(turn @ state) ** 2
            counts = self._rng.multinomial(self.shots, probabilities / probabilities.sum())
            mean = float(counts @ energies) / self.shots
            value += mean
            variance += (float(counts @ (energies - mean) ** 2) + reach**2) / self.shots**2
        return Estimate(value, variance, self.shots * len(self._groups))


def two_qubits(point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two rows of RY rotations with a CX from qubit 0 between them."""
    first, second = (np.kron(_ry(point[i + 1]), _ry(point[i])) for i in (0, 2))
    entangled = first[[0, 3, 2, 1], 0]
    return np.array(second @ entangled, float)


def exponentials(problem: ElectronicProblem, chosen: Sequence[Excitation]) -> State:
    """The determinant, then exp(θ G) = 1 + sin θ G + (1 − cos θ) G² for each excitation's G, for which G³ = −G."""
    size = 2**problem.encoding.num_qubits
    states = np.arange(size)
    generators = []
    for emptied, filled in chosen:
        generator = np.zeros((size, size))
        for (x, z), coefficient in problem.encoding.encode(excitation(emptied, filled)).items():
            signs = 1 - 2 * (np.bitwise_count(states & z).astype(int) % 2)
            generator[states ^ x, states] += coefficient * signs
        generators.append(generator)

    def state(point: NDArray[np.float64]) -> NDArray[np.float64]:
        vector: NDArray[np.float64] = np.zeros(size)
        vector[problem.reference_state] = 1.0
        for angle, generator in zip(point, generators, strict=True):
            once = generator @ vector
            vector += np.sin(angle) * once + (1.0 - np.cos(angle)) * (generator @ once)
        return vector

    return state


def _ry(angle: float) -> NDArray[np.float64]:
    cosine, sine = np.cos(angle / 2), np.sin(angle / 2)
    return np.array([[cosine, -sine], [sine, cosine]])
