"""Partition of Pauli terms: as Qiskit's and as the plain algorithms', within bounded memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import PauliList, SparsePauliOp

from hybridloop.algorithms.estimation.commuting_groups import color_greedily, insert_sorted
from hybridloop.algorithms.estimation.observable import Grouping
from tests.long_form import long_form, short_or_long

GROUPINGS = st.sampled_from(Grouping)


def random_operator(qubits: int, terms: int, seed: int) -> SparsePauliOp:
    rng = np.random.default_rng(seed)
    z, x = rng.random((2, terms, qubits)) < rng.uniform(0.05, 0.6)
    return SparsePauliOp(PauliList.from_symplectic(z, x), np.round(rng.normal(size=terms), 1))


@given(st.integers(1, 7), st.integers(1, 60), st.integers(0, 10_000), GROUPINGS)
@settings(deadline=None)
def test_greedy_coloring_has_the_groups_of_qiskit_in_their_order(
    qubits: int, terms: int, seed: int, grouping: Grouping
) -> None:
    operator, qubit_wise = random_operator(qubits, terms, seed), grouping is Grouping.QUBIT_WISE
    expected = list(operator.paulis._commuting_groups(qubit_wise).values())
    assert color_greedily(operator.paulis, qubit_wise=qubit_wise) == expected


@long_form
@given(st.integers(1, 7), st.integers(1, 60), st.integers(0, 10_000), GROUPINGS)
@settings(max_examples=short_or_long(25, 200))
def test_sorted_insertion_takes_the_first_group_that_commutes(
    qubits: int, terms: int, seed: int, grouping: Grouping
) -> None:
    operator, qubit_wise = random_operator(qubits, terms, seed), grouping is Grouping.QUBIT_WISE
    groups: list[list[int]] = []
    for index in np.argsort(-np.abs(operator.coeffs), kind="stable").tolist():
        term = operator.paulis[index]
        free = [group for group in groups if all(_commute(term, operator.paulis[member], grouping) for member in group)]
        if not free:
            groups.append([])
        (free or groups[-1:])[0].append(index)
    assert insert_sorted(operator, qubit_wise=qubit_wise) == groups


def _commute(one: PauliList, other: PauliList, grouping: Grouping) -> bool:
    differ = (one.x | one.z) & (other.x | other.z) & ((one.x ^ other.x) | (one.z ^ other.z))
    return not differ.any() if grouping is Grouping.QUBIT_WISE else bool(one.commutes(other))


@pytest.mark.parametrize("grouping", Grouping)
def test_coloring_takes_a_few_bytes_for_each_pair_of_terms(grouping: Grouping) -> None:
    paulis = random_operator(18, 1500, seed=3).paulis
    tracemalloc.start()
    try:
        color_greedily(paulis, qubit_wise=grouping is Grouping.QUBIT_WISE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 20 * 1500**2  # a list of pairs takes over 100 bytes for each
