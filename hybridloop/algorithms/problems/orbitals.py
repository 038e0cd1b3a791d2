"""Natural orbitals of a molecule's exact ground state, and orbitals as a text.

A rotation of all orbitals of a molecule, or of an active space, changes none of its exact energies, but the circuits.
"""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.problems.determinants import determinants_of, symplectic_matrix
from hybridloop.algorithms.problems.eigenvectors import pivoted_eigenvectors
from hybridloop.algorithms.problems.electronic import symmetrized_excitation
from hybridloop.algorithms.problems.exact import lowest_states_of_spin
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import InputError

Array = NDArray[np.float64]

SMALLEST_DENSITY = 1e-7  # electrons: a smaller element between two orbitals is rounding, and they keep their symmetry
FOCK_WEIGHT = 1e-5  # electrons per hartree: the Fock operator decides between orbitals of equal occupation
OCCUPATION_DECIMALS = 5  # orbitals of equal occupation keep the order of their energies
ORTHONORMAL = 1e-6  # products of recorded orbitals: rounding changes them less; others change the energies
_STEPS = 2**30  # of an element in a record, which is at most 1


def exact_natural_orbitals(molecule: Molecule) -> Array:
    """Return the natural orbitals (norb, norb) of the exact ground state as columns, the fullest first.

    P.-O. Löwdin, Phys. Rev. 97 (1955) 1474. They diagonalize the density of both spins, of degenerate ground states the
    mean. Of equally occupied orbitals the Fock operator of that density decides, then the fixed rule of
    `pivoted_eigenvectors`, so that all machines find the same ones. Orbitals that the density does not connect are not
    mixed: they keep the molecule's symmetry. Raises InputError where the molecule is too large for its exact energy.
    """
    density = _density(molecule)
    fock = molecule.one_body + np.einsum("pqrs,rs->pq", molecule.two_body, density)
    fock -= 0.5 * np.einsum("prqs,rs->pq", molecule.two_body, density)
    columns: list[tuple[float, float, Array]] = []
    for block in _connected(np.abs(density) > SMALLEST_DENSITY):
        part = np.ix_(block, block)
        _, vectors = pivoted_eigenvectors(density[part] - FOCK_WEIGHT * fock[part])
        for vector in vectors.T:
            column = np.zeros(molecule.norb)
            column[block] = vector
            occupation = round(float(column @ density @ column), OCCUPATION_DECIMALS)
            columns.append((-occupation, round(float(column @ fock @ column), OCCUPATION_DECIMALS), column))
    columns.sort(key=lambda each: each[:2])
    return np.round(np.array([column for _, _, column in columns]).T * _STEPS) / _STEPS


def _density(molecule: Molecule) -> Array:
    """Return the density matrix (norb, norb) of both spins in the exact ground state, or the mean of equal ones."""
    states, determinants = lowest_states_of_spin(molecule)[1], determinants_of(molecule)
    density = np.zeros((molecule.norb,) * 2)
    for p in range(molecule.norb):
        for q in range(p + 1):
            hops = symplectic_matrix(symmetrized_excitation(p, q, molecule.norb), determinants)
            total = float(np.einsum("dk,dk->", states, hops @ states))
            density[p, q] = density[q, p] = total / (states.shape[1] * (1 if p == q else 2))
    return density


def _connected(is_connected: NDArray[np.bool_]) -> list[list[int]]:
    """Return the blocks of a symmetric relation, each in ascending order."""
    left, blocks = set(range(len(is_connected))), list[list[int]]()
    while left:
        block, new = set[int](), {min(left)}
        while new:
            block |= new
            new = {other for each in new for other in np.flatnonzero(is_connected[each]).tolist()} - block
        left -= block
        blocks.append(sorted(block))
    return blocks


def orbitals_to_text(orbitals: Array) -> str:
    """Return orbitals (norb, norb) as a text for the record of a run."""
    return base64.b64encode(np.round(orbitals * _STEPS).astype("<i4").tobytes()).decode()


def orbitals_of_text(text: str, norb: int) -> Array:
    """Return the orbitals (norb, norb) of a text. Raises InputError for one that has none of this size."""
    try:
        steps = np.frombuffer(base64.b64decode(text, validate=True), "<i4").reshape(norb, norb)
        orbitals = steps / _STEPS
        if np.abs(orbitals.T @ orbitals - np.eye(norb)).max() > ORTHONORMAL:
            raise ValueError("they are not orthonormal")
        return orbitals
    except ValueError as error:
        problem = f"the orbitals that the run recorded are damaged ({error})"
        raise InputError("orbitals", problem, "Start a new run; this one's counts are kept.") from error
