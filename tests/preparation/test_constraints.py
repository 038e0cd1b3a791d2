"""Binary problems with linear constraints: penalties, slack bits and mixers, against going through all assignments."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import dimod
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector
from qiskit_optimization import QuadraticProgram

from hybridloop.algorithms.binary.constraints import Inequalities, Linear, penalized
from hybridloop.algorithms.binary.ising import ising_from_bits
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.binary.problem_kinds import constrained
from hybridloop.algorithms.outcome import Outcome
from hybridloop.algorithms.qaoa.angles import QaoaSimulation
from hybridloop.algorithms.qaoa.circuit import Mixer, qaoa_circuit
from hybridloop.algorithms.qaoa.comparison import random_mean
from hybridloop.algorithms.rounds import Counts, MeasuredPub
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.errors import InputError
from hybridloop.inputs.formats.binary import read_binary_problem
from hybridloop.inputs.formats.constrained import limits_of
from hybridloop.inputs.problem_objects import problem_from_object
from hybridloop.preparation.qaoa import PreparedQaoa
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.constrained_problems import TWELVE, Program, all_bits, best_value, knapsack, met_by, names_of, values_of
from tests.preparation_helpers import prepare_qaoa
from tests.value_helpers import known

SOME = {"maximize": {"a": 3, "b": 4, ("a", "b"): 1}, "constraints": {"one": ({"a": 2, "b": 3}, "<=", 4)}}


def prepared(program: Any, **values: Any) -> PreparedQaoa:
    return prepare_qaoa(problem_from_object(program), QaoaSettings.model_validate({"layers": 2, **values}), 0)


def problem_of(program: Any) -> BinaryProblem:
    text = problem_from_object(program)
    return read_binary_problem(str(text.text), text.name)


def measured(run: PreparedQaoa) -> tuple[Outcome, list[Counts]]:
    """Return the outcome of a run, and the counts of its last round."""
    last: list[Counts] = []
    rounds = shot_rounds(5)

    def run_round(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        results = rounds(pubs)
        last[:] = [counts for result in results for counts in result if isinstance(counts, Counts)]
        return results

    return run.run(run_round), last


@pytest.mark.parametrize("name", TWELVE)
def test_an_optimum_is_that_of_all_feasible_assignments_and_the_shares_are_those_of_the_shots(name: str) -> None:
    program = TWELVE[name]
    run = prepared(program)
    outcome, counts = measured(run)
    best = best_value(program)
    assert run.facts.exact() == pytest.approx(best, abs=1e-9)
    assert outcome.optimum == pytest.approx((best, best), abs=1e-9)
    count, shots = len(names_of(program)), sum(each.shots for each in counts)
    share = {each: 0 for each in program["constraints"]}
    feasible = 0
    for each in counts:
        met = met_by(program, each.bits[:, :count])
        for constraint, rows in met.items():
            share[constraint] += int(each.counts[rows].sum())
        feasible += int(each.counts[np.logical_and.reduce([*met.values()])].sum())
    assert {row["constraint"]: row["share"] for row in outcome.constraints} == {
        constraint: number / shots for constraint, number in share.items()
    }
    assert outcome.feasible_share == feasible / shots
    found = np.array([[int(bit) for bit in reversed(known(outcome.best_bitstring))]], np.uint8)
    assert found.shape == (1, count)
    assert all(rows.all() for rows in met_by(program, found).values())
    assert all(row["met"] for row in outcome.constraints)
    assert outcome.best_value == pytest.approx(values_of(program, found)[0])
    assert len(outcome.table) == count


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Return up to three constraints of up to five variables, at least one assignment of which is feasible."""
    names = [f"v{number}" for number in range(draw(st.integers(2, 5)))]
    point = {name: draw(st.integers(0, 1)) for name in names}
    constraints = {}
    for number in range(draw(st.integers(1, 3))):
        chosen = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
        coefficients = {name: draw(st.integers(-3, 4)) for name in chosen}
        at_point = sum(value * point[name] for name, value in coefficients.items())
        sense = draw(st.sampled_from(["<=", "=", ">="]))
        slack = 0 if sense == "=" else draw(st.integers(0, 3))
        constraints[f"c{number}"] = (coefficients, sense, at_point + (slack if sense == "<=" else -slack))
    objective = {name: draw(st.integers(-5, 5)) for name in names}
    objective[names[0]] = objective[names[0]] or 1
    return {draw(st.sampled_from(["minimize", "maximize"])): objective, "constraints": constraints}


