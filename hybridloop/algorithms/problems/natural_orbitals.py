"""Natural orbitals of second-order perturbation theory (MP2), and the active space that their occupations suggest.

The occupied and the empty orbitals are rotated among themselves, so that the Hartree-Fock determinant stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.choices import OF_ORBITALS, OF_SYMMETRY
from hybridloop.algorithms.problems.eigenvectors import pivoted_eigenvectors
from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.algorithms.problems.molecule import (
    Molecule,
    active_space,
    frozen_core,
    listed_space,
    rotate_orbitals,
    within_orbitals,
)
from hybridloop.errors import InputError

THRESHOLD = 0.02  # electrons: P. Pulay and T. P. Hamilton, J. Chem. Phys. 88, 4926 (1988)
MOST_ACTIVE = 10  # orbitals: their 20 qubits are still simulated in seconds
SAME_OCCUPATION = 1e-3  # electrons: orbitals this close, such as a pair of π orbitals, are taken or left together
MOST_COUPLING = 1e-3  # hartree: far above what a converged calculation leaves
OF_SPACE = "the exact and the correlation energy are those of this space"
TOO_SMALL = "the active space is too small"
CUTS = "the active space cuts degenerate orbitals"
SAME_LEVEL = 1e-5  # hartree or electrons: far above what a converged calculation leaves between degenerate orbitals
_MOST_NAMED = 3
LEAST_GAP = 0.1  # hartree: a smaller denominator, as of degenerate orbitals, counts as this


@dataclass(frozen=True, slots=True, eq=False)
class NaturalOrbitals:
    """A molecule in its MP2 natural orbitals.

    The columns of `orbitals` are the natural ones in those before. `occupations`, shape (orbitals,), are numbers of
    electrons, falling within the doubly, the singly and the not
    occupied orbitals of the determinant. `correlation_energy` is that of MP2 without singles, in hartree.
    """

    molecule: Molecule
    orbitals: NDArray[np.float64]
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
    energy, density = _energy_and_density(molecule)
    # diagonal within the blocks of the determinant
    fewer, more = sorted(molecule.electrons)
    rotation, occupations = np.zeros((molecule.norb,) * 2), np.zeros(molecule.norb)
    for block in (slice(0, fewer), slice(fewer, more), slice(more, molecule.norb)):
        values, vectors = pivoted_eigenvectors(density[block, block])
        occupations[block], rotation[block, block] = values[::-1], vectors[:, ::-1]
    return NaturalOrbitals(rotate_orbitals(molecule, rotation), rotation, occupations, energy)


def _energy_and_density(molecule: Molecule) -> tuple[float, NDArray[np.float64]]:
    """Return MP2's correlation energy in hartree, and the density of both spins over the molecule's orbitals."""
    spins = [_canonical(molecule, spin) for spin in (0, 1)]
    density = spins[0].occupied @ spins[0].occupied.T + spins[1].occupied @ spins[1].occupied.T
    energy = 0.0
    for first, second in combinations_with_replacement(range(2), 2):
        pair_energy, change = _pairs(molecule, spins[first], spins[second], is_same=first == second)
        energy, density = energy + pair_energy, density + change
    return energy, density


def choose_active_space(molecule: Molecule, size: tuple[int, int] | None = None) -> Molecule:
    """Reduce a molecule to a number of electrons and of MP2 natural orbitals; left out, the occupations suggest them.

    Suggested are the orbitals further than 0.02 electrons from 2 and from 0, those with single occupation, and at
    least the most correlated doubly occupied and empty one. Of more than ten those farthest from 2 and 0 stay. Raises
    InputError for a closed shell in other orbitals than Hartree-Fock's, or a size that does not fit.
    """
    natural = checked_orbitals(molecule)
    if size is None:
        first, end = _suggested(natural)
        size = sum(molecule.electrons) - 2 * first, end - first
    space = active_space(natural.molecule, *size)
    cut = _cut(natural.molecule, *_contiguous(natural.molecule, *size), natural.occupations)
    return replace(space, orbitals_reason="; ".join([_reason(natural, space), *cut]))


def part_of(molecule: Molecule, space: tuple[int, int] | str | None, core: int) -> Molecule:
    """Return the molecule in an active space, or with `core` frozen orbitals, and why.

    A space is electrons and orbitals, `auto`, `auto:4,4`, or a list as `orbitals=3,4,7`. A molecule that was reduced to
    the same one where its integrals were made stays as it is. Raises InputError for a space that does not fit.
    """
    text = space if isinstance(space, str) else ",".join(map(str, space)) if space else f"core {core}" if core else ""
    if text in ("", molecule.space):
        return molecule
    if isinstance(space, str) and space.startswith(OF_SYMMETRY):
        problem = f"{molecule.source} has its integrals already, without labels of its orbitals' symmetries"
        raise InputError("active_space", problem, "Give a geometry, or orbitals by their numbers: orbitals=3,4,7.")
    if isinstance(space, str) and space.startswith(OF_ORBITALS):
        part = in_listed_orbitals(molecule, [int(number) for number in space.removeprefix(OF_ORBITALS).split(",")])
    elif isinstance(space, str):
        size = space.partition(":")[2]
        electrons, _, orbitals = size.partition(",")
        part = choose_active_space(molecule, (int(electrons), int(orbitals)) if size else None)
    else:
        small = active_space(molecule, *space) if space else frozen_core(molecule, core)
        part = with_reason(small, molecule, *_contiguous(molecule, sum(small.electrons), small.norb))
    return replace(part, space=text)


def common_size(molecules: Sequence[Molecule]) -> tuple[int, int]:
    """Return the electrons and orbitals of the smallest space that has those suggested for each of the molecules.

    Raises InputError if their electrons or orbitals differ in number.
    """
    if len({(molecule.electrons, molecule.norb) for molecule in molecules}) > 1:
        reason = "the points have different numbers of electrons or orbitals, so that no space is common to them"
        raise InputError("active_space", reason, "Leave it out, or scan them in separate runs.")
    bounds = [_suggested(checked_orbitals(molecule)) for molecule in molecules]
    first, end = min(first for first, _ in bounds), max(end for _, end in bounds)
    return sum(molecules[0].electrons) - 2 * first, end - first


def in_listed_orbitals(molecule: Molecule, numbers: Sequence[int], labels: Sequence[str] = ()) -> Molecule:
    """Return the molecule in its orbitals of these numbers, from 1 on, and why; `labels` are those of all orbitals.

    Raises InputError for a list that does not fit.
    """
    filled, active = listed_space(molecule, numbers)
    names = [f"{p + 1} ({labels[p]})" if labels else f"{p + 1}" for p in active]
    part = with_reason(within_orbitals(molecule, filled, active), molecule, filled, active)
    size, *others = part.orbitals_reason.split("; ")
    return replace(part, orbitals_reason="; ".join([f"{size}: {', '.join(names)}", *others]) if others else "")


def orbital_energies(molecule: Molecule) -> NDArray[np.float64]:
    """Return the energy of each orbital in hartree: the mean of both spins' in an open shell."""
    energies: NDArray[np.float64] = 0.5 * (np.diag(_fock(molecule, 0)) + np.diag(_fock(molecule, 1)))
    return energies


