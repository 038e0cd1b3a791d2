"""Orbital matching: flipped signs are found, and ambiguous or changed orbitals are refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.circuits.initial_point import match_orbitals
from hybridloop.algorithms.circuits.uccsd import symmetry_allowed_excitations, uccsd
from hybridloop.algorithms.problems.electronic import electronic_problem
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.data import load_table
from hybridloop.inputs.formats.fcidump import read_fcidump
from tests.long_form import long_form, short_or_long
from tests.paths import DATA

BUILT_IN = load_table("problems")
H4 = read_fcidump(BUILT_IN["h4"]["fcidump"], "h4")
DATA = DATA / "fcidump"


def relabelled(molecule: Molecule, signs: ArrayLike, order: ArrayLike | None = None) -> Molecule:
    """The same molecule over orbitals of other signs, then in another order."""
    turn = np.asarray(signs, float)
    places = np.arange(molecule.norb) if order is None else np.asarray(order)
    one = (molecule.one_body * np.outer(turn, turn))[np.ix_(places, places)]
    two = np.einsum("pqrs,p,q,r,s->pqrs", molecule.two_body, turn, turn, turn, turn)[np.ix_(*[places] * 4)]
    return Molecule(one, two, molecule.electrons, molecule.core_energy, molecule.source)


def energy(molecule: Molecule, point: ArrayLike) -> float:
    problem = electronic_problem(molecule)
    state = Statevector(uccsd(problem).circuit.assign_parameters(np.asarray(point)))
    return float(state.expectation_value(problem.hamiltonian).real)


@long_form
@settings(max_examples=short_or_long(4, 32))
@given(signs=st.tuples(*[st.sampled_from([1.0, -1.0])] * 4), seed=st.integers(0, 1000))
def test_flipped_signs_are_found_and_the_angles_with_these_signs_give_the_same_energy(
    signs: tuple[float, ...], seed: int
) -> None:
    turned = relabelled(H4, signs)
    excitations = symmetry_allowed_excitations(electronic_problem(H4))
    matching = match_orbitals(H4, turned, excitations)
    assert matching.signs is not None
    point = np.random.default_rng(seed).uniform(-0.5, 0.5, len(excitations))
    assert energy(turned, point * np.array(matching.signs)) == pytest.approx(energy(H4, point), abs=1e-9)


@pytest.mark.parametrize(("p", "q"), list(itertools.combinations(range(4), 2)))
def test_a_changed_order_of_orbitals_is_detected(p: int, q: int) -> None:
    order = [0, 1, 2, 3]
    order[p], order[q] = q, p
    matching = match_orbitals(H4, relabelled(H4, [1, 1, 1, 1], order), [])
    assert matching.signs is None
    assert "changed their order" in matching.reason


def test_a_neighbouring_geometry_is_matched_and_mixed_orbitals_or_another_molecule_are_not() -> None:
    longer = read_fcidump((DATA / "H4_1.5.fcidump").read_text("utf-8"), "h4-1.5")
    excitations = symmetry_allowed_excitations(electronic_problem(H4))
    assert match_orbitals(H4, longer, excitations).signs is not None
    turn = np.eye(4)
    turn[:2, :2] = np.array([[1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2.0)  # orbitals halfway between two
    mixed = Molecule(
        turn.T @ H4.one_body @ turn,
        np.einsum("abcd,ap,bq,cr,ds->pqrs", H4.two_body, turn, turn, turn, turn),
        H4.electrons,
        H4.core_energy,
        "mixed",
    )
    assert match_orbitals(H4, mixed, excitations).signs is None
    assert match_orbitals(H4, read_fcidump(BUILT_IN["h2"]["fcidump"], "h2"), excitations).signs is None