@given(programs(), st.sampled_from(["auto", "slack"]), st.sampled_from(["auto", "standard"]))
@settings(deadline=None, max_examples=150)
def test_the_lowest_cost_is_that_of_a_best_feasible_assignment(program: Program, inequalities: str, mixer: str) -> None:
    best = best_value(program)
    run = prepared(program, layers=1, inequalities=inequalities, mixer=mixer)
    problem, count = run.problem, run.problem.num_variables
    costs = problem.cost.all_energies()
    rows = all_bits(problem.num_qubits)[costs <= costs.min() + 1e-9 * abs(costs).max()][:, :count]
    assert all(met.all() for met in met_by(program, rows).values())
    assert values_of(program, rows) == pytest.approx(best)
    assert run.facts.exact() == pytest.approx(best)
    assert problem.cost.energies(problem.completed(rows[:1]))[0] == pytest.approx(costs.min())


@given(st.lists(st.integers(-4, 5), min_size=1, max_size=5), st.integers(-8, 12), st.sampled_from(["<=", "=", ">="]))
def test_a_violation_is_zero_with_the_best_slack_bits_exactly_where_the_constraint_holds(
    values: list[int], bound: int, sense: str
) -> None:
    count = len(values)
    linear = Linear.of("c", list(enumerate(map(float, values))), *limits_of(sense, float(bound)))
    low, high = linear.limits
    if low > high:
        return
    (constraint,) = penalized([linear], count)
    bits = all_bits(constraint.violation.num_variables)
    violations = constraint.violation.energies(bits).reshape(-1, 2**count).min(axis=0)  # over the slack bits
    holds = met_by(
        {
            "minimize": {f"{i}": 1 for i in range(count)},
            "constraints": {"c": ({f"{i}": value for i, value in enumerate(values)}, sense, bound)},
        },
        all_bits(count),
    )["c"]
    assert (constraint.is_met(all_bits(count)) == holds).all()
    assert (constraint.is_met_by_all(count) == holds).all()
    assert violations[holds] == pytest.approx(0.0, abs=1e-9)
    assert (violations[~holds] >= 1.0 - 1e-9).all()
    assert len(constraint.slack) <= math.ceil(math.log2(high - low + 1))


def test_constraints_of_pairs_take_no_slack_bits() -> None:
    rules = [
        ({"a": 1, "b": 1}, "<="),
        ({"a": 1, "b": -1}, "<="),
        ({"a": 1, "b": 1}, ">="),
        ({"a": 1, "b": 1, "c": 1}, "<="),
    ]
    for coefficients, sense in rules:
        bound = 0 if -1 in coefficients.values() else 1
        program = {"minimize": {"a": 1, "b": 1, "c": 1}, "constraints": {"c": (coefficients, sense, bound)}}
        assert problem_of(program).num_qubits == 3


