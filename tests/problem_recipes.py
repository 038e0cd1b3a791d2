"""Recipes of the built-in problems of energies: geometries, lattices and bonds, and the integrals by PySCF.

`python -m tests.problem_recipes NAME` prints a molecule's FCIDUMP text with its Hartree-Fock and exact energies.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.inputs.formats.fcidump import fcidump_text
from tests.spin_models import HEISENBERG, chain, ring, spin_model

DIGITS = 12  # decimals of an integral in hartree


@dataclass(frozen=True, slots=True)
class Geometry:
    """Atoms in Å, and the active space: `electrons` in `orbitals` above `core` doubly filled ones; spin is 2 S_z."""

    atoms: str
    core: int
    electrons: int
    orbitals: int
    spin: int = 0
    charge: int = 0


@dataclass(frozen=True, slots=True)
class Lattice:
    """A half-filled Hubbard chain: hopping −t with t = 1, and U for two electrons on one site."""

    sites: int
    repulsion: float


def diatomic(left: str, right: str, distance: float) -> str:
    return f"{left} 0 0 0; {right} 0 0 {distance}"


def bent(centre: str, distance: float, degrees: float) -> str:
    half = math.radians(degrees / 2)
    y, z = distance * math.sin(half), distance * math.cos(half)
    return f"{centre} 0 0 0; H 0 {y} {z}; H 0 {-y} {z}"


def hydrogen_chain(atoms: int, distance: float) -> str:
    return "; ".join(f"H 0 0 {k * distance}" for k in range(atoms))


MOLECULES = {
    "h2": Geometry(diatomic("H", "H", 0.735), 0, 2, 2),
    **{f"h2-{r}": Geometry(diatomic("H", "H", r), 0, 2, 2) for r in (0.3, 1.6, 2.0, 2.5)},
    "heh+": Geometry(diatomic("He", "H", 0.7743), 0, 2, 2, charge=1),
    "lih-3.0-cas22": Geometry(diatomic("Li", "H", 3.0), 1, 2, 2),
    "lih-frozen-core": Geometry(diatomic("Li", "H", 1.595), 1, 2, 5),
    "h4": Geometry(hydrogen_chain(4, 1.0), 0, 4, 4),
    "h4-2.0": Geometry(hydrogen_chain(4, 2.0), 0, 4, 4),
    "beh2": Geometry("Be 0 0 0; H 0 0 1.326; H 0 0 -1.326", 1, 4, 6),
    "h2o": Geometry(bent("O", 0.9572, 104.52), 1, 8, 6),
    "h2o-stretched": Geometry(bent("O", 1.9144, 104.52), 1, 8, 6),
    "n2-cas66": Geometry(diatomic("N", "N", 1.1), 4, 6, 6),
    "n2-2.0-cas66": Geometry(diatomic("N", "N", 2.0), 4, 6, 6),
    "o2-cas86": Geometry(diatomic("O", "O", 1.208), 4, 8, 6, spin=2),
}
LATTICES = {"hubbard-2": Lattice(2, 4.0), "hubbard-4": Lattice(4, 4.0)}
SPIN_MODELS = {
    "ising-6": spin_model(6, chain(6), {"ZZ": -1.0}, "X"),
    "heisenberg-6": spin_model(6, chain(6), HEISENBERG),
    "majumdar-ghosh-6": {
        **spin_model(6, ring(6), HEISENBERG),
        **spin_model(6, [(i, (i + 2) % 6) for i in range(6)], {pair: 0.5 for pair in HEISENBERG}),
    },
}


def integrals(geometry: Geometry) -> tuple[Molecule, float]:
    """Return a molecule over its restricted Hartree-Fock orbitals in STO-3G, and PySCF's FCI energy in hartree.

    Point-group symmetry tells degenerate orbitals apart, and the first large coefficient of an orbital is positive.
    """
    from pyscf import ao2mo, fci, gto, mcscf, scf

    atoms = {"atom": geometry.atoms, "basis": "sto-3g", "spin": geometry.spin, "charge": geometry.charge}
    molecule = gto.M(**atoms, symmetry=True, verbose=0)
    field = scf.ROHF(molecule) if geometry.spin else scf.RHF(molecule)
    field.conv_tol = 1e-13
    field.kernel()
    assert field.converged
    alpha = (geometry.electrons + geometry.spin) // 2
    electrons = (alpha, geometry.electrons - alpha)
    cas = mcscf.CASCI(field, geometry.orbitals, electrons)
    orbitals = np.array(field.mo_coeff) * _signs(np.array(field.mo_coeff))
    one, core = cas.get_h1eff(orbitals)
    two = ao2mo.restore(1, cas.get_h2eff(orbitals), geometry.orbitals)
    solver = fci.addons.fix_spin(fci.direct_spin1.FCI(), shift=1.0, ss=geometry.spin / 2 * (geometry.spin / 2 + 1))
    solver.conv_tol = 1e-13
    solver.pspace_size = 400  # determinants: diagonalized whole, so that no symmetry sector is missed
    energy = float(solver.kernel(one, two, geometry.orbitals, electrons)[0] + core)
    return rounded((one + one.T) / 2, two, electrons, float(core)), energy


def hubbard(lattice: Lattice) -> Molecule:
    """Return a half-filled Hubbard chain over its tight-binding orbitals, which are Hartree-Fock's."""
    count = lattice.sites
    hopping = np.zeros((count, count))
    for i, j in chain(count):
        hopping[i, j] = hopping[j, i] = -1.0
    orbitals = np.linalg.eigh(hopping)[1]
    orbitals = orbitals * _signs(orbitals)
    two = lattice.repulsion * np.einsum("ip,iq,ir,is->pqrs", *(orbitals,) * 4)
    return rounded(orbitals.T @ hopping @ orbitals, two, (count // 2, count // 2), 0.0)


def rounded(one: NDArray[np.float64], two: NDArray[np.float64], electrons: tuple[int, int], core: float) -> Molecule:
    """Return a molecule with its integrals rounded to `DIGITS` decimals, so that those of symmetry are 0."""
    return Molecule(one.round(DIGITS) + 0.0, two.round(DIGITS) + 0.0, electrons, round(core, DIGITS), "recipe")


def _signs(orbitals: NDArray[np.float64]) -> NDArray[np.float64]:
    first = (np.abs(orbitals) > 0.3 * np.abs(orbitals).max(axis=0)).argmax(axis=0)
    signs: NDArray[np.float64] = np.sign(orbitals[first, np.arange(orbitals.shape[1])])
    return signs


def main(names: Iterable[str]) -> None:
    for name in names:
        if name in MOLECULES:
            found, energy = integrals(MOLECULES[name])
            exact: float | None = energy
        else:
            found, exact = hubbard(LATTICES[name]), None
        entry = {
            "hartree_fock_energy": found.hartree_fock_energy,
            "exact_energy": exact,
            "fcidump": fcidump_text(found),
        }
        print(json.dumps({name: entry}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
