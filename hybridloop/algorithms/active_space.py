"""Fewer orbitals: cores kept doubly filled go into the constant and a mean field, and high orbitals are left empty."""

from __future__ import annotations

import numpy as np

from hybridloop.algorithms.molecule import Molecule
from hybridloop.errors import InputError


def frozen_core(molecule: Molecule, orbitals: int) -> Molecule:
    """The molecule whose lowest `orbitals` are always doubly filled: that many orbitals and pairs fewer."""
    most = min(*molecule.electrons, molecule.norb - 1)
    if not 0 <= orbitals <= most:
        problem = f"{orbitals} of {molecule.norb} orbitals can't be a core: {most} at most are filled with others left"
        raise InputError("frozen_core", problem, f"Give 0 to {most}.")
    return active_space(molecule, sum(molecule.electrons) - 2 * orbitals, molecule.norb - orbitals)


def active_space(molecule: Molecule, electrons: int, orbitals: int) -> Molecule:
    """The complete active space of `electrons` in `orbitals` around the highest filled ones, as in CASCI.

    Core orbitals i give E + 2 Σ_i h_ii + Σ_ij 2 (ii|jj) − (ij|ji) to the constant and Σ_i 2 (pq|ii) − (pi|iq) to h_pq:
    the exact Hamiltonian between determinants that fill them (T. Helgaker et al., Molecular Electronic-Structure
    Theory (2000), ch. 12). Hartree-Fock's energy stays as it is.
    """
    core, left = divmod(sum(molecule.electrons) - electrons, 2)
    alpha, beta = (count - core for count in molecule.electrons)
    if left or core < 0 or min(alpha, beta) < 0:
        problem = f"{electrons} of {sum(molecule.electrons)} electrons can't be active: the others must be pairs"
        raise InputError("active_space", problem, f"Give {_choices(molecule)}.")
    if orbitals < max(alpha, beta, 1) or core + orbitals > molecule.norb:
        problem = f"{electrons} electrons, {core} core orbital(s) of {molecule.norb}, and {orbitals} active ones"
        remedy = f"Give {max(alpha, beta, 1)} to {molecule.norb - core} active orbitals."
        raise InputError("active_space", problem, remedy)
    filled, active = slice(0, core), slice(core, core + orbitals)
    one, two = molecule.one_body, molecule.two_body
    coulomb = np.einsum("pqii->pq", two[:, :, filled, filled])
    exchange = np.einsum("piiq->pq", two[:, filled, filled, :])
    field = one + 2.0 * coulomb - exchange
    energy = molecule.core_energy + float(np.trace((one + field)[filled, filled]))
    inside = two[active, active, active, active]
    source = f"{molecule.source} ({electrons}e, {orbitals}o)"
    return Molecule(field[active, active], inside, (alpha, beta), energy, source)


def _choices(molecule: Molecule) -> str:
    total, open_shell = sum(molecule.electrons), abs(molecule.electrons[0] - molecule.electrons[1])
    return f"an even number fewer than {total}, {open_shell} at least"
