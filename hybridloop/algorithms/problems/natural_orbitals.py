"""Natural orbitals of second-order perturbation theory (MP2), and the active space that their occupations suggest.

The occupied and the empty orbitals are rotated among themselves, so that the Hartree-Fock determinant stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.problems.molecule import Molecule, active_space
from hybridloop.errors import InputError

THRESHOLD = 0.02  # electrons: P. Pulay and T. P. Hamilton, J. Chem. Phys. 88, 4926 (1988)
MOST_ACTIVE = 10  # orbitals: their 20 qubits are still simulated in seconds
SAME_OCCUPATION = 1e-3  # electrons: orbitals this close, such as a pair of π orbitals, are taken or left together
MOST_COUPLING = 1e-3  # hartree: far above what a converged calculation leaves
LEAST_GAP = 0.1  # hartree: a smaller denominator, as of degenerate orbitals, counts as this


@dataclass(frozen=True, slots=True, eq=False)
class NaturalOrbitals:
    """A molecule in its MP2 natural orbitals.

    `occupations`, shape (orbitals,), are numbers of electrons, falling within the doubly, the singly and the not
    occupied orbitals of the determinant. `correlation_energy` is that of MP2 without singles, in hartree.
    """

    molecule: Molecule
    occupations: NDArray[np.float64]
    correlation_energy: float


@dataclass(frozen=True, slots=True, eq=False)
class _SpinOrbitals:
    """Orbitals of a spin that make its Fock matrix diagonal among the occupied and among the empty ones."""

    occupied: NDArray[np.float64]  # (orbitals, occupied)
    empty: NDArray[np.float64]  # (orbitals, empty)
    occupied_energies: NDArray[np.float64]
    empty_energies: NDArray[np.float64]


def natural_orbitals(molecule: Molecule) -> NaturalOrbitals:
    """Return the molecule's MP2 natural orbitals, from the unrelaxed densities of both spins.

    Orbitals of open shells are made canonical for each spin (P. J. Knowles et al., Chem. Phys. Lett. 186, 130 (1991)).
    """
    spins = [_canonical(molecule, spin) for spin in (0, 1)]
    density = spins[0].occupied @ spins[0].occupied.T + spins[1].occupied @ spins[1].occupied.T
    energy = 0.0
    for first, second in combinations_with_replacement(range(2), 2):
        pair_energy, change = _pairs(molecule, spins[first], spins[second], is_same=first == second)
        energy, density = energy + pair_energy, density + change
    # diagonal within the blocks of the determinant
    fewer, more = sorted(molecule.electrons)
    rotation, occupations = np.zeros((molecule.norb,) * 2), np.zeros(molecule.norb)
    for block in (slice(0, fewer), slice(fewer, more), slice(more, molecule.norb)):
        values, vectors = np.linalg.eigh(density[block, block])
        occupations[block], rotation[block, block] = values[::-1], vectors[:, ::-1]
    one_body = rotation.T @ molecule.one_body @ rotation
    two_body = _integrals(molecule, rotation, rotation, rotation, rotation)
    return NaturalOrbitals(replace(molecule, one_body=one_body, two_body=two_body), occupations, energy)


def choose_active_space(molecule: Molecule) -> Molecule:
    """Reduce a molecule to the natural orbitals whose MP2 occupation is neither near 2 nor near 0.

    Near is within 0.02 electrons; singly occupied orbitals are always active, and at least the most correlated doubly
    occupied and empty one. Of more than ten orbitals those farthest from 2 and 0 stay. Raises InputError for a closed
    shell in other orbitals than Hartree-Fock's.
    """
    _check_orbitals(molecule)
    natural = natural_orbitals(molecule)
    fewer, more = sorted(molecule.electrons)
    occupations = natural.occupations
    distances = np.minimum(np.abs(2.0 - occupations), np.abs(occupations))
    distances[fewer:more] = 1.0
    first, end = _bounds(distances, fewer, more)
    space = active_space(natural.molecule, sum(molecule.electrons) - 2 * first, end - first)
    return replace(space, orbitals_reason=_reason(natural, space, first, more))


def _check_orbitals(molecule: Molecule) -> None:
    alpha, beta = molecule.electrons
    coupling = np.abs(_fock(molecule, 0)[:alpha, alpha:]).max(initial=0.0)
    if alpha == beta and coupling > MOST_COUPLING:
        reason = (
            f"the orbitals of {molecule.source} are not Hartree-Fock's, from which MP2 starts: Fock's matrix couples "
            f"occupied and empty ones by {coupling:.2g} hartree"
        )
        raise InputError("active_space", reason, "Give electrons and orbitals, such as 4,4.")


def _reason(natural: NaturalOrbitals, space: Molecule, first: int, filled: int) -> str:
    """Return the occupations inside, with a bar after the filled orbitals, and next to them, and what is outside."""
    end, occupations = first + space.norb, [f"{number:.3f}" for number in natural.occupations]
    inside = " ".join([*occupations[first:filled], "|", *occupations[filled:end]])
    nearest = [occupations[i] for i in (first - 1, end) if 0 <= i < len(occupations)]
    total = natural.correlation_energy
    outside = total - natural_orbitals(space).correlation_energy
    parts = [
        f"active space: {sum(space.electrons)} electrons in {space.norb} of {len(occupations)} orbitals, which have "
        f"{inside} electrons in second-order perturbation theory (MP2)",
        f"the nearest of the others have {' and '.join(nearest)}" if nearest else "",
        f"{-1e3 * outside:.1f} of {-1e3 * total:.1f} mHa of MP2's correlation energy are outside" if nearest else "",
    ]
    return "; ".join(part for part in parts if part)


def _bounds(distances: NDArray[np.float64], fewer: int, more: int) -> tuple[int, int]:
    """Return the range of active orbitals, around the singly occupied ones: [first, end)."""
    threshold = THRESHOLD
    while True:
        first, end = fewer, more
        while first > 0 and (distances[first - 1] > threshold or first == fewer or _is_same(distances, first - 1)):
            first -= 1
        while end < len(distances) and (distances[end] > threshold or end == more or _is_same(distances, end - 1)):
            end += 1
        if end - first <= MOST_ACTIVE or threshold > 1.0:
            return first, end
        threshold *= 1.1


def _is_same(distances: NDArray[np.float64], index: int) -> bool:
    """Return whether an orbital and the one after it are occupied alike."""
    return bool(abs(distances[index] - distances[index + 1]) < SAME_OCCUPATION)


def _fock(molecule: Molecule, spin: int) -> NDArray[np.float64]:
    """Return the Fock matrix of a spin's electrons in the determinant."""
    two, (alpha, beta) = molecule.two_body, molecule.electrons
    own = molecule.electrons[spin]
    coulomb = np.einsum("pqii->pq", two[:, :, :alpha, :alpha]) + np.einsum("pqii->pq", two[:, :, :beta, :beta])
    exchange = np.einsum("piiq->pq", two[:, :own, :own])
    fock: NDArray[np.float64] = molecule.one_body + coulomb - exchange
    return fock


