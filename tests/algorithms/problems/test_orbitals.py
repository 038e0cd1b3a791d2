"""Natural orbitals of the exact ground state: the same on all machines, and no rotation changes an exact energy."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyscf import fci
from scipy.stats import ortho_group

from hybridloop.algorithms.problems.exact import exact_energy_of_spin, exact_levels
from hybridloop.algorithms.problems.molecule import Molecule, rotate_orbitals, with_multiplicity
from hybridloop.algorithms.problems.orbitals import (
    exact_natural_orbitals,
    orbitals_of_text,
    orbitals_to_text,
)
from hybridloop.errors import InputError
from tests.algorithms.pair_helpers import FCIDUMPS, Array, molecule, random_molecule

NAMES = ("H3+_0.9", "LiH_4.3", "H4_1.5", "Li2_2.67_cas2e4o", "BeH+_1.31_fc", "h2o-4,4", "lih-frozen-core", "o2-cas86")


def random_rotation(count: int, seed: int) -> Array:
    if count == 1:
        return np.ones((1, 1))
    return np.asarray(ortho_group.rvs(count, random_state=np.random.default_rng(seed)))


def density_of_pyscf(chemist: Molecule, levels: int = 1) -> Array:
    """Return the 1-density of both spins by PySCF, the mean over so many lowest states."""
    solver = fci.direct_spin1.FCI()
    solver.pspace_size = 400  # determinants: diagonalized whole
    arguments = (chemist.one_body, chemist.two_body, chemist.norb, chemist.electrons)
    energies, states = (
        solver.kernel(*arguments, nroots=levels) if levels > 1 else ([0.0], [solver.kernel(*arguments)[1]])
    )
    assert np.ptp(energies) < 1e-8
    densities = [solver.make_rdm1(state, chemist.norb, chemist.electrons) for state in states]
    return np.asarray(np.mean(densities, axis=0))


def with_noise(chemist: Molecule, seed: int) -> Molecule:
    """Return the molecule with its integrals changed in the last digit, as another machine computes them."""
    generator = np.random.default_rng(seed)
    one = 1e-14 * generator.normal(size=chemist.one_body.shape)
    two = 1e-14 * generator.normal(size=chemist.two_body.shape)
    for axes in ((1, 0, 2, 3), (0, 1, 3, 2), (2, 3, 0, 1)):
        two = (two + two.transpose(axes)) / 2.0
    return replace(chemist, one_body=chemist.one_body + (one + one.T) / 2.0, two_body=chemist.two_body + two)


def boron() -> Molecule:
    """Return the valence shell s, px, py, pz of an atom with three electrons, whose ground state is threefold.

    Slater-Condon integrals of a p shell: (pp|pp) = F0 + 4 F2, (pp|qq) = F0 − 2 F2 and (pq|pq) = 3 F2.
    """
    coulomb, exchange = 0.5, 0.02
    two = np.zeros((4,) * 4)
    two[0, 0, 0, 0] = 0.6
    for p in (1, 2, 3):
        two[0, 0, p, p] = two[p, p, 0, 0] = 0.55
        for places in ((0, p, 0, p), (0, p, p, 0), (p, 0, 0, p), (p, 0, p, 0)):
            two[places] = 0.1
        for q in (1, 2, 3):
            if p == q:
                two[p, p, p, p] = coulomb + 4.0 * exchange
                continue
            two[p, p, q, q] = coulomb - 2.0 * exchange
            for places in ((p, q, p, q), (p, q, q, p)):
                two[places] = 3.0 * exchange
    return Molecule(np.diag([-1.5, -1.2, -1.2, -1.2]), two, (2, 1), 0.0, "boron")


def occupied_spaces(occupations: Array, orbitals: Array) -> list[tuple[float, Array]]:
    """Return each occupation, of equal ones the first, and the projector on the space of its orbitals."""
    begins = [0, *(np.flatnonzero(np.abs(np.diff(occupations)) > 1e-6) + 1).tolist(), len(occupations)]
    return [(float(occupations[a]), orbitals[:, a:b] @ orbitals[:, a:b].T) for a, b in pairwise(begins)]


def assert_same_spaces(chemist: Molecule, turn: Array) -> None:
    """Check that the molecule in the orbitals `turn` has the natural orbitals of the molecule itself."""
    turned = rotate_orbitals(chemist, turn)
    density, natural = density_of_pyscf(chemist), exact_natural_orbitals(chemist)
    again = turn @ exact_natural_orbitals(turned)
    found = [occupied_spaces(np.diag(each.T @ density @ each), each) for each in (natural, again)]
    assert len(found[0]) == len(found[1])
    for (occupation, space), (same, its_space) in zip(*found, strict=True):
        assert same == pytest.approx(occupation, abs=1e-6)
        np.testing.assert_allclose(its_space, space, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 2**32))
def test_a_rotation_of_all_orbitals_changes_no_exact_energy(norb: int, alpha: int, beta: int, seed: int) -> None:
    chemist = random_molecule(norb, (min(alpha, norb), min(beta, norb)), seed)
    turned = rotate_orbitals(chemist, random_rotation(norb, seed))
    before, after = exact_levels(chemist, 36), exact_levels(turned, 36)
    np.testing.assert_allclose(np.array(after), np.array(before), rtol=0, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(0, 2**32))
def test_rotations_one_after_the_other_are_their_product(norb: int, seed: int) -> None:
    chemist = random_molecule(norb, (1, 1), seed)
    first, second = random_rotation(norb, seed), random_rotation(norb, seed + 1)
    one_by_one = rotate_orbitals(rotate_orbitals(chemist, first), second)
    at_once = rotate_orbitals(chemist, first @ second)
    back = rotate_orbitals(at_once, (first @ second).T)
    for name in ("one_body", "two_body"):
        np.testing.assert_allclose(getattr(one_by_one, name), getattr(at_once, name), atol=1e-10)
        np.testing.assert_allclose(getattr(back, name), getattr(chemist, name), atol=1e-10)


def test_rotated_integrals_are_sums_over_the_orbitals() -> None:
    chemist, turn = random_molecule(3, (2, 1), 0), random_rotation(3, 0)
    turned = rotate_orbitals(chemist, turn)
    one = np.einsum("pq,pi,qj->ij", chemist.one_body, turn, turn)
    two = np.einsum("pqrs,pi,qj,rk,sl->ijkl", chemist.two_body, *(turn,) * 4)
    np.testing.assert_allclose(turned.one_body, one, atol=1e-12)
    np.testing.assert_allclose(turned.two_body, two, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_density_of_pyscf_is_diagonal_and_descending_in_natural_orbitals(name: str) -> None:
    chemist = molecule(name)
    natural = exact_natural_orbitals(chemist)
    np.testing.assert_allclose(natural.T @ natural, np.eye(chemist.norb), atol=1e-8)
    density = natural.T @ density_of_pyscf(chemist) @ natural
    occupations = np.diag(density)
    np.testing.assert_allclose(density, np.diag(occupations), atol=1e-5)
    assert np.diff(occupations).max() < 1e-5
    np.testing.assert_allclose(np.sort(occupations), np.linalg.eigvalsh(density_of_pyscf(chemist)), atol=1e-6)
    turned = rotate_orbitals(chemist, natural)
    assert exact_energy_of_spin(turned) == pytest.approx(exact_energy_of_spin(chemist), abs=1e-7)


def test_an_open_shell_keeps_its_single_electrons_between_the_pairs() -> None:
    triplet = with_multiplicity(molecule("H4_1.5"), 3)
    natural = exact_natural_orbitals(triplet)
    occupations = np.diag(natural.T @ density_of_pyscf(triplet) @ natural)
    assert np.diff(occupations).max() < 1e-5
    assert occupations[1:3] == pytest.approx([1.0, 1.0], abs=0.1)


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(path.stem, marks=[pytest.mark.slow] * ("pvdz" in path.stem)) for path in FCIDUMPS),
        *("h2o-4,4", "lih-frozen-core", "o2-cas86"),
    ],
)
def test_the_last_digit_of_integrals_changes_no_natural_orbital(name: str) -> None:
    chemist = molecule(name)
    natural = exact_natural_orbitals(chemist)
    again = exact_natural_orbitals(replace(chemist))
    np.testing.assert_array_equal(again, natural)
    for seed in range(2):
        np.testing.assert_allclose(exact_natural_orbitals(with_noise(chemist, seed)), natural, rtol=0, atol=1e-8)


@settings(max_examples=10, deadline=None)
@given(st.floats(-4.0, 4.0), st.integers(0, 2**32))
def test_a_rotation_in_a_degenerate_pair_leaves_the_occupied_spaces(angle: float, seed: int) -> None:
    ion = molecule("H3+_0.9")
    turn = np.eye(3)
    turn[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert_same_spaces(ion, turn)
    turned = rotate_orbitals(ion, turn)
    natural = exact_natural_orbitals(turned)
    np.testing.assert_allclose(exact_natural_orbitals(with_noise(turned, seed)), natural, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_another_order_and_sign_of_the_orbitals_leave_the_occupied_spaces(name: str) -> None:
    chemist = molecule(name)
    generator = np.random.default_rng(0)
    turn = np.eye(chemist.norb)[:, generator.permutation(chemist.norb)]
    assert_same_spaces(chemist, turn * generator.choice([-1.0, 1.0], chemist.norb))


@pytest.mark.parametrize("name", ["H3+_0.9", "lih-frozen-core", "h2o-4,4"])
def test_a_rotation_of_all_orbitals_leaves_the_occupied_spaces(name: str) -> None:
    assert_same_spaces(molecule(name), random_rotation(molecule(name).norb, 4))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_of_equally_occupied_orbitals_the_fock_operator_decides(seed: int) -> None:
    # electrons that do not interact fill two orbitals with two each, and their Fock operator is that of one body
    turn = random_rotation(4, seed)
    energies = np.diag([-2.0, -1.5, 0.5, 1.0])
    free = Molecule(turn @ energies @ turn.T, np.zeros((4,) * 4), (2, 2), 0.0, "free")
    natural = exact_natural_orbitals(free)
    np.testing.assert_allclose(np.abs(turn.T @ natural), np.eye(4), atol=1e-7)


def test_the_density_of_a_degenerate_ground_state_is_the_mean_of_its_states() -> None:
    atom = boron()
    natural = exact_natural_orbitals(atom)
    density = natural.T @ density_of_pyscf(atom, levels=3) @ natural
    s, *p = np.diag(density).tolist()
    assert s == pytest.approx(3.0 - sum(p), abs=1e-9)
    assert p == pytest.approx([p[0]] * 3, abs=1e-8)
    np.testing.assert_allclose(density, np.diag(np.diag(density)), atol=1e-8)
    # one state alone has an orbital that the others do not have
    alone = np.linalg.eigvalsh(density_of_pyscf(atom))
    assert alone[2] - alone[0] > 0.5
    np.testing.assert_allclose(np.abs(natural), np.eye(4), atol=1e-9)


def test_orbitals_of_a_degenerate_ground_state_keep_its_symmetry_however_they_are_given() -> None:
    atom, turn = boron(), np.eye(4)
    turn[1:, 1:] = random_rotation(3, 1)
    turned = rotate_orbitals(atom, turn)
    natural = exact_natural_orbitals(turned)
    np.testing.assert_allclose(np.abs(natural[0]), [1.0, 0.0, 0.0, 0.0], atol=1e-9)
    for seed in range(4):
        np.testing.assert_allclose(exact_natural_orbitals(with_noise(turned, seed)), natural, rtol=0, atol=1e-8)


@settings(max_examples=25)
@given(st.integers(1, 8), st.integers(0, 2**32))
def test_a_text_has_orbitals_to_a_billionth(norb: int, seed: int) -> None:
    orbitals = random_rotation(norb, seed)
    again = orbitals_of_text(orbitals_to_text(orbitals), norb)
    np.testing.assert_allclose(again, orbitals, rtol=0, atol=0.5 / 2**30)
    assert orbitals_to_text(again) == orbitals_to_text(orbitals)


@pytest.mark.parametrize("name", NAMES)
def test_natural_orbitals_are_the_same_after_they_were_recorded(name: str) -> None:
    natural = exact_natural_orbitals(molecule(name))
    np.testing.assert_array_equal(orbitals_of_text(orbitals_to_text(natural), len(natural)), natural)


@pytest.mark.parametrize(
    "text",
    ["", "AAA=", "no base64", "ä", orbitals_to_text(np.eye(2)), orbitals_to_text(np.eye(3))[:-2]],
    ids=["empty", "short", "no base64", "no ASCII", "another size", "cut off"],
)
def test_a_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="damaged"):
        orbitals_of_text(text, 3)


@pytest.mark.parametrize("orbitals", [np.diag([1.0, 1.0, 0.99]), np.eye(3)[[0, 1, 1]]], ids=["short", "twice"])
def test_orbitals_that_are_not_orthonormal_are_refused_as_they_change_the_energies(orbitals: Array) -> None:
    chemist = molecule("H3+_0.9")
    turned = rotate_orbitals(chemist, orbitals)
    assert abs(exact_energy_of_spin(turned) - exact_energy_of_spin(chemist)) > 1e-4
    with pytest.raises(InputError, match="not orthonormal"):
        orbitals_of_text(orbitals_to_text(orbitals), 3)


def test_a_changed_character_is_refused() -> None:
    text = orbitals_to_text(np.eye(3))
    assert text[4] == "Q"
    with pytest.raises(InputError, match="damaged"):
        orbitals_of_text(text[:4] + "A" + text[5:], 3)


def test_a_molecule_too_large_for_its_exact_energy_is_refused() -> None:
    large = Molecule(np.diag(np.arange(10.0)), np.zeros((10,) * 4), (5, 5), 0.0, "large")
    with pytest.raises(InputError, match="63504 determinants"):
        exact_natural_orbitals(large)
