"""Classical simulation of excitation circuits over a molecule's determinants: energies, slopes and curvatures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array

from hybridloop.algorithms.circuits.ansatz import EnergyModel
from hybridloop.algorithms.circuits.perturbation import missing_energy
from hybridloop.algorithms.circuits.uccsd import Excitation
from hybridloop.algorithms.problems.determinants import (
    count_determinants,
    determinants_of,
    hamiltonian_matrix,
    spin_squared_matrix,
)
from hybridloop.algorithms.problems.electronic import ElectronicProblem, SymplecticOperator, excitation
from hybridloop.algorithms.problems.exact import MAX_ORBITALS, lowest_state
from hybridloop.algorithms.problems.molecule import Molecule

MAX_WORK = 50_000  # determinants times exponentials: an energy with its gradient takes about 10 ms
SPIN_PENALTY = 1.0  # hartree: above the gaps between spins of most molecules


@dataclass(frozen=True, slots=True, eq=False)
class _Exponential:
    """exp(θ (T − T†)): a rotation of pairs of determinants, `rows` with their `partners`, signed."""

    angle: int
    rows: NDArray[np.intp]
    partners: NDArray[np.intp]
    signs: NDArray[np.float64]

    def generate(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the `rows` of (T − T†) on a state; the others are 0."""
        return self.signs * state[self.partners]

    def apply(self, state: NDArray[np.float64], theta: float) -> NDArray[np.float64]:
        after = state.copy()
        after[self.rows] = np.cos(theta) * state[self.rows] + np.sin(theta) * self.generate(state)
        return after


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedCircuit(EnergyModel):
    """Exponentials of excitations after the Hartree-Fock determinant, simulated over the determinants of its electrons.

    Such simulations find initial angles for the quantum computer: J. W. Mullinax et al., arXiv:2411.07920. Here no
    determinant is left out. Energies in hartree, points (n,) in radians. The objective is ⟨H⟩ + μ (⟨S²⟩ − s(s+1)) with
    the molecule's own spin s and μ = `spin_penalty`, so that a lower state of another spin is no minimum.
    """

    determinants: NDArray[np.int64]
    hamiltonian: csr_array
    excess_spin: csr_array  # S² − s(s+1)
    reference: int
    exponentials: tuple[_Exponential, ...]
    num_angles: int
    spin_penalty: float = SPIN_PENALTY

    @classmethod
    def of(
        cls,
        problem: ElectronicProblem,
        selected: Sequence[Excitation],
        angles: Sequence[int],
        *,
        generator_of: Callable[[Iterable[int], Iterable[int]], SymplecticOperator] = excitation,
    ) -> SimulatedCircuit | None:
        """Simulate `excitation_ansatz` of these arguments; None where that takes above `MAX_WORK`."""
        molecule = problem.molecule
        if not is_simulable(molecule, len(selected)):
            return None
        states = determinants_of(molecule)
        spin = abs(molecule.electrons[0] - molecule.electrons[1]) / 2
        return cls(
            determinants=states,
            hamiltonian=hamiltonian_matrix(molecule, states),
            excess_spin=spin_squared_matrix(molecule.norb, states) - spin * (spin + 1) * eye_array(len(states)),
            reference=int(np.searchsorted(states, problem.encoding.hartree_fock_occupation())),
            exponentials=tuple(
                _exponential(generator_of(*orbitals), states, angle)
                for orbitals, angle in zip(selected, angles, strict=True)
            ),
            num_angles=max(angles, default=-1) + 1,
        )

    @property
    def work(self) -> int:
        """Number of determinants times that of exponentials, which an energy takes time for."""
        return len(self.determinants) * len(self.exponentials)

    @property
    def lowest_unreached(self) -> float:
        """Lowest objective of states of determinants that the circuit never reaches, in hartree; inf if there are none.

        Such determinants have another symmetry than the problem's reference.
        """
        reached = np.zeros(self.hamiltonian.shape[0], bool)
        reached[self.reference] = True
        for exponential in self.exponentials:
            reached[exponential.rows] |= reached[exponential.partners]
        rest = np.flatnonzero(~reached)
        if not len(rest):
            return math.inf
        return lowest_state((self.hamiltonian + self.spin_penalty * self.excess_spin)[rest][:, rest], len(rest))[0]

    def state(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the amplitudes of the determinants."""
        state = np.zeros(self.hamiltonian.shape[0])
        state[self.reference] = 1.0
        for exponential in self.exponentials:
            state = exponential.apply(state, point[exponential.angle])
        return state

    def reference_weight(self, point: NDArray[np.float64]) -> float:
        """Return the weight of the Hartree-Fock determinant in the state."""
        return float(self.state(point)[self.reference] ** 2)

    def energy(self, point: NDArray[np.float64]) -> float:
        """Return the energy ⟨H⟩ at the point."""
        state = self.state(point)
        return float(state @ (self.hamiltonian @ state))

    def missing_energy(self, point: NDArray[np.float64]) -> float:
        """Return `missing_energy` of the state at a point (n,), in hartree."""
        return missing_energy(self.hamiltonian, self.state(point))

    def objective_and_gradient(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the objective and its gradient (n,), by the adjoint method."""
        state = self.state(point)
        image = self.hamiltonian @ state + self.spin_penalty * (self.excess_spin @ state)
        value, dual, gradient = float(state @ image), 2.0 * image, np.zeros(self.num_angles)
        for exponential in reversed(self.exponentials):
            theta = point[exponential.angle]
            gradient[exponential.angle] += dual[exponential.rows] @ exponential.generate(state)
            state, dual = exponential.apply(state, -theta), exponential.apply(dual, -theta)
        return value, gradient

    def appended(
        self,
        point: NDArray[np.float64],
        selected: Sequence[Excitation],
        generator_of: Callable[[Iterable[int], Iterable[int]], SymplecticOperator] = excitation,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return slope and curvature (k,) of ⟨H⟩ at θ = 0 for each exponential appended to the circuit at the point."""
        state = self.state(point)
        image = self.hamiltonian @ state
        slopes, curvatures = np.zeros(len(selected)), np.zeros(len(selected))
        for index, orbitals in enumerate(selected):
            generator = _exponential(generator_of(*orbitals), self.determinants, 0)
            once, twice = np.zeros_like(state), np.zeros_like(state)
            once[generator.rows] = generator.generate(state)
            twice[generator.rows] = generator.generate(once)
            slopes[index] = 2.0 * float(once @ image)
            curvatures[index] = 2.0 * float(once @ (self.hamiltonian @ once) + twice @ image)
        return slopes, curvatures


def is_simulable(molecule: Molecule, exponentials: int) -> bool:
    """Return whether a circuit of so many exponentials takes at most `MAX_WORK`."""
    return molecule.norb <= MAX_ORBITALS and count_determinants(molecule) * exponentials <= MAX_WORK


def _exponential(generator: SymplecticOperator, states: NDArray[np.int64], angle: int) -> _Exponential:
    # X^x Z^z takes |b⟩ to (−1)^|z & b| |b ^ x⟩, and all terms of an excitation have the same x
    amplitudes = sum(c * (1.0 - 2.0 * (np.bitwise_count(states & z) & 1)) for (_, z), c in generator.items())
    flip = next(iter(generator))[0]
    rows = np.flatnonzero(np.abs(amplitudes) > 0.5)
    # T − T† is antisymmetric: the amplitude from the partner is minus that to it
    return _Exponential(angle, rows, np.searchsorted(states, states[rows] ^ flip), -np.round(amplitudes[rows]))