@pytest.mark.parametrize("layers", [1, 2])
def test_the_mixer_of_several_groups_keeps_each_and_mixes_the_rest(layers: int) -> None:
    program = {
        "minimize": {("a", "d"): 2.0, "b": -1.0, ("c", "f"): 1.5, "g": 0.5, ("e", "g"): -0.7},
        "constraints": {"abc": ({"a": 1, "b": 1, "c": 1}, "=", 1), "def": ({"d": 2, "e": 2, "f": 2}, "=", 4)},
    }
    problem = problem_of(program)
    ansatz = qaoa_circuit(problem, layers=layers, mixer=Mixer.XY)
    assert ansatz.num_states == 3 * 3 * 2
    point = np.random.default_rng(layers).uniform(-1.0, 1.0, 2 * layers)
    state = Statevector(ansatz.circuit.assign_parameters(point))
    chances = np.abs(state.data) ** 2
    assert chances[~problem.all_feasible()] == pytest.approx(0.0, abs=1e-12)
    simulation = QaoaSimulation.of(ansatz.cost, ansatz.groups, None)
    assert simulation.energy(point) == pytest.approx(state.expectation_value(ansatz.cost.operator()).real)
    start = Statevector(ansatz.circuit.assign_parameters(np.zeros(2 * layers)))
    assert random_mean(ansatz) == pytest.approx(start.expectation_value(ansatz.cost.operator()).real)


def test_a_tour_of_five_cities_is_simulated_in_its_own_space() -> None:
    names = [(city, time) for city in range(5) for time in range(5)]
    constraints = {f"time {t}": ({f"{c}{t}": 1 for c in range(5)}, "=", 1) for t in range(5)}
    constraints |= {f"city {c}": ({f"{c}{t}": 1 for t in range(5)}, "=", 1) for c in range(5)}
    run = prepared({"minimize": {f"{c}{t}": c * t for c, t in names}, "constraints": constraints}, layers=1)
    assert run.choices["constraints"].startswith("5 constraints by the xy mixer, ")
    assert run.facts.exact() == pytest.approx(sum(c * t for c, t in zip(range(5), (4, 3, 2, 1, 0), strict=True)))


def test_all_ways_of_writing_a_program_are_one() -> None:
    text = "Maximize\n p: 3 a + 4 b + [ 2 a * b ] / 2\nSubject To\n one: 2 a + 3 b <= 4\nBinary\n a b\nEnd\n"
    model = dimod.ConstrainedQuadraticModel()
    a, b = dimod.Binary("a"), dimod.Binary("b")
    model.set_objective(-3 * a - 4 * b - a * b)
    model.add_constraint(2 * a + 3 * b - 1 <= 3, label="one")
    program = QuadraticProgram("mine")
    for name in "ab":
        program.binary_var(name)
    program.maximize(linear={"a": 3, "b": 4}, quadratic={("a", "b"): 1})
    program.linear_constraint({"a": 2, "b": 3}, "<=", 4, "one")
    rows = {"terms": [["a", 3], ["b", 4], ["a", "b", 1]], "variables": ["a", "b"]}
    pairs = {"terms": [["a", "a", 3], ["b", "b", 4], ["a", "b", 1]], "variables": ["a", "b"]}
    one = {"name": "one", "terms": [["a", 2], ["b", 3]], "sense": "<=", "bound": 4}
    problems = [
        problem_of(SOME),
        read_binary_problem(text, "lp"),
        problem_of(program),
        read_binary_problem(json.dumps({"polynomial": rows, "maximize": True, "constraints": [one]}), "json"),
        read_binary_problem(json.dumps({"qubo": pairs, "maximize": True, "constraints": [one]}), "json"),
        problem_of(model),
    ]
    for problem in problems:
        assert problem.labels == ("a", "b")
        assert [each.description for each in problem.constraints] == ["one"]
        values = problem.sign * problem.objective.all_energies()
        assert values == pytest.approx([0.0, -3.0, -4.0, -8.0])
        assert problem.all_feasible().tolist() == [True, True, True, False]


def test_a_one_hot_group_is_an_equation() -> None:
    text = {"polynomial": {"variables": 3, "terms": [[0, 1.0]]}, "constraints": [{"one_hot": [0, 1, 2]}]}
    problem = read_binary_problem(json.dumps(text), "json")
    assert [each.description for each in problem.constraints] == ["constraint 1"]
    assert problem.all_feasible().tolist() == [bits.bit_count() == 1 for bits in range(8)]


