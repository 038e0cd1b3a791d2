"""Symmetries of a molecule's orbitals by PySCF's labels, and the orbitals that an active space takes of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hybridloop.algorithms.choices import OF_SYMMETRY
from hybridloop.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hybridloop.algorithms.problems.molecule import Molecule


def orbital_symmetries(built: Any, orbitals: NDArray[Any]) -> list[str]:
    """Return PySCF's label of each orbital's symmetry, such as B1 or E1ux. Raises InputError where one has none."""
    from pyscf import symm

    if not built.symmetry:
        built = built.copy().build(symmetry=True)
    try:
        labels = symm.label_orb_symm(built, built.irrep_name, built.symm_orb, orbitals)
    except ValueError as error:
        problem = f"an orbital has no symmetry of the molecule's point group, {built.groupname}"
        raise InputError("active_space", problem, "Give a Mole with symmetry=True, or orbitals=3,4,7.") from error
    return [str(label) for label in labels]


def nearest_of_symmetries(molecule: Molecule, labels: Sequence[str], space: str) -> list[int]:
    """Return the numbers of as many orbitals of each symmetry as a space has, from 1 on: those nearest to the gap.

    An orbital with one electron comes first. `space` is such as symmetry=A1:2,B2:1. Raises InputError for a symmetry
    that has fewer.
    """
    from hybridloop.algorithms.problems.natural_orbitals import orbital_energies

    fewer, more = sorted(molecule.electrons)
    energies = orbital_energies(molecule)
    highest, lowest = max(energies[:more], default=0.0), min(energies[more:], default=0.0)
    away = [abs(energy - 0.5 * (highest + lowest)) for energy in energies.tolist()]
    away[fewer:more] = [-1.0] * (more - fewer)
    chosen = list[int]()
    for part in space.removeprefix(OF_SYMMETRY).split(","):
        label, _, count = part.partition(":")
        known = sorted((p for p, each in enumerate(labels) if each == label), key=lambda p: away[p])
        if len(known) < int(count):
            there = ", ".join(f"{each}:{labels.count(each)}" for each in dict.fromkeys(labels))
            problem = f"{count} orbitals of symmetry {label} are asked for, and {molecule.source} has {len(known)}"
            raise InputError("active_space", problem, f"It has {there}.")
        chosen += [p + 1 for p in known[: int(count)]]
    return sorted(chosen)
