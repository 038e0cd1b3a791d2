"""Double factorization of a molecule's Hamiltonian: groups that are diagonal after a rotation of the orbitals."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.orbital_rotation import SMALLEST_ANGLE, rotate, zero_right
from hybridloop.algorithms.estimation.compressed_factorization import (
    Fragments,
    filled_orbitals,
    orbitals_of,
    to_angles,
    to_text,
)
from hybridloop.algorithms.estimation.group_coefficients import MAX_RESIDUAL, RotatedGroups, least_deviations
from hybridloop.algorithms.estimation.observable import MeasurementGroup, Observable
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.problems.determinants import count_determinants, determinants_of
from hybridloop.algorithms.problems.eigenvectors import pivoted_eigenvectors
from hybridloop.algorithms.problems.electronic import NEGLIGIBLE, ElectronicProblem, Encoding, multiply
from hybridloop.algorithms.problems.molecule import Molecule

Array = NDArray[np.float64]

MAX_ORBITALS = 8  # the equations for the coefficients grow with the eighth power, to seconds for more
MAX_DETERMINANTS = 5000
SMALLEST_EIGENVALUE = 1e-8  # hartree: smaller eigenvalues of the two-electron integrals come from rounding
COEFFICIENT_DECIMALS = 10  # in hartree: digits that another machine's rounding may change are cut off
RIDGE = 1e-4  # bounds the coefficients of counts that are constant under an encoding, such as N_1 + N_2 of two orbitals


@lru_cache(maxsize=8)
def double_factorization(
    problem: ElectronicProblem, reference: ReferenceState, rotations: str | None = ""
) -> RotatedGroups | None:
    """Split a molecule's Hamiltonian into groups, each measured in a basis of rotated orbitals.

    H = constant + Σ_l [Σ_p d^l_p N_p(U_l) + Σ_pq g^l_pq N_p(U_l) N_q(U_l)], where N_p(U) counts the electrons of both
    spins in the orbital Σ_q U_qp φ_q: basis rotation grouping, W. J. Huggins et al., npj Quantum Inf. 7 (2021) 23.
    One U_l is the identity, and one diagonalizes the one-body part. The columns of the others are the eigenvectors of
    an eigenvector of (pq|rs), read as a matrix (M. Motta et al., npj Quantum Inf. 7 (2021) 83), or where `rotations` is
    None are fitted from there; a text has fitted ones. The groups sum to the Hamiltonian for any electrons. Groups that
    the others can replace at nearly no cost are left out: one in three.

    The paper has one group with the one-body part, in its own basis, and g^l of rank one. Both are free: one-body
    parts may move between groups (fluid fermionic fragments: S. Choi, I. Loaiza and A. F. Izmaylov, Quantum 7 (2023)
    889), and so may products N_p N_q, because those of all groups are linearly dependent, as Pauli terms in several
    groups are (coefficient splitting: T.-C. Yen, A. Ganeshram and A. F. Izmaylov, npj Quantum Inf. 9 (2023) 14). Here
    they minimize Σ_l σ_l in the reference state, a convex problem. Multiples of the conserved number of electrons are
    among them. None for a molecule of more than `MAX_ORBITALS` or `MAX_DETERMINANTS`, and where the integrals are not
    met to `MAX_RESIDUAL`.
    """
    molecule = problem.molecule
    if molecule.norb > MAX_ORBITALS or count_determinants(molecule) > MAX_DETERMINANTS:
        return None
    fragments = _fragments(problem, reference)
    orbitals = np.array(_orbitals(molecule))
    if rotations is None and molecule.norb > 1:
        rotations = to_text(fragments.fit(orbitals, float(_split_by(fragments, orbitals)[1].max())))
    if rotations:
        orbitals = np.concatenate([orbitals[:1], orbitals_of(to_angles(rotations, molecule.norb))])
    return _in_groups(problem, fragments, orbitals, rotations or "")


def _in_groups(problem: ElectronicProblem, fragments: Fragments, orbitals: Array, text: str) -> RotatedGroups | None:
    """Return the groups of these orbitals, each rotation once."""
    encoding, terms = problem.encoding, _TermsOfCounts.of(problem.encoding)
    rotated = dict(rotate(encoding, each) for each in orbitals)
    rotations, orbitals = list(rotated), np.array(list(rotated.values()))
    counts = np.round(_split_by(fragments, orbitals)[0], COEFFICIENT_DECIMALS)
    met = np.tensordot(counts, fragments.columns(orbitals), axes=2)
    if np.abs(met - fragments.integrals).max() > MAX_RESIDUAL:
        return None
    covariances = fragments.covariances(orbitals)
    groups, deviations = [], []
    for rotation, row, covariance in zip(rotations, counts, covariances, strict=True):
        values = terms.matrix @ row
        kept = np.flatnonzero(np.abs(values) > NEGLIGIBLE)
        if not len(kept):
            continue
        masks = tuple(terms.masks[index] for index in kept.tolist())
        is_rotated = bool(rotation.givens)
        basis = "" if is_rotated else "Z" * encoding.num_qubits
        width = float(np.ptp(fragments.features @ row))
        groups.append(MeasurementGroup(basis, masks, values[kept], rotation if is_rotated else None, width))
        deviations.append(float(np.sqrt(row @ covariance @ row)))
    constant = problem.molecule.core_energy + float(terms.constants @ counts.sum(axis=0))
    return RotatedGroups(Observable(problem.hamiltonian, constant, tuple(groups)), np.array(deviations), text)


@dataclass(frozen=True, slots=True, eq=False)
class _TermsOfCounts:
    """The products N_p N_q, p ≤ q, and the counts N_p as Pauli terms Z: a matrix (terms, f), and constants (f,)."""

    masks: tuple[int, ...]
    matrix: Array
    constants: Array

    @classmethod
    def of(cls, encoding: Encoding) -> _TermsOfCounts:
        norb = encoding.norb
        counts = [{(0, 0): 1.0, (0, 1 << p): -0.5, (0, 1 << p + norb): -0.5} for p in range(norb)]
        products = [multiply(counts[p], counts[q]) for p, q in zip(*np.triu_indices(norb), strict=True)]
        encoded = [encoding.encode(operator) for operator in (*products, *counts)]
        row_of: defaultdict[int, int] = defaultdict(lambda: len(row_of))
        for operator in encoded:
            for _, mask in operator:
                row_of[mask]
        matrix = np.zeros((len(row_of), len(encoded)))
        for column, operator in enumerate(encoded):
            for (_, mask), value in operator.items():
                matrix[row_of[mask], column] += value
        masks = list(row_of)
        constant = masks.index(0)
        del masks[constant]
        return cls(tuple(masks), np.delete(matrix, constant, axis=0), matrix[constant])


def _orbitals(molecule: Molecule) -> list[Array]:
    """Return the orbitals (norb, norb) of each group, as columns."""
    norb = molecule.norb
    weights, vectors = pivoted_eigenvectors(molecule.two_body.reshape(norb**2, norb**2))
    matrices = [*vectors.T[np.abs(weights) > SMALLEST_EIGENVALUE].reshape(-1, norb, norb), _one_body(molecule)]
    return [np.eye(norb), *(_with_few_gates(pivoted_eigenvectors(matrix + matrix.T)[1]) for matrix in matrices)]


def _one_body(molecule: Molecule) -> Array:
    """Return the coefficients (norb, norb) of E_pq beside ½ (pq|rs) E_pq E_rs."""
    return np.asarray(molecule.one_body - 0.5 * np.einsum("prrq->pq", molecule.two_body))


def _with_few_gates(orbitals: Array) -> Array:
    """Order the columns so that their rotation takes few gates, where symmetry makes some of their elements zero.

    Greedy: the next column is the one whose last element comes first, after the rotations so far.
    """
    rows, order = orbitals.T.copy(), list[int]()
    for place in range(len(rows)):
        last = np.where(np.abs(rows) > SMALLEST_ANGLE, np.arange(len(rows)), 0).max(axis=1)
        row = min(set(range(len(rows))).difference(order), key=lambda row: (last[row], row))
        zero_right(rows, row, place)
        order.append(row)
    return np.asarray(orbitals[:, order])


def _fragments(problem: ElectronicProblem, reference: ReferenceState) -> Fragments:
    """Return what the coefficients and the fit depend on, in a reference state."""
    molecule, filled = problem.molecule, filled_orbitals(problem.molecule)
    norb = molecule.norb
    alpha, beta = (np.array([np.bincount(row, minlength=norb) for row in rows]) for rows in filled)
    counts = (beta[:, None] + alpha[None]).reshape(-1, norb).astype(float)
    p, q = np.triu_indices(norb)
    features = np.concatenate([counts[:, p] * counts[:, q], counts], axis=1)
    matrix = _TermsOfCounts.of(problem.encoding).matrix
    extra = reference.extra_variance * (matrix.T @ matrix + RIDGE * np.eye(matrix.shape[1]))
    pairs = np.tril_indices(norb)
    two_body = molecule.two_body[pairs][:, *pairs][np.tril_indices(len(pairs[0]))]
    integrals = np.concatenate([0.5 * two_body, _one_body(molecule)[pairs]])
    state = _on_determinants(problem, reference).reshape(len(beta), len(alpha))
    return Fragments(molecule, features, state, extra, integrals, filled)


def _on_determinants(problem: ElectronicProblem, reference: ReferenceState) -> Array:
    """Return a state's amplitudes (k,) of `determinants_of` the molecule: real ones, as the integrals are."""
    states = [problem.encoding.basis_state(int(state)) for state in determinants_of(problem.molecule)]
    place_of = {state: place for place, state in enumerate(states)}
    amplitudes = np.zeros(len(states))
    for state, amplitude in zip(reference.basis_states, reference.amplitudes.real.tolist(), strict=True):
        amplitudes[place_of[state]] = amplitude
    return amplitudes


def _split_by(fragments: Fragments, orbitals: Array) -> tuple[Array, Array]:
    """Return the coefficients (groups, f) for orbitals (groups, norb, norb), and the deviations (groups,)."""
    columns, covariances = fragments.columns(orbitals), fragments.covariances(orbitals)
    split = least_deviations(np.concatenate([*columns]).T, fragments.integrals, covariances)
    return split, np.sqrt(np.einsum("gi,gij,gj->g", split, covariances, split))
