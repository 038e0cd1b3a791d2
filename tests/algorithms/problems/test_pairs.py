"""Electron pairs: their Hamiltonian is the molecule's between determinants whose electrons are paired."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridloop.algorithms.problems.determinants import determinants_of, hamiltonian_matrix
from hybridloop.algorithms.problems.exact import exact_energy_of_spin
from hybridloop.algorithms.problems.molecule import Molecule, with_multiplicity
from hybridloop.algorithms.problems.pairs import PairedElectrons
from tests.algorithms.pair_helpers import (
    FCIDUMPS,
    Array,
    molecule,
    of_file,
    pair_hop,
    paired_determinants,
    random_molecule,
)


@st.composite
def molecules(draw: st.DrawFn) -> Molecule:
    """Draw random integrals with electrons of any spin, of which at least one orbital has none or two."""
    norb = draw(st.integers(2, 5))
    electrons = draw(
        st.tuples(st.integers(0, norb), st.integers(0, norb)).filter(lambda each: abs(each[0] - each[1]) < norb)
    )
    return random_molecule(norb, electrons, draw(st.integers(0, 2**32)))


def of_determinants(problem: PairedElectrons) -> Array:
    """Return the exact Hamiltonian (states, states) between the determinants of the states."""
    every = determinants_of(problem.molecule)
    chosen, signs = paired_determinants(problem)
    places = np.searchsorted(every, chosen)
    block = hamiltonian_matrix(problem.molecule, every)[places][:, places].toarray()
    return np.asarray(signs[:, None] * block * signs)


def assert_is_the_block(problem: PairedElectrons) -> None:
    matrix = problem.matrix()
    np.testing.assert_allclose(matrix, of_determinants(problem), rtol=0, atol=1e-10)
    operator = problem.hamiltonian.to_matrix()
    np.testing.assert_allclose(operator[np.ix_(problem.states, problem.states)], matrix, rtol=0, atol=1e-10)
    reference = problem.states.index(problem.reference_state)
    assert matrix[reference, reference] == pytest.approx(problem.molecule.hartree_fock_energy, abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(molecules())
def test_the_hamiltonian_is_that_of_all_electrons_between_paired_determinants(drawn: Molecule) -> None:
    assert_is_the_block(PairedElectrons(drawn))


@pytest.mark.parametrize("path", FCIDUMPS, ids=lambda path: path.stem)
def test_the_hamiltonian_of_a_molecule_is_that_between_paired_determinants(path: Path) -> None:
    assert_is_the_block(PairedElectrons(of_file(path)))


@pytest.mark.parametrize("electrons", [(3, 1), (1, 3), (4, 1), (3, 0), (3, 2)], ids=str)
def test_single_electrons_stay_and_have_no_qubit(electrons: tuple[int, int]) -> None:
    problem = PairedElectrons(random_molecule(5, electrons, 3))
    fewer, more = sorted(electrons)
    assert problem.orbitals == (*range(fewer), *range(more, 5))
    assert (problem.num_qubits, problem.pairs) == (5 - more + fewer, fewer)
    assert_is_the_block(problem)


@pytest.mark.parametrize("multiplicity", [3, 5])
def test_a_high_spin_state_of_a_molecule_has_the_same_energies(multiplicity: int) -> None:
    problem = PairedElectrons(with_multiplicity(molecule("h4"), multiplicity))
    assert problem.num_qubits == 5 - multiplicity
    if multiplicity == 3:
        assert_is_the_block(problem)
    else:  # four single electrons in four orbitals: one determinant
        assert problem.diagonal[0] == pytest.approx(exact_energy_of_spin(problem.molecule), abs=1e-10)


@settings(max_examples=20)
@given(molecules())
def test_the_states_are_all_with_the_number_of_pairs_and_the_first_is_the_reference(drawn: Molecule) -> None:
    problem = PairedElectrons(drawn)
    every = [state for state in range(2**problem.num_qubits) if state.bit_count() == problem.pairs]
    assert sorted(problem.states) == every
    assert problem.reference_state == min(every)
    bits = [[int(bit) for bit in reversed(format(state, f"0{problem.num_qubits}b"))] for state in problem.states]
    assert problem.occupations.tolist() == bits


@settings(max_examples=20)
@given(molecules())
def test_a_hop_moves_a_pair_as_products_of_creators_do(drawn: Molecule) -> None:
    problem = PairedElectrons(drawn)
    for p, q in combinations(range(problem.num_qubits), 2):
        block = pair_hop(p, q, problem.num_qubits)[np.ix_(problem.states, problem.states)]
        np.testing.assert_array_equal(problem.hops(p, q), block)
        np.testing.assert_array_equal(problem.hops(q, p), -block)


@pytest.mark.parametrize("path", FCIDUMPS, ids=lambda path: path.stem)
def test_the_lowest_state_of_pairs_is_between_the_exact_energy_and_hartree_fock(path: Path) -> None:
    problem = PairedElectrons(of_file(path))
    lowest = float(np.linalg.eigvalsh(problem.matrix())[0])
    assert exact_energy_of_spin(problem.molecule) - 1e-9 <= lowest <= problem.molecule.hartree_fock_energy + 1e-9