def test_an_objective_may_be_left_out() -> None:
    run = prepared({"minimize": {}, "constraints": TWELVE["a colouring of 4"]["constraints"]})
    outcome, _ = measured(run)
    assert (outcome.best_value, outcome.optimum) == (0.0, (0.0, 0.0))
    assert known(outcome.feasible_share) > 0.2


def test_decimals_are_whole_numbers_of_their_unit_and_other_numbers_have_no_slack_bits() -> None:
    decimal = Linear.of("c", [(0, 0.1), (1, 0.25)], -math.inf, 0.3)
    assert (decimal.coefficients, decimal.most, decimal.is_whole) == (((0, 2.0), (1, 5.0)), 6.0, True)
    odd = Linear.of("c", [(0, math.pi), (1, math.e), (2, 1.0)], -math.inf, 4.0)
    assert (odd.is_whole, odd.slack()) == (False, None)
    program = {
        "maximize": {"a": 2, "b": 2, "c": 1},
        "constraints": {"c": ({"a": math.pi, "b": math.e, "c": 1.0}, "<=", 4.0)},
    }
    with pytest.raises(InputError, match="inequalities: c has coefficients that are no whole numbers"):
        prepared(program, inequalities="slack")
    assert prepared(program).facts.exact() == best_value(program)


def test_a_penalty_that_is_not_shown_to_be_safe_says_so() -> None:
    program = knapsack(24, 4)
    for inequalities, reason in (
        ("unbalanced", "none is shown to be large enough"),
        ("auto", "no two assignments differ"),
    ):
        run = prepared(program, layers=1, inequalities=inequalities)
        assert run.problem.penalty_reason.startswith(reason)
    assert "no other penalty is known to be safe" in run.choices["constraints"]


def test_slack_bits_that_do_not_fit_a_target_are_refused_with_the_way_out() -> None:
    program = knapsack(33, 4)
    with pytest.raises(InputError, match=r"inequalities: 33 variables fit .* and 7 slack bits do not"):
        prepared(program, layers=1, target="ionq.qpu.forte-1")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ({"minimize": {"a": 1}, "constraints": {"c": ({"a": 1, "b": 1}, ">=", 3)}}, "no assignment meets c, whose sum"),
        ({"minimize": {"a": 1}, "constraints": {"c": ({"a": 2, "b": 2}, "=", 3)}}, "no assignment meets c"),
        (
            {"minimize": {"a": 1}, "constraints": {"c": ({"a": 1, "b": 1}, "=", 1), "d": ({"a": 1, "b": 1}, ">=", 2)}},
            "no assignment meets all constraints",
        ),
        ({"minimize": {"a": 1}, "constraints": {"c": ({"a": 1}, "<", 3)}}, "c is no constraint"),
        ({"minimize": {"a": 1}, "constraints": {"c": ({"a": "x"}, "<=", 3)}}, "c is no constraint"),
        ({"minimize": {"a": 1}, "limits": {}}, "there is no key 'limits'"),
        ({"maximize": {"a": 1}, "minimize": {"a": 1}}, "there is no key 'minimize'"),
    ],
)
def test_what_can_not_be_met_or_read_is_refused(program: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepared(program)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([], "is no object"),
        ({"terms": [["a", 1]], "sense": "<=", "bound": "4"}, "has no sense and bound"),
        ({"terms": [["a", 1]], "sense": "!=", "bound": 4}, "has no sense and bound"),
        ({"terms": [["q", 1]], "sense": "<=", "bound": 4}, "names no variable"),
        ({"terms": [["a", "b", 1]], "sense": "<=", "bound": 4}, "a product of 2 variables"),
        ({"terms": [["a", 1]], "sense": "<=", "bound": 4, "weight": 1}, "there is no key 'weight'"),
        ({"one_hot": 3}, "entry of 'one_hot'"),
        ({"one_hot": ["a", "b"], "name": ""}, "has the name ''"),
    ],
)
def test_a_malformed_constraint_is_refused(row: Any, message: str) -> None:
    text = {"polynomial": {"variables": ["a", "b"], "terms": [["a", 1.0]]}, "constraints": [row]}
    with pytest.raises(InputError, match=message):
        read_binary_problem(json.dumps(text), "json")


