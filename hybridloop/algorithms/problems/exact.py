"""Exact diagonalization of small problems, as a reference for results: full configuration interaction (FCI)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.problems.determinants import (
    count_determinants,
    determinants_of,
    hamiltonian_matrix,
    spin_squared_matrix,
)
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import InputError

MAX_DETERMINANTS = 5000  # 8 electrons in 8 orbitals: under a second
MAX_ORBITALS = 31  # a determinant is one bit for each spin orbital, in a signed 64-bit word
SPIN_SHIFT = 1.0  # hartree: above the gaps between spins of most molecules; a larger one slows Lanczos down
MOST_DEGENERATE = 3  # levels of a point group, but those of atoms and icosahedra
SAME_LEVEL = 1e-6  # hartree
MAX_DENSE_QUBITS = 8  # all eigenvalues of 256 rows: a few milliseconds
MAX_DENSE_DETERMINANTS = 400  # up to here LAPACK is as quick as Lanczos and needs no starting vector


def can_be_diagonalized(molecule: Molecule) -> bool:
    """Return whether the molecule is within `MAX_DETERMINANTS` and `MAX_ORBITALS`."""
    return molecule.norb <= MAX_ORBITALS and count_determinants(molecule) <= MAX_DETERMINANTS


def exact_ground_energy(molecule: Molecule) -> float:
    """Return the lowest full configuration interaction (FCI) energy in hartree, of any spin.

    The Jordan-Wigner Hamiltonian is restricted to determinants with the molecule's alpha and beta electrons: states
    with other electron numbers may have a lower energy. Raises InputError unless `can_be_diagonalized`.
    """
    return lowest_state(hamiltonian_matrix(molecule, _states_of(molecule)), molecule.norb)[0]


def exact_energy_of_spin(molecule: Molecule) -> float:
    """Return the lowest FCI energy in hartree of the molecule's own spin, s = |n_alpha − n_beta| / 2.

    No state of these determinants has a smaller spin, so the eigenvalues of H + μ (S² − s(s+1)) are those of spin s,
    and others that are raised by at least μ (2s + 2); μ grows until the lowest state has spin s. Raises InputError
    unless `can_be_diagonalized`.
    """
    return lowest_states_of_spin(molecule)[0]


@lru_cache(maxsize=4)
def lowest_states_of_spin(molecule: Molecule) -> tuple[float, NDArray[np.float64]]:
    """Return the energy of `exact_energy_of_spin`, and its states as columns (determinants, k): several if degenerate.

    The determinants are those of `determinants_of`.
    """
    states = _states_of(molecule)
    spin = abs(molecule.electrons[0] - molecule.electrons[1]) / 2
    hamiltonian = hamiltonian_matrix(molecule, states)
    squared = spin_squared_matrix(molecule.norb, states) - spin * (spin + 1) * scipy.sparse.eye_array(len(states))
    shift = SPIN_SHIFT
    while True:
        energies, vectors = lowest_states(hamiltonian + shift * squared, molecule.norb, MOST_DEGENERATE)
        if vectors[:, 0] @ (squared @ vectors[:, 0]) < spin + 1:  # nearer to 0 than to the next spin's 2s + 2
            return float(energies[0]), vectors[:, energies < energies[0] + SAME_LEVEL]
        shift *= 8.0


def _states_of(molecule: Molecule) -> NDArray[np.int64]:
    """Return the determinants. Raises InputError unless `can_be_diagonalized`."""
    if not can_be_diagonalized(molecule):
        problem = f"{molecule.source} has {count_determinants(molecule)} determinants over {molecule.norb} orbitals"
        remedy = f"An exact energy is computed up to {MAX_DETERMINANTS} determinants and {MAX_ORBITALS} orbitals."
        raise InputError("problem", problem, remedy)
    return determinants_of(molecule)


def lowest_state(matrix: scipy.sparse.csr_array, seed: int) -> tuple[float, NDArray[np.float64]]:
    """Return the lowest eigenvalue of a symmetric matrix and its eigenvector, by LAPACK, or Lanczos from a seed."""
    values, vectors = lowest_states(matrix, seed, 1)
    return float(values[0]), vectors[:, 0]


def lowest_states(
    matrix: scipy.sparse.csr_array, seed: int, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the `count` lowest eigenvalues of a symmetric matrix, ascending, and their eigenvectors as columns."""
    size = matrix.shape[0]
    if size <= MAX_DENSE_DETERMINANTS:
        values, vectors = np.linalg.eigh(matrix.toarray())
        return values[:count], vectors[:, :count]
    start = np.random.default_rng(seed).normal(size=size)  # overlaps with every symmetry sector
    values, vectors = scipy.sparse.linalg.eigsh(matrix, k=count, which="SA", v0=start)
    order = np.argsort(values)
    return values[order], vectors[:, order]


def exact_levels(molecule: Molecule, count: int) -> tuple[float, ...] | None:
    """Return the `count` lowest energies of the molecule's alpha and beta electrons in hartree, of any spin, ascending.

    None where there are more than `MAX_DENSE_DETERMINANTS` determinants.
    """
    if count_determinants(molecule) > MAX_DENSE_DETERMINANTS:
        return None
    return tuple(np.linalg.eigvalsh(hamiltonian_matrix(molecule, determinants_of(molecule)).toarray())[:count].tolist())


def lowest_eigenvalues(operator: SparsePauliOp, count: int) -> tuple[float, ...] | None:
    """Return the `count` lowest eigenvalues with multiplicity, ascending; None above `MAX_DENSE_QUBITS` qubits.

    The whole Hilbert space counts: for a molecule, states with other electron numbers are included.
    """
    if operator.num_qubits > MAX_DENSE_QUBITS:
        return None
    return tuple(np.linalg.eigvalsh(operator.to_matrix())[:count].tolist())