def _canonical(molecule: Molecule, spin: int) -> _SpinOrbitals:
    norb, fock = molecule.norb, _fock(molecule, spin)
    filled = np.arange(norb) < molecule.electrons[spin]
    parts = []
    for chosen in (filled, ~filled):
        energies, vectors = np.linalg.eigh(fock[np.ix_(chosen, chosen)])
        orbitals = np.zeros((norb, len(energies)))
        orbitals[chosen] = vectors
        parts.append((orbitals, energies))
    (occupied, occupied_energies), (empty, empty_energies) = parts
    return _SpinOrbitals(occupied, empty, occupied_energies, empty_energies)


def _pairs(
    molecule: Molecule, one: _SpinOrbitals, two: _SpinOrbitals, *, is_same: bool
) -> tuple[float, NDArray[np.float64]]:
    """Return the MP2 energy of pairs of electrons with these spins, and their change of the density."""
    integrals = _integrals(molecule, one.occupied, one.empty, two.occupied, two.empty)  # (ia|jb)
    if is_same:
        integrals = integrals - integrals.transpose(0, 3, 2, 1)
    gaps = one.occupied_energies[:, None, None, None] - one.empty_energies[:, None, None]
    gaps = gaps + two.occupied_energies[:, None] - two.empty_energies
    amplitudes = integrals / np.minimum(gaps, -LEAST_GAP)
    weight = 0.25 if is_same else 1.0
    energy = weight * float(np.vdot(amplitudes, integrals))
    # unrelaxed density: electrons leave the occupied orbitals for the empty ones
    weight = 0.5 if is_same else 1.0
    change = np.zeros_like(molecule.one_body)
    sides = [(one, amplitudes)] if is_same else [(one, amplitudes), (two, amplitudes.transpose(2, 3, 0, 1))]
    for spin, of_spin in sides:
        left = np.einsum("iajb,kajb->ik", of_spin, of_spin, optimize=True)
        came = np.einsum("iajb,icjb->ac", of_spin, of_spin, optimize=True)
        change += weight * (spin.empty @ came @ spin.empty.T - spin.occupied @ left @ spin.occupied.T)
    return energy, change


def _integrals(molecule: Molecule, *orbitals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the two-body integrals over four sets of orbitals, shape (orbitals, size) each."""
    result: NDArray[np.float64] = molecule.two_body
    for matrix in orbitals:
        result = np.tensordot(result, matrix, axes=(0, 0))  # the first axis goes to the end, four times
    return result
