"""Means of QAOA circuits by trees of couplings and by the formula of one layer, against state vectors."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.binary.graphs import graph_from_edges
from hybridloop.algorithms.binary.ising import Ising
from hybridloop.algorithms.binary.problem_kinds import max_cut, spin_glass
from hybridloop.algorithms.qaoa.angles import QaoaSimulation
from hybridloop.algorithms.qaoa.circuit import qaoa_circuit
from hybridloop.algorithms.qaoa.trees import CouplingTree, OneLayer
from tests.algorithms.qaoa_helpers import trained

CUT_FRACTIONS = {1: 0.6924, 2: 0.7559, 3: 0.7924}  # J. Wurtz and D. Lykov, Phys. Rev. A 104 (2021) 052419


def ising(graph: nx.Graph, seed: int, *, has_fields: bool) -> Ising:
    rng = np.random.default_rng(seed)
    fields = rng.normal(size=len(graph)) * has_fields
    couplings = {(min(pair), max(pair)): float(rng.choice([-0.5, 0.5, 0.8])) for pair in graph.edges}
    return Ising(fields, couplings, 0.3)


@given(seed=st.integers(0, 10**6), layers=st.integers(1, 3), has_fields=st.booleans(), is_warm=st.booleans())
@settings(max_examples=20, deadline=None)
def test_the_means_of_a_tree_are_exact(seed: int, layers: int, has_fields: bool, is_warm: bool) -> None:  # noqa: FBT001
    cost = ising(nx.random_labeled_tree(7, seed=seed), seed, has_fields=has_fields)
    rng = np.random.default_rng(seed)
    warm = tuple(rng.uniform(0.3, 2.8, 7).tolist()) if is_warm else None
    point = rng.uniform(-1.0, 1.0, 2 * layers)
    exact = QaoaSimulation.of(cost, (), warm).energy(point)
    assert CouplingTree.of(cost, warm).energy(point) == pytest.approx(exact, abs=1e-9)


@given(seed=st.integers(0, 10**6), share=st.floats(0.3, 1.0), has_fields=st.booleans())
@settings(max_examples=20, deadline=None)
def test_the_means_of_one_layer_are_exact_with_cycles(seed: int, share: float, has_fields: bool) -> None:  # noqa: FBT001
    cost = ising(nx.gnp_random_graph(6, share, seed=seed), seed, has_fields=has_fields)
    if cost.is_constant:
        return
    circuit = qaoa_circuit(spin_glass(cost), layers=1)
    point = np.random.default_rng(seed).uniform(-1.0, 1.0, 2)
    state = Statevector(circuit.circuit.assign_parameters(point))
    expected = state.expectation_value(cost.operator()).real
    one = OneLayer(cost)
    assert one.energy(point) == pytest.approx(expected, abs=1e-9)
    spins = 1.0 - 2.0 * (np.arange(64)[:, None] >> np.arange(6) & 1)
    for term, mean in one.means(point).items():
        assert mean == pytest.approx(float(state.probabilities() @ spins[:, term].prod(axis=1)), abs=1e-9)


@pytest.mark.parametrize(("layers", "fraction"), CUT_FRACTIONS.items())
def test_regular_graphs_are_one_class_with_the_cut_that_large_ones_guarantee(layers: int, fraction: float) -> None:
    graph = nx.random_regular_graph(3, 40, seed=1)
    problem = max_cut(graph_from_edges(40, [(i, j, 1.0) for i, j in graph.edges]))
    tree = CouplingTree.of(problem.cost)
    assert len(tree.members) == 1
    cut = -tree.energy(trained(problem, layers).initial_point) / graph.number_of_edges()
    assert cut == pytest.approx(fraction, abs=1e-4)


def test_a_mean_in_a_large_graph_is_that_of_the_variables_near_it() -> None:
    graph = nx.random_regular_graph(3, 60, seed=2)
    cost = ising(graph, 5, has_fields=False)
    point = np.array([0.5, 0.3, 0.4, 0.7])
    means = CouplingTree.of(cost).means(point)
    for pair in cost.couplings:
        near = sorted(set().union(*(nx.ego_graph(graph, node, 2).nodes for node in pair)))
        if len(near) == 14:  # two couplings around the pair form a tree
            place = {node: index for index, node in enumerate(near)}
            parts = {(place[i], place[j]): value for (i, j), value in cost.couplings.items() if {i, j} <= {*near}}
            state = Statevector(
                qaoa_circuit(spin_glass(Ising(np.zeros(14), parts)), layers=2).circuit.assign_parameters(point)
            )
            shares = state.probabilities([place[pair[0]], place[pair[1]]])
            assert means[pair] == pytest.approx(float(shares @ [1, -1, -1, 1]), abs=1e-9)
            return
    pytest.fail("no pair has a tree around it")
