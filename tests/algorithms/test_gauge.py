"""Angles of one molecule in another: signs that were turned are found, and what can't be told is not guessed."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.electronic import electronic_problem
from hybridloop.algorithms.fcidump import read_fcidump
from hybridloop.algorithms.gauge import gauge_between
from hybridloop.algorithms.molecule import Molecule
from hybridloop.algorithms.uccsd import symmetric_excitations, uccsd
from hybridloop.data import load

BUILT_IN = load("problems")
H4 = read_fcidump(BUILT_IN["h4"]["fcidump"], "h4")
DATA = Path(__file__).parents[1] / "data" / "fcidump"


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


@settings(max_examples=8, deadline=None)
@given(signs=st.tuples(*[st.sampled_from([1.0, -1.0])] * 4), seed=st.integers(0, 1000))
def test_turned_signs_are_found_and_the_angles_with_their_signs_give_the_same_energy(
    signs: tuple[float, ...], seed: int
) -> None:
    turned = relabelled(H4, signs)
    excitations = symmetric_excitations(electronic_problem(H4))
    found = gauge_between(H4, turned, excitations)
    assert found.signs is not None
    point = np.random.default_rng(seed).uniform(-0.5, 0.5, len(excitations))
    assert energy(turned, point * np.array(found.signs)) == pytest.approx(energy(H4, point), abs=1e-9)


@pytest.mark.parametrize(("p", "q"), list(itertools.combinations(range(4), 2)))
def test_orbitals_that_changed_their_order_are_noticed(p: int, q: int) -> None:
    order = [0, 1, 2, 3]
    order[p], order[q] = q, p
    found = gauge_between(H4, relabelled(H4, [1, 1, 1, 1], order), [])
    assert found.signs is None
    assert "changed their order" in found.why


def test_a_neighbour_on_the_curve_is_matched_and_a_mixed_or_another_molecule_is_not() -> None:
    longer = read_fcidump((DATA / "H4_1.5.fcidump").read_text("utf-8"), "h4-1.5")
    excitations = symmetric_excitations(electronic_problem(H4))
    assert gauge_between(H4, longer, excitations).signs is not None
    turn = np.eye(4)
    turn[:2, :2] = np.array([[1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2.0)  # orbitals halfway between two
    mixed = Molecule(
        turn.T @ H4.one_body @ turn,
        np.einsum("abcd,ap,bq,cr,ds->pqrs", H4.two_body, turn, turn, turn, turn),
        H4.electrons,
        H4.core_energy,
        "mixed",
    )
    assert gauge_between(H4, mixed, excitations).signs is None
    assert gauge_between(H4, read_fcidump(BUILT_IN["h2"]["fcidump"], "h2"), excitations).signs is None