def test_models_with_more_than_bits_and_linear_constraints_are_refused() -> None:
    numbers, soft, squared = (dimod.ConstrainedQuadraticModel() for _ in range(3))
    a, b, number = dimod.Binary("a"), dimod.Binary("b"), dimod.Real("n", upper_bound=3)
    numbers.set_objective(a + number)
    soft.set_objective(a + b)
    soft.add_constraint(a + b <= 1, label="c", weight=2.0)
    squared.set_objective(a + b)
    squared.add_constraint(a * b <= 0, label="c")
    for model, message in ((numbers, "the variable n is real"), (soft, "c is soft"), (squared, "c is quadratic")):
        with pytest.raises(InputError, match=message):
            problem_from_object(model)
    whole, quadratic = QuadraticProgram(), QuadraticProgram()
    whole.continuous_var(0, 3, "n")
    for name in "ab":
        quadratic.binary_var(name)
    quadratic.quadratic_constraint(quadratic={("a", "b"): 1}, sense="<=", rhs=0, name="c")
    for program, message in ((whole, "the variable n is continuous"), (quadratic, "c is quadratic")):
        with pytest.raises(InputError, match=message):
            problem_from_object(program)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Maximize\n 3 a + 4 b\nSubject To\n a + b <= 1\nEnd\n", "the variable a is real"),
        ("Maximize\n 3 a + + 4 b x\nSubject To\n a + b <= q\nBinary\n a b\nEnd\n", "dimod can't read this LP"),
    ],
)
def test_a_program_in_lp_format_with_other_variables_or_mistakes_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_binary_problem(text, "lp")


def test_a_solver_finds_the_optimum_of_a_program_that_is_too_large_to_enumerate() -> None:
    program = knapsack(26, 9)
    problem = problem_of(program)
    weights, _, capacity = program["constraints"]["capacity"]
    reached = {0: 0}  # the best value of each weight, by dynamic programming
    for name, value in program["maximize"].items():
        for weight, total in sorted(reached.items(), reverse=True):
            if weight + weights[name] <= capacity:
                reached[weight + weights[name]] = max(reached.get(weight + weights[name], 0), total + value)
    assert problem.optimum.is_exact
    assert problem.optimum.found == pytest.approx(max(reached.values()))


def test_unbalanced_penalties_leave_over_what_is_stated() -> None:
    linear = Linear.of("c", [(number, 1.0) for number in range(6)], -math.inf, 3.0)
    (constraint,) = penalized([linear], 6, Inequalities.UNBALANCED, 1.0)
    values = constraint.violation.all_energies()
    ones = np.bitwise_count(np.arange(64))
    assert values == pytest.approx((3.0 - ones - 1.0) ** 2)
    objective = ising_from_bits(6, [({number: True}, 1.0) for number in range(6)])
    assert constrained(objective, [linear]).num_qubits == 8


def test_the_shares_of_an_extended_run_are_those_of_what_was_measured_before() -> None:
    run, before = prepared(SOME), shot_rounds(5)
    first = run.run(before)

    class Extended:
        def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
            raise AssertionError("nothing is left to measure")

        def left(self, pubs: Sequence[SamplerPub], /) -> list[list[MeasuredPub]]:
            return [shot_rounds(5)([SamplerPub.coerce((pub.circuit, pub.parameter_values, 1000)) for pub in pubs])]

    again = prepared(SOME).run(Extended())
    assert again.feasible_share == first.feasible_share
    assert again.constraints == first.constraints
