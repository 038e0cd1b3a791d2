"""The optimum above 20 variables beside an independent search, its bound, and the classical searches beside it."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest

from hybridloop.algorithms.binary.annealing import anneal, descend
from hybridloop.algorithms.binary.assignment_text import describe_assignment
from hybridloop.algorithms.binary.graphs import graph_from_edges
from hybridloop.algorithms.binary.ising import Ising
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.binary.problem_kinds import independent_set, low_autocorrelation, max_cut, spin_glass
from hybridloop.algorithms.binary.solver import solve, term_bound
from tests.value_helpers import known


def weighted(graph: nx.Graph, seed: int) -> list[tuple[int, int, float]]:
    rng = np.random.default_rng(seed)
    return [(i, j, round(float(rng.uniform(0.5, 1.5)), 2)) for i, j in graph.edges]


def by_elimination(problem: BinaryProblem) -> float:
    """Return the lowest cost, by minimizing over one variable after the other, that of the fewest neighbours first.

    U. Bertelè and F. Brioschi, Nonserial Dynamic Programming (1972): exact, in 2^(treewidth) operations.
    """
    cost = problem.cost
    tables = []
    for spins, value in cost.terms.items():
        signs = np.full((2,) * len(spins), value)
        for axis in range(len(spins)):
            signs *= np.array([1.0, -1.0]).reshape([2 if other == axis else 1 for other in range(len(spins))])
        tables.append((spins, signs))
    left, lowest = set(range(cost.num_variables)), cost.offset
    while left:
        scopes = {v: {i for spins, _ in tables if v in spins for i in spins} | {v} for v in left}
        variable = min(left, key=lambda v: (len(scopes[v]), v))
        scope = sorted(scopes[variable])
        total = np.zeros((2,) * len(scope))
        for spins, table in tables:
            if variable in spins:
                total = total + table.reshape([2 if spin in spins else 1 for spin in scope])
        tables = [(spins, table) for spins, table in tables if variable not in spins]
        rest = tuple(spin for spin in scope if spin != variable)
        reduced = total.min(axis=scope.index(variable))
        if rest:
            tables.append((rest, reduced))
        else:
            lowest += float(reduced)
        left.remove(variable)
    return lowest


@pytest.mark.parametrize(
    "graph",
    [
        nx.random_regular_graph(3, 24, seed=1),
        nx.gnp_random_graph(30, 0.2, seed=2),
        nx.random_regular_graph(3, 40, seed=3),
    ],
    ids=["cubic-24", "random-30", "cubic-40"],
)
@pytest.mark.parametrize("build", [max_cut, independent_set])
def test_the_optimum_of_a_graph_of_24_to_40_nodes_is_that_of_dynamic_programming(
    graph: nx.Graph, build: object
) -> None:
    assert callable(build)
    problem = build(graph_from_edges(graph.number_of_nodes(), weighted(graph, 1)))
    expected = problem.sign * by_elimination(problem)
    assert problem.optimum.is_exact
    assert problem.optimum.found == pytest.approx(expected, abs=1e-9)
    assert problem.extremes == pytest.approx((expected, 0.0))
    assert problem.annealed == pytest.approx(expected, rel=0.02)


def test_a_dense_problem_without_an_optimum_has_the_best_value_known_and_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hybridloop.algorithms.binary.solver.SOLVER_S", 0.3)
    edges = weighted(nx.gnp_random_graph(40, 0.5, seed=1), 3)
    problem = max_cut(graph_from_edges(40, edges))
    optimum = problem.optimum
    assert not optimum.is_exact
    assert problem.extremes is None
    assert problem.approximation_ratio(1.0) is None
    assert optimum.found is not None
    assert known(problem.annealed) <= optimum.found
    assert optimum.found < optimum.bound <= math.fsum(weight for *_, weight in edges) + 1e-9
    text = describe_assignment(problem, "01" * 20, 100.0)["cut"]
    assert text == f"100 of at most {optimum.bound:.12g}, a bound, {optimum.found:.12g} is the best known"


@pytest.mark.parametrize("seed", range(6))
def test_the_solver_s_bound_is_never_above_the_lowest_energy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    terms = {tuple(sorted(rng.choice(10, rng.integers(1, 5), replace=False).tolist())): rng.normal() for _ in range(25)}
    energy = Ising.of(10, [(tuple(int(i) for i in spins), float(value)) for spins, value in terms.items()])
    solution, lowest = solve(energy), float(energy.all_energies().min())
    assert term_bound(energy) <= solution.bound <= lowest + 1e-9
    assert energy.energies(known(solution.bits))[0] == pytest.approx(lowest, abs=1e-5)


def test_a_sequence_has_the_bound_of_its_odd_sums() -> None:
    assert low_autocorrelation(13).known_bound == low_autocorrelation(13).optimum.found == 6.0


@pytest.mark.parametrize("order", [2, 4])
def test_annealing_ends_where_no_flip_gains_and_finds_the_ground_state(order: int) -> None:
    rng = np.random.default_rng(order)
    terms = [(tuple(sorted(rng.choice(14, order, replace=False).tolist())), float(rng.normal())) for _ in range(60)]
    cost = Ising.of(14, terms)
    ends = anneal(cost, 3)
    energies = cost.energies(ends)
    assert energies.min() == pytest.approx(cost.all_energies().min())
    assert (anneal(cost, 3) == ends).all()
    for ending in (ends, descend(cost, rng.integers(0, 2, (50, 14)))):
        for spin in range(14):
            flipped = ending.copy()
            flipped[:, spin] ^= 1
            assert (cost.energies(flipped) >= cost.energies(ending) - 1e-9).all()


def test_annealing_finds_the_optimum_of_a_frustrated_glass_that_descents_miss() -> None:
    rng = np.random.default_rng(0)
    couplings = {
        (i, j): float(rng.choice([-1.0, 1.0])) for i in range(60) for j in range(i + 1, 60) if rng.random() < 0.2
    }
    cost = spin_glass(Ising(np.zeros(60), couplings)).cost
    annealed = cost.energies(anneal(cost, 0))
    descended = cost.energies(descend(cost, rng.integers(0, 2, (64, 60))))
    assert annealed.min() <= descended.min()
    assert annealed.mean() < descended.mean() - 5.0
