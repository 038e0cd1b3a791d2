"""MP2 natural orbitals and the active space that they suggest; PySCF's MP2 is the oracle."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pyscf import ao2mo, gto, mp, scf

from hybridloop.algorithms.problems.exact import exact_energy_of_spin
from hybridloop.algorithms.problems.molecule import Molecule, active_space
from hybridloop.algorithms.problems.natural_orbitals import (
    MOST_ACTIVE,
    choose_active_space,
    natural_orbitals,
    part_of,
    space_doubt,
)
from hybridloop.errors import InputError

WATER = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587"
LITHIUM_HYDRIDE = "Li 0 0 0; H 0 0 1.595"
OXYGEN = "O 0 0 0; O 0 0 1.2"
NITROGEN = "N 0 0 0; N 0 0 1.6"


def computed(geometry: str, *, spin: int = 0) -> tuple[Molecule, Any]:
    """Return a molecule in STO-3G in its Hartree-Fock orbitals, and PySCF's calculation."""
    atoms = gto.M(atom=geometry, basis="sto-3g", spin=spin, verbose=0)
    calculation = (scf.ROHF if spin else scf.RHF)(atoms).run(conv_tol=1e-12)
    orbitals = calculation.mo_coeff
    one_body = orbitals.T @ calculation.get_hcore() @ orbitals
    two_body = ao2mo.restore(1, ao2mo.kernel(atoms, orbitals), orbitals.shape[1])
    return Molecule(one_body, two_body, atoms.nelec, atoms.energy_nuc(), geometry), calculation


@pytest.mark.parametrize("geometry", [WATER, LITHIUM_HYDRIDE, NITROGEN], ids=["water", "lithium hydride", "nitrogen"])
def test_energy_and_occupations_are_those_of_pyscf(geometry: str) -> None:
    molecule, calculation = computed(geometry)
    natural, theirs = natural_orbitals(molecule), mp.MP2(calculation).run()
    assert natural.correlation_energy == pytest.approx(theirs.e_corr, abs=1e-7)
    expected = np.linalg.eigvalsh(theirs.make_rdm1())
    np.testing.assert_allclose(np.sort(natural.occupations), expected, atol=1e-7)
    assert natural.molecule.hartree_fock_energy == pytest.approx(calculation.e_tot, abs=1e-9)


def test_natural_orbitals_of_an_open_shell_keep_its_determinant_and_its_electrons() -> None:
    molecule, calculation = computed(OXYGEN, spin=2)
    natural = natural_orbitals(molecule)
    assert natural.molecule.hartree_fock_energy == pytest.approx(calculation.e_tot, abs=1e-9)
    assert natural.occupations.sum() == pytest.approx(16.0, abs=1e-9)
    space = choose_active_space(molecule)
    assert (space.electrons, space.norb) == ((5, 3), 6)  # σ, π and π* orbitals, where both of π* hold an electron
    assert space.hartree_fock_energy == pytest.approx(calculation.e_tot, abs=1e-9)


def test_both_spins_of_an_open_shell_count_alike() -> None:
    molecule, _ = computed(OXYGEN, spin=2)
    turned = replace(molecule, electrons=molecule.electrons[::-1])
    np.testing.assert_allclose(natural_orbitals(turned).occupations, natural_orbitals(molecule).occupations, atol=1e-9)
    assert choose_active_space(turned).electrons == (3, 5)


@pytest.mark.parametrize(("geometry", "electrons"), [(NITROGEN, 6), (WATER, 4)], ids=["equal occupations", "signs"])
def test_natural_orbitals_do_not_follow_rounding_errors(geometry: str, electrons: int) -> None:
    molecule, _ = computed(geometry)
    space = choose_active_space(molecule, (electrons, electrons))
    for seed in range(4):
        noise = 1e-15 * np.random.default_rng(seed).normal(size=molecule.one_body.shape)
        other = replace(molecule, one_body=molecule.one_body + noise + noise.T)
        again = choose_active_space(other, (electrons, electrons))
        np.testing.assert_allclose(again.one_body, space.one_body, atol=1e-8)
        np.testing.assert_allclose(again.two_body, space.two_body, atol=1e-8)


