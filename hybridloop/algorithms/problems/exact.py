"""Exact diagonalization of small problems, as a reference for results: full configuration interaction (FCI)."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp
from scipy.sparse import coo_array, csr_array, eye_array
from scipy.sparse.linalg import eigsh

from hybridloop.algorithms.problems.electronic import hamiltonian_terms
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import InputError

MAX_DETERMINANTS = 5000  # 8 electrons in 8 orbitals: under a second
MAX_ORBITALS = 31  # a determinant is one bit for each spin orbital, in a signed 64-bit word
SPIN_SHIFT = 1.0  # hartree: above the gaps between spins of most molecules; a larger one slows Lanczos down
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
    return _lowest_state(_hamiltonian(molecule, _states_of(molecule)), molecule)[0]


def exact_energy_of_spin(molecule: Molecule) -> float:
    """Return the lowest FCI energy in hartree of the molecule's own spin, s = |n_alpha − n_beta| / 2.

    No state of these determinants has a smaller spin, so the eigenvalues of H + μ (S² − s(s+1)) are those of spin s,
    and others that are raised by at least μ (2s + 2); μ grows until the lowest state has spin s. Raises InputError
    unless `can_be_diagonalized`.
    """
    states = _states_of(molecule)
    spin = abs(molecule.electrons[0] - molecule.electrons[1]) / 2
    hamiltonian = _hamiltonian(molecule, states)
    squared = spin_squared(molecule.norb, states) - spin * (spin + 1) * eye_array(len(states))
    shift = SPIN_SHIFT
    while True:
        energy, state = _lowest_state(hamiltonian + shift * squared, molecule)
        if state @ (squared @ state) < spin + 1:  # nearer to 0 than to the next spin's 2s + 2
            return energy
        shift *= 8.0


def _states_of(molecule: Molecule) -> NDArray[np.int64]:
    """Return the determinants. Raises InputError unless `can_be_diagonalized`."""
    if not can_be_diagonalized(molecule):
        problem = f"{molecule.source} has {count_determinants(molecule)} determinants over {molecule.norb} orbitals"
        remedy = f"An exact energy is computed up to {MAX_DETERMINANTS} determinants and {MAX_ORBITALS} orbitals."
        raise InputError("problem", problem, remedy)
    return determinants(molecule)


def _hamiltonian(molecule: Molecule, states: NDArray[np.int64]) -> csr_array:
    """Return the Hamiltonian between the determinants."""
    size = len(states)
    # terms with the same X mask connect the same pairs of determinants
    by_flip: dict[int, list[tuple[int, float]]] = {}
    for (x, z), coefficient in hamiltonian_terms(molecule).items():
        by_flip.setdefault(x, []).append((z, coefficient))
    # the sparse matrix, one flip at a time
    rows, columns, values = [], [], []
    for flip, terms in by_flip.items():
        partners = states ^ flip
        places = np.minimum(np.searchsorted(states, partners), size - 1)
        inside = np.flatnonzero(states[places] == partners)  # single terms may leave the sector; their sum does not
        phases = np.array([z for z, _ in terms])
        coefficients = np.array([coefficient for _, coefficient in terms])
        parity = np.bitwise_count(states[inside, None] & phases[None, :]) & 1
        rows.append(places[inside])
        columns.append(inside)
        values.append(coefficients.sum() - 2.0 * (parity @ coefficients))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return coo_array(entries, shape=(size, size)).tocsr()


def spin_squared(norb: int, states: NDArray[np.int64]) -> csr_array:
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
    return coo_array((values, (rows, columns)), shape=(size, size)).tocsr()


def _lowest_state(matrix: csr_array, molecule: Molecule) -> tuple[float, NDArray[np.float64]]:
    """Return the lowest eigenvalue and its eigenvector, by LAPACK or Lanczos."""
    size = matrix.shape[0]
    if size <= MAX_DENSE_DETERMINANTS:
        values, vectors = np.linalg.eigh(matrix.toarray())
    else:
        start = np.random.default_rng(molecule.norb).normal(size=size)  # overlaps with every symmetry sector
        values, vectors = eigsh(matrix, k=1, which="SA", v0=start)
    return float(values[0]), vectors[:, 0]


def exact_levels(molecule: Molecule, count: int) -> tuple[float, ...] | None:
    """Return the `count` lowest energies of the molecule's alpha and beta electrons in hartree, of any spin, ascending.

    None where there are more than `MAX_DENSE_DETERMINANTS` determinants.
    """
    if count_determinants(molecule) > MAX_DENSE_DETERMINANTS:
        return None
    return tuple(np.linalg.eigvalsh(_hamiltonian(molecule, determinants(molecule)).toarray())[:count].tolist())


def lowest_eigenvalues(operator: SparsePauliOp, count: int) -> tuple[float, ...] | None:
    """Return the `count` lowest eigenvalues with multiplicity, ascending; None above `MAX_DENSE_QUBITS` qubits.

    The whole Hilbert space counts: for a molecule, states with other electron numbers are included.
    """
    if operator.num_qubits > MAX_DENSE_QUBITS:
        return None
    return tuple(np.linalg.eigvalsh(operator.to_matrix())[:count].tolist())


def count_determinants(molecule: Molecule) -> int:
    """Return the number of determinants with the molecule's alpha and beta electrons."""
    return comb(molecule.norb, molecule.electrons[0]) * comb(molecule.norb, molecule.electrons[1])


def determinants(molecule: Molecule) -> NDArray[np.int64]:
    """Return the determinants as bit masks, ascending; bit i is spin orbital i, alpha orbitals first."""
    alpha, beta = (
        [sum(1 << orbital for orbital in occupied) for occupied in itertools.combinations(range(molecule.norb), count)]
        for count in molecule.electrons
    )
    return np.sort(np.array([a | b << molecule.norb for a in alpha for b in beta], np.int64))
