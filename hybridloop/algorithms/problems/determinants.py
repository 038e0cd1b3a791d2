"""Determinants of a molecule's electrons, with the Hamiltonian and S² between them as sparse matrices."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from math import comb

import numpy as np
import scipy
from numpy.typing import NDArray

from hybridloop.algorithms.problems.electronic import hamiltonian_terms
from hybridloop.algorithms.problems.molecule import Molecule


def count_determinants(molecule: Molecule) -> int:
    """Return the number of determinants with the molecule's alpha and beta electrons."""
    return comb(molecule.norb, molecule.electrons[0]) * comb(molecule.norb, molecule.electrons[1])


def determinants_of(molecule: Molecule) -> NDArray[np.int64]:
    """Return the determinants as bit masks, ascending; bit i is spin orbital i, alpha orbitals first."""
    alpha, beta = (
        [sum(1 << orbital for orbital in occupied) for occupied in itertools.combinations(range(molecule.norb), count)]
        for count in molecule.electrons
    )
    return np.sort(np.array([a | b << molecule.norb for a in alpha for b in beta], np.int64))


def hamiltonian_matrix(molecule: Molecule, states: NDArray[np.int64]) -> scipy.sparse.csr_array:
    """Return the Hamiltonian between the determinants, in hartree."""
    return symplectic_matrix(hamiltonian_terms(molecule), states)


def symplectic_matrix(operator: Mapping[tuple[int, int], complex], states: NDArray[np.int64]) -> scipy.sparse.csr_array:
    """Return a sum of operators X^x Z^z, as {(x, z): coefficient}, between basis states, ascending."""
    size = len(states)
    # terms with the same X mask connect the same pairs of states
    by_flip: dict[int, list[tuple[int, complex]]] = {}
    for (x, z), coefficient in operator.items():
        by_flip.setdefault(x, []).append((z, coefficient))
    # the sparse matrix, one flip at a time
    rows, columns, values = [], [], []
    for flip, terms in by_flip.items():
        partners = states ^ flip
        places = np.minimum(np.searchsorted(states, partners), size - 1)
        inside = np.flatnonzero(states[places] == partners)  # single terms may leave the states; their sum does not
        phases = np.array([z for z, _ in terms])
        coefficients = np.array([coefficient for _, coefficient in terms])
        parity = np.bitwise_count(states[inside, None] & phases[None, :]) & 1
        rows.append(places[inside].astype(np.int32))
        columns.append(inside.astype(np.int32))
        values.append(coefficients.sum() - 2.0 * (parity @ coefficients))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return scipy.sparse.coo_array(entries, shape=(size, size)).tocsr()


def spin_squared_matrix(norb: int, states: NDArray[np.int64]) -> scipy.sparse.csr_array:
    """Return S² = S_z (S_z + 1) + S_- S_+ between the determinants.

    S_- S_+ = Σ_pq b_q† a_q a_p† b_p exchanges the spins of orbitals p and q, for a_p alpha and b_p beta. Its signs are
    those of the Jordan-Wigner transformation.
    """
    size, index = len(states), {int(state): number for number, state in enumerate(states)}
    rows, columns, values = [], [], []
    for column, state in enumerate(index):
        alpha, beta = state & ((1 << norb) - 1), state >> norb
        z = (alpha.bit_count() - beta.bit_count()) / 2
        raised = [p for p in range(norb) if beta >> p & 1 and not alpha >> p & 1]
        rows.append(column)
        columns.append(column)
        values.append(z * (z + 1) + len(raised))
        for p in raised:
            for q in (q for q in range(norb) if alpha >> q & 1 and not beta >> q & 1):
                between = alpha | 1 << p, beta & ~(1 << p)
                crossed = sum((bits & (1 << at) - 1).bit_count() for bits, at in ((beta, p), (alpha, p)))
                crossed += sum((bits & (1 << q) - 1).bit_count() for bits in between)
                partner = index.get(between[0] & ~(1 << q) | (between[1] | 1 << q) << norb)
                if partner is None:  # outside an incomplete set
                    continue
                rows.append(partner)
                columns.append(column)
                values.append((-1.0) ** crossed)
    return scipy.sparse.coo_array((values, (rows, columns)), shape=(size, size)).tocsr()
