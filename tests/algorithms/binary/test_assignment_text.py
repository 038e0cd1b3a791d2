"""The best assignment in the problem's terms."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hybridloop.algorithms.binary.assignment_text import describe_assignment
from hybridloop.algorithms.binary.graphs import graph_from_edges
from hybridloop.algorithms.binary.ising import Ising
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.binary.problem_kinds import max_cut, spin_glass
from hybridloop.algorithms.choices import GraphObjective
from hybridloop.errors import ProblemError
from hybridloop.inputs.formats.binary import read_binary_problem

ROADS = "oslo bergen 4\nbergen stavanger 2\nstavanger oslo 5\noslo trondheim 5\ntrondheim bergen 6\n"
PORTFOLIO = {
    "returns": [0.1, 0.3, 0.2],
    "covariance": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "risk_aversion": 0.1,
    "budget": 2,
}


def described(problem: BinaryProblem, bitstring: str) -> dict[str, str]:
    value = float(problem.objective.energies([[int(bit) for bit in reversed(bitstring)]])[0])
    return describe_assignment(problem, bitstring, value)


def test_a_cut_is_a_partition_with_the_side_of_the_first_node_first() -> None:
    problem = read_binary_problem(ROADS, "roads")  # oslo, bergen, stavanger, trondheim are bits 0 to 3
    both = {"partition": "{oslo, bergen} | {stavanger, trondheim}", "cut": "18 of at most 18"}  # 2 + 5 + 5 + 6
    assert described(problem, "0011") == described(problem, "1100") == both
    assert described(problem, "0001") == {
        "partition": "{oslo} | {bergen, stavanger, trondheim}",
        "cut": "14 of at most 18",  # 4 + 5 + 5
    }


def test_a_cut_of_more_nodes_than_are_enumerated_has_the_maximum_of_a_solver() -> None:
    for nodes in (25, 121):
        ring = max_cut(graph_from_edges(nodes, [(i, (i + 1) % nodes, 1.0) for i in range(nodes)]))
        text = described(ring, "01" * (nodes // 2) + "0")
        assert text["cut"] == f"{nodes - 1} of at most {nodes - 1}"
        assert text["partition"].count(" and 1 more") == (nodes > 120)  # 61 nodes on a side


def test_the_other_kinds_of_problems() -> None:
    independent = read_binary_problem("a b\nb c\n", "path", GraphObjective.INDEPENDENT_SET)
    assert described(independent, "101") == {"chosen": "a, c", "nodes": "2 of at most 2"}
    numbers = read_binary_problem('{"numbers": [4, 5, 6, 3.5]}', "numbers")
    assert described(numbers, "0110") == {"parts": "{4, 3.5} | {5, 6}", "sums": "11 and 7.5, a difference of 3.5"}
    spins = spin_glass(Ising(np.array([1.0, -1.0]), {}, 0.0), labels=["up", "down"])
    assert described(spins, "01") == {"spins": "up = -1, down = +1", "objective": "-2, the optimum"}
    qubo = read_binary_problem('{"qubo": [[-1, 0], [0, 2]]}', "qubo")
    assert described(qubo, "11") == {"variables": "x0 = 1, x1 = 1", "objective": "1; at best -1"}


def test_a_formula_of_which_no_variable_is_true_is_said_in_words() -> None:
    formula = read_binary_problem("p cnf 2 2\n-1 0\n-2 0\n", "formula")
    assert described(formula, "00") == {"true": "none: all variables are false", "satisfied": "2 of at most 2"}


def test_a_portfolio_says_what_to_hold_by_its_names() -> None:
    numbered = read_binary_problem(json.dumps(PORTFOLIO), "portfolio")
    assert described(numbered, "110") == {"hold": "assets 1, 2 (2 of 3)", "objective": "-0.3, the optimum"}
    named = read_binary_problem(json.dumps({**PORTFOLIO, "assets": ["gold", "oil", "wheat"]}), "portfolio")
    assert described(named, "110")["hold"] == "oil, wheat (2 of 3)"


@pytest.mark.parametrize("names", [["gold", "oil"], ["gold", "oil", "oil"], [1, 2, 3], "gold", ["gold", "oil", "\x1b"]])
def test_names_of_assets_that_do_not_fit_are_refused(names: object) -> None:
    with pytest.raises(ProblemError, match="'assets'"):
        read_binary_problem(json.dumps({**PORTFOLIO, "assets": names}), "portfolio")


def test_without_an_assignment_there_is_no_text() -> None:
    assert describe_assignment(read_binary_problem(ROADS, "roads"), None, None) == {}
