"""Eigenvalue bounds of energies: valid for each assignment, and no worse than that of a graph's Laplacian."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridloop.algorithms.binary import problem_kinds as binary
from hybridloop.algorithms.binary.graphs import graph_from_edges
from hybridloop.algorithms.binary.ising import Ising
from hybridloop.algorithms.binary.solver import term_bound
from hybridloop.algorithms.binary.spectral import MAX_SPINS, spectral_bound

Edge = tuple[int, int, float]


def edges_of(seed: int) -> tuple[int, list[Edge]]:
    """Return the nodes and edges of a random graph; those of odd seeds have weights."""
    rng = np.random.default_rng(seed)
    count = 8 + seed % 6
    pairs = [pair for pair in itertools.combinations(range(count), 2) if rng.random() < 0.4]
    return count, [(a, b, float(rng.integers(1, 5)) if seed % 2 else 1.0) for a, b in pairs]


@pytest.mark.parametrize("seed", range(10))
def test_a_cut_is_bounded_between_its_maximum_and_the_laplacian(seed: int) -> None:
    count, edges = edges_of(seed)
    laplacian = np.zeros((count, count))
    for a, b, weight in edges:
        laplacian[[a, b], [a, b]] += weight
        laplacian[[a, b], [b, a]] -= weight
    cut = binary.max_cut(graph_from_edges(count, edges))
    bound = -spectral_bound(cut.objective.scaled(-1.0))
    assert cut.optimum.is_exact
    assert cut.optimum.bound <= bound + 1e-9
    assert bound <= count / 4.0 * np.linalg.eigvalsh(laplacian)[-1] + 1e-6
    assert bound <= -term_bound(cut.objective.scaled(-1.0))


TERMS = st.dictionaries(
    st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True).map(lambda spins: tuple(sorted(spins))),
    st.floats(-3.0, 3.0).filter(lambda value: abs(value) > 1e-3),
    min_size=1,
    max_size=12,
)


def energy_of(count: int, terms: dict[tuple[int, ...], float], offset: float = 0.0) -> Ising:
    fields = np.array([terms.get((spin,), 0.0) for spin in range(count)])
    couplings = {(spins[0], spins[1]): value for spins, value in terms.items() if len(spins) == 2}
    products = {spins: value for spins, value in terms.items() if len(spins) > 2}
    return Ising(fields, couplings, offset, products)


@settings(max_examples=30)
@given(TERMS, st.floats(-2.0, 2.0))
def test_no_assignment_is_below_the_bound(terms: dict[tuple[int, ...], float], offset: float) -> None:
    energy = energy_of(6, terms, offset)
    assert spectral_bound(energy) <= float(energy.all_energies().min()) + 1e-9


def test_a_triangle_has_the_bound_of_its_semidefinite_program() -> None:
    cut = binary.max_cut(graph_from_edges(3, [(0, 1, 1.0), (1, 2, 1.0), (0, 2, 1.0)]))
    assert -spectral_bound(cut.objective.scaled(-1.0)) == pytest.approx(2.25)  # 3 (1 + 1/2) / 2


def test_uneven_weights_gain_by_the_diagonal() -> None:
    star = binary.max_cut(graph_from_edges(5, [(0, node, 1.0) for node in range(1, 5)]))  # its Laplacian says 6.25
    assert -spectral_bound(star.objective.scaled(-1.0)) == pytest.approx(4.0, abs=0.05)


def test_too_many_spins_have_no_bound() -> None:
    assert spectral_bound(energy_of(MAX_SPINS, {(0, 1): 1.0})) == -np.inf
