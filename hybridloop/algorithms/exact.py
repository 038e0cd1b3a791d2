"""Exact ground energies of small molecules, to hold results against."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp
from scipy.sparse import coo_array
from scipy.sparse.linalg import eigsh

from hybridloop.algorithms.fermions import hamiltonian_terms
from hybridloop.algorithms.molecule import Molecule
from hybridloop.errors import InputError

MOST_DETERMINANTS = 5000  # 8 electrons in 8 orbitals: under a second
MOST_ORBITALS = 31  # a determinant is one bit for each spin orbital, in a signed 64-bit word
DENSE_QUBITS = 8  # all eigenvalues of 256 rows: a few milliseconds
DENSE_UP_TO = 400  # determinants: below, LAPACK is as quick and has no starting vector


def can_be_diagonalized(molecule: Molecule) -> bool:
    """Whether the molecule is within `MOST_DETERMINANTS` and `MOST_ORBITALS`."""
    return molecule.norb <= MOST_ORBITALS and _determinants(molecule) <= MOST_DETERMINANTS


def exact_ground_energy(molecule: Molecule) -> float:
    """Lowest energy in hartree with the molecule's electrons of either spin, if it `can_be_diagonalized`.

    Full configuration interaction: the Jordan-Wigner Hamiltonian on those basis states alone, so that no other number
    of electrons, whose energy may be lower, gets in. Raises InputError for a larger molecule.
    """
    if not can_be_diagonalized(molecule):
        problem = f"{molecule.source} has {_determinants(molecule)} determinants of {molecule.norb} orbitals"
        remedy = f"An exact energy takes at most {MOST_DETERMINANTS} determinants and {MOST_ORBITALS} orbitals."
        raise InputError("problem", problem, remedy)
    states = _states(molecule)
    size = len(states)
    by_flip: dict[int, list[tuple[int, float]]] = {}
    for (x, z), coefficient in hamiltonian_terms(molecule).items():
        by_flip.setdefault(x, []).append((z, coefficient))
    rows, columns, values = [], [], []
    for flip, terms in by_flip.items():
        partners = states ^ flip
        places = np.minimum(np.searchsorted(states, partners), size - 1)
        inside = np.flatnonzero(states[places] == partners)  # terms may leave one by one; their sum does not
        phases = np.array([z for z, _ in terms])
        coefficients = np.array([coefficient for _, coefficient in terms])
        parity = np.bitwise_count(states[inside, None] & phases[None, :]) & 1
        rows.append(places[inside])
        columns.append(inside)
        values.append(coefficients.sum() - 2.0 * (parity @ coefficients))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    matrix = coo_array(entries, shape=(size, size)).tocsr()
    if size <= DENSE_UP_TO:
        return float(np.linalg.eigvalsh(matrix.toarray())[0])
    return float(eigsh(matrix, k=1, which="SA", v0=_start(molecule, states), return_eigenvectors=False)[0])


def lowest_eigenvalues(operator: SparsePauliOp, count: int) -> tuple[float, ...] | None:
    """The lowest eigenvalues, each as often as it occurs, ascending; None above `DENSE_QUBITS` qubits.

    Of all that the operator acts on: of a molecule, states with other electrons than its own, too.
    """
    if operator.num_qubits > DENSE_QUBITS:
        return None
    return tuple(np.linalg.eigvalsh(operator.to_matrix())[:count].tolist())


def _determinants(molecule: Molecule) -> int:
    """How many determinants have the molecule's electrons of either spin."""
    return comb(molecule.norb, molecule.electrons[0]) * comb(molecule.norb, molecule.electrons[1])


def _states(molecule: Molecule) -> NDArray[np.int64]:
    """The basis states, ascending; bit i is spin orbital i, alpha first."""
    alpha, beta = (
        [sum(1 << orbital for orbital in chosen) for chosen in itertools.combinations(range(molecule.norb), count)]
        for count in molecule.electrons
    )
    return np.sort(np.array([a | b << molecule.norb for a in alpha for b in beta], np.int64))


def _start(molecule: Molecule, states: NDArray[np.int64]) -> NDArray[np.float64]:
    """Some of every state, for Lanczos to start from: no symmetry may hide the ground state from it."""
    return np.random.default_rng(molecule.norb).normal(size=len(states))