def _contiguous(molecule: Molecule, electrons: int, orbitals: int) -> tuple[list[int], list[int]]:
    """Return the filled and the active orbitals of a space around the highest occupied one."""
    core = (sum(molecule.electrons) - electrons) // 2
    return list(range(core)), list(range(core, core + orbitals))


def with_reason(space: Molecule, whole: Molecule, filled: Sequence[int], active: Sequence[int]) -> Molecule:
    """Return an active space of a molecule's own orbitals with what it leaves out; the whole molecule as it is."""
    if space.norb == whole.norb:
        return space
    parts = [_size(space, whole), OF_SPACE]
    if _coupling(whole) <= MOST_COUPLING:
        natural, empty = natural_orbitals(whole), [p for p in range(whole.norb) if p not in {*filled, *active}]
        parts[1:1] = [_outside(space, natural), *_better(space, natural), *_too_small(whole, filled, empty)]
        parts += _cut(whole, filled, active, orbital_energies(whole))
    return replace(space, orbitals_reason="; ".join(parts))


def _better(space: Molecule, natural: NaturalOrbitals) -> list[str]:
    """Return a sentence on the natural orbitals of the same number, if they leave out less than half as much."""
    electrons = sum(space.electrons)
    total, of_space = natural.correlation_energy, natural_orbitals(space).correlation_energy
    same_size = active_space(natural.molecule, electrons, space.norb)
    outside = total - natural_orbitals(same_size).correlation_energy
    if -(total - of_space) < CHEMICAL_ACCURACY or outside < (total - of_space) / 2:
        return []
    what = f"active_space auto:{electrons},{space.norb} takes natural orbitals"
    return [f"{what}, outside of which are {-1e3 * outside:.1f} mHa"]


def _cut(whole: Molecule, filled: Sequence[int], active: Sequence[int], values: NDArray[np.float64]) -> list[str]:
    """Return a sentence about orbitals inside of a space that are degenerate with others outside.

    `values` has a number for each orbital, which degenerate ones share: its energy, or its occupation.
    """
    fewer, more = sorted(whole.electrons)
    parts = [range(fewer), range(more, whole.norb)]
    outside = [p for p in range(whole.norb) if p not in active]
    pairs = [
        (p + 1, q + 1)
        for part in parts
        for p in active
        for q in outside
        if p in part and q in part and abs(values[p] - values[q]) < SAME_LEVEL
    ]
    if not pairs:
        return []
    named = ", ".join(f"{p} (inside) and {q}" for p, q in pairs[:_MOST_NAMED])
    return [f"{CUTS}: {named}, so that its energy depends on how these are turned; take all of them or none"]


