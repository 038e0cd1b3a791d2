"""Classical simulation of excitation circuits over a molecule's determinants: energies, slopes and curvatures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import scipy
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import EnergyModel
from hybridloop.algorithms.circuits.statevector import (
    BYTES_PER_ELEMENT,
    MAX_BYTES,
    Rotation,
    RotationSequence,
    gradients_of_search,
    is_affordable,
    rotation_operations,
)
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

MAX_DETERMINANTS = 1_000_000  # with those of other symmetries: their list takes a second
SPIN_PENALTY = 1.0  # hartree: above the gaps between spins of most molecules


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedCircuit(EnergyModel):
    """Exponentials of excitations after the Hartree-Fock determinant, simulated over the determinants of its electrons.

    Such simulations find initial angles for the quantum computer: J. W. Mullinax et al., arXiv:2411.07920. Here only
    the determinants of other symmetries are left out. Energies in hartree, points (n,) in radians. The `objective`
    is the matrix of H + μ (S² − s(s+1)) with the molecule's own spin s and μ = `SPIN_PENALTY`, so that a lower state of
    another spin is no minimum.
    """

    problem: ElectronicProblem
    determinants: NDArray[np.int64]
    hamiltonian: scipy.sparse.csr_array
    objective: scipy.sparse.csr_array
    sequence: RotationSequence

    @classmethod
    def of(
        cls,
        problem: ElectronicProblem,
        selected: Sequence[Excitation],
        angles: Sequence[int],
        *,
        generator_of: Callable[[Iterable[int], Iterable[int]], SymplecticOperator] = excitation,
    ) -> SimulatedCircuit | None:
        """Simulate `excitation_ansatz` of these arguments; None where a search takes too long (`is_simulable`)."""
        count = max(angles, default=-1) + 1
        if not is_simulable(problem, selected, gradients_of_search(count)):
            return None
        determinants = determinants_of(problem.molecule)
        determinants = determinants[_has_symmetry(problem, determinants)]
        hamiltonian = hamiltonian_matrix(problem.molecule, determinants)
        rotations = tuple(
            exponential_rotation(generator_of(*orbitals), determinants, angle)
            for orbitals, angle in zip(selected, angles, strict=True)
        )
        start = int(np.searchsorted(determinants, problem.encoding.hartree_fock_occupation()))
        return cls(
            problem,
            determinants,
            hamiltonian,
            hamiltonian + SPIN_PENALTY * _excess_spin(problem.molecule, determinants),
            RotationSequence(len(determinants), start, rotations, count),
        )

    @property
    def operations(self) -> int:
        """Number of operations of a gradient."""
        return self.sequence.operations + int(self.objective.nnz)

    @property
    def lowest_reached(self) -> float:
        """Lowest objective of states of the reference's symmetry, in hartree; Lanczos takes up to half a minute."""
        return lowest_state(self.objective, len(self.determinants))[0]

    @property
    def lowest_unreached(self) -> float | None:
        """Lowest objective of states of another symmetry than the reference's, in hartree; inf if there are none.

        None if their matrix takes above `MAX_BYTES`.
        """
        molecule = self.problem.molecule
        rest = determinants_of(molecule)
        rest = rest[~_has_symmetry(self.problem, rest)]
        if not len(rest):
            return math.inf
        if len(rest) * _connections(molecule) * BYTES_PER_ELEMENT > MAX_BYTES:
            return None
        objective = hamiltonian_matrix(molecule, rest) + SPIN_PENALTY * _excess_spin(molecule, rest)
        return lowest_state(objective, len(rest))[0]

    def state(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the amplitudes of the determinants."""
        return self.sequence.state(point)

    def reference_weight(self, point: NDArray[np.float64]) -> float:
        """Return the weight of the Hartree-Fock determinant in the state."""
        return float(self.state(point)[self.sequence.start] ** 2)

    def energy(self, point: NDArray[np.float64]) -> float:
        """Return the energy ⟨H⟩ at the point."""
        state = self.state(point)
        return float(state @ (self.hamiltonian @ state))

    def objective_and_gradient(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the objective and its gradient (n,)."""
        return self.sequence.value_and_gradient(self.objective, point)

    def appended(
        self,
        point: NDArray[np.float64],
        generators: Sequence[SymplecticOperator],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return slope and curvature (k,) of ⟨H⟩ at θ = 0 for each exp(θ A) appended to the circuit at the point."""
        state = self.state(point)
        image = self.hamiltonian @ state
        slopes, curvatures = np.zeros(len(generators)), np.zeros(len(generators))
        for index, each in enumerate(generators):
            generator = exponential_rotation(each, self.determinants, 0)
            once, twice = np.zeros_like(state), np.zeros_like(state)
            once[generator.rows] = generator.generate(state)
            twice[generator.rows] = generator.generate(once)
            slopes[index] = 2.0 * float(once @ image)
            curvatures[index] = 2.0 * float(once @ (self.hamiltonian @ once) + twice @ image)
        return slopes, curvatures


def is_simulable(problem: ElectronicProblem, selected: Sequence[Excitation], gradients: int) -> bool:
    """Return whether so many gradients of a circuit of these excitations are affordable."""
    molecule = problem.molecule
    if molecule.norb > MAX_ORBITALS or count_determinants(molecule) > MAX_DETERMINANTS:
        return False
    share = 2.0 ** (len(problem.flips) - 2 * (molecule.norb - 1))  # of the determinants, by symmetries of orbitals
    rows = sum(2 * _count_excitable(molecule, emptied) for emptied, _ in selected)
    elements = round(share * count_determinants(molecule) * _connections(molecule))
    operations = rotation_operations(round(share * rows), len(selected)) + elements
    return is_affordable(operations, gradients, elements * BYTES_PER_ELEMENT)


def _connections(molecule: Molecule) -> int:
    """Return the number of determinants that the Hamiltonian connects to one of them, itself included."""
    empty = [(count, molecule.norb - count) for count in molecule.electrons]
    singles = [occupied * free for occupied, free in empty]
    return 1 + sum(singles) + singles[0] * singles[1] + sum(comb(n, 2) * comb(free, 2) for n, free in empty)


def _count_excitable(molecule: Molecule, emptied: Sequence[int]) -> int:
    """Return the number of determinants in which the orbitals are occupied, and as many others of their spins empty."""
    alpha = sum(orbital < molecule.norb for orbital in emptied)
    return math.prod(
        comb(molecule.norb - 2 * moved, count - moved) if moved <= count else 0
        for moved, count in zip((alpha, len(emptied) - alpha), molecule.electrons, strict=True)
    )


def _has_symmetry(problem: ElectronicProblem, determinants: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which determinants have the Z2 symmetries of the reference."""
    rest = determinants ^ problem.encoding.hartree_fock_occupation()
    for flip in problem.flips:
        rest = np.minimum(rest, rest ^ flip)
    has_symmetry: NDArray[np.bool_] = rest == 0
    return has_symmetry


def _excess_spin(molecule: Molecule, determinants: NDArray[np.int64]) -> scipy.sparse.csr_array:
    """Return S² − s (s + 1) between determinants, with the molecule's own spin s."""
    spin = abs(molecule.electrons[0] - molecule.electrons[1]) / 2
    return spin_squared_matrix(molecule.norb, determinants) - spin * (spin + 1) * scipy.sparse.eye_array(
        len(determinants)
    )


def exponential_rotation(generator: SymplecticOperator, states: NDArray[np.int64], angle: int) -> Rotation:
    """Return exp(θ (T − T†)) of an excitation: a rotation of pairs of determinants."""
    # X^x Z^z takes |b⟩ to (−1)^|z & b| |b ^ x⟩, and all terms of an excitation have the same x
    amplitudes = sum(c * (1.0 - 2.0 * (np.bitwise_count(states & z) & 1)) for (_, z), c in generator.items())
    flip = next(iter(generator))[0]
    rows = np.flatnonzero(np.abs(amplitudes) > 0.5)
    # T − T† is antisymmetric: the amplitude from the partner is minus that to it
    partners = np.searchsorted(states, states[rows] ^ flip)
    return Rotation(rows, partners, -np.round(amplitudes[rows]), ((angle, 1.0),))
