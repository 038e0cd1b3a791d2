"""Frozen core and active space: the same molecule on fewer orbitals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.problems.electronic import electronic_problem
from hybridloop.algorithms.problems.exact import exact_ground_energy
from hybridloop.algorithms.problems.molecule import Molecule, active_space, frozen_core
from hybridloop.errors import InputError
from tests.algorithms.problems.test_fermions import dense_hamiltonian, molecules
from tests.algorithms.reference_helpers import MOLECULES, problem_of
from tests.long_form import long_form, short_or_long


def test_active_spaces_of_lithium_hydride_have_their_reference_energies() -> None:
    valence = problem_of("LiH_1.595_fc").molecule
    small = active_space(valence, 2, 2)
    assert small.hartree_fock_energy == pytest.approx(MOLECULES["LiH_1.595_fc"]["hf_energy"], abs=1e-9)
    # the MOLECULES's (2e, 2o) energy at this distance, by PySCF's CASCI
    assert exact_ground_energy(small) == pytest.approx(-7.86228553, abs=5e-9)


@long_form
@settings(max_examples=short_or_long(6, 60))
@given(molecules(), st.data())
def test_a_frozen_core_gives_the_hamiltonian_block_of_states_with_a_filled_core(
    molecule: Molecule, data: st.DataObject
) -> None:
    most = min(molecule.electrons)
    core = data.draw(st.integers(0, min(most, molecule.norb - 1)))
    orbitals = data.draw(st.integers(max(1, max(molecule.electrons) - core), molecule.norb - core))
    active = active_space(molecule, sum(molecule.electrons) - 2 * core, orbitals)
    norb = molecule.norb
    filled = sum(1 << p | 1 << (p + norb) for p in range(core))

    def full_state(state: int) -> int:
        low = state & ((1 << orbitals) - 1)
        return filled | low << core | (state >> orbitals) << (norb + core)

    places = [full_state(state) for state in range(4**orbitals)]
    # ladder operators of active orbitals pass a filled core of alphas and betas: an even number, or by the state's sign
    signs = [
        (-1.0) ** (core * ((state >> orbitals).bit_count() + (state & ((1 << orbitals) - 1)).bit_count()))
        for state in range(4**orbitals)
    ]
    block = dense_hamiltonian(molecule)[np.ix_(places, places)] * np.outer(signs, signs)
    matrix = electronic_problem(active, FermionMapping.JORDAN_WIGNER).hamiltonian.to_matrix()
    np.testing.assert_allclose(matrix, block, atol=1e-9)
    assert active.hartree_fock_energy == pytest.approx(molecule.hartree_fock_energy, abs=1e-9)


def test_freezing_no_orbital_changes_nothing() -> None:
    molecule = problem_of("H4_1").molecule
    assert exact_ground_energy(frozen_core(molecule, 0)) == pytest.approx(exact_ground_energy(molecule))


@pytest.mark.parametrize(("electrons", "orbitals"), [(3, 2), (6, 4), (-2, 2), (2, 0), (2, 4), (4, 1), (0, 0)])
def test_active_spaces_that_do_not_fit_are_refused(electrons: int, orbitals: int) -> None:
    with pytest.raises(InputError) as caught:
        active_space(problem_of("H4_1").molecule, electrons, orbitals)
    assert caught.value.field == "active_space"
