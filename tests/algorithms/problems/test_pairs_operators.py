"""Operators of electrons between states of pairs, against matrices over all determinants."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.problems.pairs import PairedElectrons

NORB = 4


def paired(alpha: int, beta: int) -> PairedElectrons:
    return PairedElectrons(Molecule(np.zeros((NORB,) * 2), np.zeros((NORB,) * 4), (alpha, beta), 0.0, "drawn"))


def ladder(spin_orbital: int, created: int) -> Any:
    """Return a ladder operator over all occupations of 2 NORB spin orbitals, by Jordan and Wigner."""
    matrices = [np.diag([1.0, -1.0])] * spin_orbital + [np.array([[0.0, 1.0], [0.0, 0.0]])]
    matrices += [np.eye(2)] * (2 * NORB - spin_orbital - 1)
    whole: Any = np.eye(1)
    for each in matrices:
        whole = np.kron(whole, each)
    return whole.T if created else whole


LADDERS = {(orbital, created): ladder(orbital, created) for orbital in range(2 * NORB) for created in (0, 1)}
EMPTY = np.eye(4**NORB)[0]


def states_of(problem: PairedElectrons) -> np.ndarray:
    """Return a column for each basis state of the pairs' qubits: pairs in their orbitals, the others' one electron."""
    spin = 0 if problem.molecule.electrons[0] > problem.molecule.electrons[1] else 1
    single = [p for p in range(NORB) if p not in problem.orbitals]
    columns = []
    for bits in range(2**problem.num_qubits):
        state = EMPTY
        for p in single:
            state = LADDERS[2 * p + spin, 1] @ state
        for qubit, p in enumerate(problem.orbitals):
            if bits >> qubit & 1:
                state = LADDERS[2 * p, 1] @ LADDERS[2 * p + 1, 1] @ state
        columns.append(state)
    return np.array(columns).T


PRODUCTS = st.lists(st.tuples(st.integers(0, 2 * NORB - 1), st.integers(0, 1)), min_size=1, max_size=6)


@given(
    electrons=st.sampled_from([(2, 2), (1, 1), (3, 1), (1, 3), (3, 2)]),
    products=st.lists(st.tuples(PRODUCTS, st.floats(-2.0, 2.0)), min_size=1, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_a_sum_of_products_is_that_of_all_determinants_between_pairs(
    electrons: tuple[int, int], products: list[tuple[list[tuple[int, int]], float]]
) -> None:
    problem, states = paired(*electrons), states_of(paired(*electrons))
    whole = np.zeros((4**NORB,) * 2)
    for product, number in products:
        matrix = np.eye(4**NORB)
        for each in product:
            matrix = matrix @ LADDERS[each]
        whole += number * matrix
    found = problem.fermion_operator(products).to_matrix()
    np.testing.assert_allclose(found, states.T @ whole @ states, atol=1e-10)


def test_moves_of_a_pair_and_numbers_are_not_zero() -> None:
    problem = paired(1, 1)
    moved = problem.fermion_operator([([(2, 1), (3, 1), (1, 0), (0, 0)], 1.0), ([(0, 1), (1, 1), (3, 0), (2, 0)], 1.0)])
    assert sorted(moved.paulis.to_labels()) == ["IIXX", "IIYY"]
    number = problem.fermion_operator([([(4, 1), (4, 0)], 1.0)])
    assert dict(number.to_list()) == {"IIII": 0.5, "IZII": -0.5}


@pytest.mark.parametrize(("p", "q"), list(itertools.permutations(range(2), 2)))
def test_one_electron_that_moves_leaves_no_pair(p: int, q: int) -> None:
    assert not np.any(paired(1, 1).fermion_operator([([(2 * p, 1), (2 * q, 0)], 1.0)]).coeffs)