def test_two_natural_orbitals_hold_most_of_the_correlation_of_lithium_hydride() -> None:
    molecule, _ = computed(LITHIUM_HYDRIDE)
    chosen, same_size = choose_active_space(molecule), active_space(molecule, 2, 2)
    assert (chosen.electrons, chosen.norb) == ((1, 1), 2)
    exact, reference = exact_energy_of_spin(molecule), molecule.hartree_fock_energy
    recovered = (exact_energy_of_spin(chosen) - reference) / (exact - reference)
    canonical = (exact_energy_of_spin(same_size) - reference) / (exact - reference)
    assert recovered > 0.9
    assert canonical < 0.02
    assert chosen.orbitals_reason.startswith("active space: 2 electrons in 2 of 6 orbitals, which have 1.982 | 0.015 ")
    assert "the nearest of the others have 2.000 and 0.001" in chosen.orbitals_reason


def test_the_three_bonds_of_stretched_nitrogen_are_active() -> None:
    space = choose_active_space(computed(NITROGEN)[0])
    assert (space.electrons, space.norb) == ((3, 3), 6)


def test_occupations_beyond_0_and_2_say_that_mp2_fails() -> None:
    space = choose_active_space(computed("N 0 0 0; N 0 0 2.5")[0], (6, 6))
    assert "MP2 fails for this geometry" in space.orbitals_reason
    assert "mHa" not in space.orbitals_reason
    assert "fails" not in choose_active_space(computed(NITROGEN)[0]).orbitals_reason


@pytest.mark.parametrize(
    ("geometry", "size", "is_too_small"),
    [
        (LITHIUM_HYDRIDE, (2, 2), False),
        ("Li 0 0 0; H 0 0 3.0", (2, 2), True),
        ("Li 0 0 0; H 0 0 3.0", (4, 6), False),
        (NITROGEN, (6, 6), False),
        (NITROGEN, (4, 4), True),
    ],
)
def test_a_space_without_a_correlated_orbital_is_too_small(
    geometry: str, size: tuple[int, int], *, is_too_small: bool
) -> None:
    """PySCF's MP2 density over the orbitals outside has the same occupations, where no gap is small."""
    molecule, calculation = computed(geometry)
    doubt = space_doubt(part_of(molecule, size, 0).orbitals_reason)
    assert (doubt is not None) == is_too_small
    assert space_doubt(part_of(molecule, "auto", 0).orbitals_reason) is None
    if doubt is not None:
        density = mp.MP2(calculation).run().make_rdm1()
        end = sum(molecule.electrons) // 2 + size[1] - size[0] // 2
        found = [float(number) for number in re.findall(r"\d\.\d{3}", doubt)]
        assert found[-1] == pytest.approx(np.linalg.eigvalsh(density[end:, end:]).max(), abs=1e-3)


def test_a_space_outside_of_which_mp2_fails_is_too_small() -> None:
    doubt = space_doubt(part_of(computed("N 0 0 0; N 0 0 2.5")[0], (2, 2), 0).orbitals_reason)
    assert doubt is not None
    small, cut = doubt.split("; ", 1)
    assert small == "the active space is too small: orbitals outside of it are so correlated that MP2 fails"
    assert cut.startswith("the active space cuts degenerate orbitals: 7 (inside) and 6, 8 (inside) and 9")


def test_a_long_chain_gets_as_many_orbitals_as_are_simulated() -> None:
    space = choose_active_space(computed("; ".join(f"H 0 0 {2.0 * i}" for i in range(14)))[0])
    assert 2 <= space.norb <= MOST_ACTIVE


def test_a_molecule_without_empty_orbitals_stays_whole() -> None:
    helium, _ = computed("He 0 0 0")
    assert choose_active_space(helium).norb == 1


def test_orbitals_other_than_hartree_focks_are_refused() -> None:
    molecule, _ = computed(LITHIUM_HYDRIDE)
    turn = np.eye(6)
    turn[1:3, 1:3] = [[0.8, 0.6], [-0.6, 0.8]]
    two_body = np.einsum("pqrs,pi,qj,rk,sl->ijkl", molecule.two_body, turn, turn, turn, turn, optimize=True)
    turned = replace(molecule, one_body=turn.T @ molecule.one_body @ turn, two_body=two_body)
    with pytest.raises(InputError, match=r"active_space: the orbitals of .* are not Hartree-Fock's"):
        choose_active_space(turned)