def _too_small(whole: Molecule, filled: Sequence[int], empty: Sequence[int]) -> list[str]:
    """Return a sentence about orbitals outside of a space that Pulay's and Hamilton's threshold would have inside."""
    density = _energy_and_density(whole)[1]
    least = np.linalg.eigvalsh(density[np.ix_(filled, filled)]).min(initial=2.0)
    most = np.linalg.eigvalsh(density[np.ix_(empty, empty)]).max(initial=0.0)
    correlated = [number for number, away in ((least, 2.0 - least), (most, most)) if away > THRESHOLD]
    if not correlated:
        return []
    numbers, bounds = " and one ".join(f"{number:.3f}" for number in correlated), f"{THRESHOLD:g} and {2 - THRESHOLD:g}"
    what = f"an orbital outside of it has {numbers} electrons in MP2, between {bounds}"
    if not all(0.0 <= number <= 2.0 for number in correlated):
        what = "orbitals outside of it are so correlated that MP2 fails"
    return [f"{TOO_SMALL}: {what}"]


def space_doubt(reason: str) -> str | None:
    """Return the sentences of a space's reason that say that it is too small, or cuts what belongs together."""
    return "; ".join(part for part in reason.split("; ") if part.startswith((TOO_SMALL, CUTS))) or None


def checked_orbitals(molecule: Molecule, setting: str = "active_space") -> NaturalOrbitals:
    """Return MP2's natural orbitals. Raises InputError about a setting where the molecule's are not Hartree-Fock's."""
    if (coupling := _coupling(molecule)) > MOST_COUPLING:
        reason = (
            f"the orbitals of {molecule.source} are not Hartree-Fock's, from which MP2 starts: Fock's matrix couples "
            f"occupied and empty ones by {coupling:.2g} hartree"
        )
        remedy = (
            "Give electrons and orbitals, such as 4,4." if setting == "active_space" else "Give given, or leave it out."
        )
        raise InputError(setting, reason, remedy)
    return natural_orbitals(molecule)


def _coupling(molecule: Molecule) -> float:
    """Return the largest element of Fock's matrix between occupied and empty orbitals, 0 for an open shell."""
    alpha, beta = molecule.electrons
    return float(np.abs(_fock(molecule, 0)[:alpha, alpha:]).max(initial=0.0)) if alpha == beta else 0.0


def _size(space: Molecule, whole: Molecule) -> str:
    return f"active space: {sum(space.electrons)} electrons in {space.norb} of {whole.norb} orbitals"


def _outside(space: Molecule, natural: NaturalOrbitals) -> str:
    """Return how much of MP2's correlation energy a space leaves out, or that MP2 fails."""
    fewer, more = sorted(natural.molecule.electrons)
    occupations, total = natural.occupations, natural.correlation_energy
    is_reversed = occupations[:fewer].min(initial=2.0) < occupations[more:].max(initial=0.0)
    if is_reversed or occupations.min() < 0 or occupations.max() > 2:
        return (
            "MP2 fails for this geometry, as it does for stretched bonds: it only tells which orbitals are correlated"
        )
    outside = total - natural_orbitals(space).correlation_energy
    return f"{-1e3 * outside:.1f} of {-1e3 * total:.1f} mHa of MP2's correlation energy are outside"


def _reason(natural: NaturalOrbitals, space: Molecule) -> str:
    """Return the occupations inside, with a bar after the filled orbitals, and next to them, and what is outside."""
    filled = max(natural.molecule.electrons)
    first = filled - max(space.electrons)
    end, occupations = first + space.norb, [f"{number:.3f}" for number in natural.occupations]
    inside = " ".join([*occupations[first:filled], "|", *occupations[filled:end]])
    nearest = [occupations[i] for i in (first - 1, end) if 0 <= i < len(occupations)]
    parts = [
        f"{_size(space, natural.molecule)}, which have {inside} electrons in second-order perturbation theory (MP2)",
        f"the nearest of the others have {' and '.join(nearest)}" if nearest else "",
        _outside(space, natural) if nearest else "",
        *_too_small(natural.molecule, range(first), range(end, natural.molecule.norb)),
        OF_SPACE if nearest else "",
    ]
    return "; ".join(part for part in parts if part)


def _suggested(natural: NaturalOrbitals) -> tuple[int, int]:
    """Return the range of orbitals that the occupations suggest: [first, end)."""
    fewer, more = sorted(natural.molecule.electrons)
    occupations = natural.occupations
    distances = np.minimum(np.abs(2.0 - occupations), np.abs(occupations))
    distances[fewer:more] = 1.0
    return _bounds(distances, fewer, more)


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
