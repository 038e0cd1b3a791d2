"""The random mean beside QAOA's: of the feasible assignments, each as likely."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from hybridloop.algorithms.qaoa.circuit import qaoa_circuit
from hybridloop.algorithms.qaoa.comparison import beside_chance
from hybridloop.algorithms.qaoa.search import qaoa
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.preparation.qaoa import PreparedQaoa
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.algorithms.qaoa_helpers import max_cut_problem
from tests.preparation_helpers import prepare_qaoa

PETERSEN = [(i, (i + 1) % 5) for i in range(5)] + [(i, i + 5) for i in range(5)]
PETERSEN += [(5 + i, 5 + (i + 2) % 5) for i in range(5)]
RING = [(i, (i + 1) % 6) for i in range(6)]


def graph(edges: list[tuple[int, int]]) -> ProblemText:
    return ProblemText(name="graph", text="".join(f"{a} {b}\n" for a, b in edges))


def prepared(problem: ProblemText, **values: Any) -> PreparedQaoa:
    return prepare_qaoa(problem, QaoaSettings.model_validate({"layers": 1, **values}), 1)


@pytest.mark.parametrize("edges", [PETERSEN, RING, RING[:4], [*RING, (0, 3)], PETERSEN[:9], [(0, 1)], RING[:2]])
def test_the_mean_of_independent_sets_is_over_those_alone(edges: list[tuple[int, int]]) -> None:
    nodes = sorted({node for edge in edges for node in edge})
    sets = [chosen for size in range(len(nodes) + 1) for chosen in itertools.combinations(nodes, size)]
    independent = [len(chosen) for chosen in sets if not any({*edge} <= {*chosen} for edge in edges)]
    assert prepared(graph(edges), objective="independent-set").facts.reference == pytest.approx(np.mean(independent))


def test_the_mean_of_a_large_problem_is_drawn_or_unknown() -> None:
    path = graph([(i, i + 1) for i in range(23)])
    drawn = prepared(path, objective="independent-set").facts.reference
    sets, nodes = [1, 2], [0, 1]  # independent sets of paths of 0 and 1 nodes, and the nodes in all of them
    for _ in range(23):
        nodes.append(nodes[-1] + nodes[-2] + sets[-2])
        sets.append(sets[-1] + sets[-2])
    assert drawn == pytest.approx(nodes[24] / sets[24], abs=0.1)
    ring_of_rings = graph([(i, j) for i in range(24) for j in range(i)])  # at most one node of 24
    assert prepared(ring_of_rings, objective="independent-set").facts.reference is None


def test_a_cut_has_no_penalty() -> None:
    assert prepared(graph(RING)).facts.reference == pytest.approx(3.0)


def test_a_mixer_of_exchanges_reaches_feasible_assignments_alone() -> None:
    run = prepared(ProblemText(name="portfolio-8"))
    values = run.problem.objective.all_energies()
    feasible = run.problem.is_feasible(
        (np.arange(len(values))[:, None] >> np.arange(run.problem.num_variables) & 1).astype(np.uint8)
    )
    assert run.facts.reference == pytest.approx(float(values[feasible].mean()))


@pytest.mark.parametrize(("shots", "says"), [(2, "not shown to be better"), (10_000, "no better")])
def test_chance_is_said_where_it_is_shown(shots: int, says: str) -> None:
    circuit = qaoa_circuit(max_cut_problem("petersen"), layers=1).with_initial_point(np.zeros(2))
    (warning,) = beside_chance(qaoa(circuit, shot_rounds(3), shots=shots), circuit, shots=shots).warnings
    assert warning.startswith(f"{says} than chance: ")
