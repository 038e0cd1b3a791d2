"""Benchmark of the measured search: its cases, its runs, the stored ones of other libraries, and its table."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from benchmarks.loop import BEGIN, GUIDE, QUICK, Run, measured_run, stored_runs, table, with_table
from benchmarks.loop_cases import NAMES, NOISY, loop_case
from benchmarks.loop_peers import CONTENDERS, shift_rule, supports
from hybridloop.algorithms.estimation.estimates import Estimate, evaluation
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.algorithms.noisy_state_helpers import NoisySimulator


def test_the_search_of_a_quick_case_reaches_its_target_and_claims_it_rightly() -> None:
    run = measured_run(loop_case(QUICK[0]), 0)
    assert run.reached is not None
    assert run.is_claimed
    assert run.end <= 1.0
    assert f"| {QUICK[0]} (8) |" in table([run])


def test_every_case_has_stored_runs_of_other_libraries_that_support_it() -> None:
    runs = stored_runs()
    assert {run.case for run in runs} == set(NAMES)
    assert all(supports(run.contender, loop_case(run.case).work()) for run in runs)
    assert {run.contender for run in runs} <= set(CONTENDERS)


def test_the_energies_of_a_case_are_those_of_its_circuit() -> None:
    case = loop_case(QUICK[0])
    state = Statevector(case.ansatz.circuit.assign_parameters(case.ansatz.initial_point))
    expected = float(state.expectation_value(case.measured.operator).real)
    assert case.energies(case.ansatz.initial_point[None, :]) == pytest.approx([expected], abs=1e-10)
    assert case.errors(case.ansatz.initial_point[None, :]) > 1.0


def test_fast_noisy_rounds_have_the_energies_of_a_noisy_simulator() -> None:
    case = loop_case(NOISY)
    points = np.random.default_rng(1).normal(0.0, 0.3, (1, case.ansatz.num_parameters))
    values = []
    for rounds in (NoisySimulator(case.two_qubit_error, (0.0, 0.0)).exact, shot_rounds(1, None, case.two_qubit_error)):
        (estimate,) = evaluation(case.measured, case.ansatz, rounds).energies(points, 10**9)[1]
        assert isinstance(estimate, Estimate)
        values.append(estimate.value)
    assert values[0] == pytest.approx(values[1], abs=2e-4)
    assert values[0] > float(case.energies(points)[0]) + 0.01


@pytest.mark.parametrize("name", ["H3+", "Heisenberg chain of 4"])
def test_the_shift_rule_of_other_libraries_gives_the_slopes(name: str) -> None:
    case = loop_case(name)
    point = np.random.default_rng(1).normal(size=case.ansatz.num_parameters)
    shifts, weights = shift_rule(case.work())
    assert weights @ case.energies(point + shifts) == pytest.approx(case.energy_and_gradient(point)[1], abs=1e-6)


def test_a_table_has_medians_of_the_runs_that_reached_the_target_and_counts_claims() -> None:
    spent = ((10, 1, 1000), (30, 3, 3000), None)
    whole, total = (40, 4, 4000), (42, 6, 9000)
    runs = [Run("H3+", "ours", seed, each, whole, 0.5 + seed, True, total=total) for seed, each in enumerate(spent)]  # noqa: FBT003 (a field)
    lines = table(runs).splitlines()
    assert lines[2] == "| H3+ (8) | 20/2/2.0e3, 2 of 3 | 40/4/4.0e3 | 42/6/9.0e3 |"
    assert lines[-1] == "| ours | 1 | 1 | 1 | 0 |"


def test_a_table_takes_the_place_of_the_guide_s_table() -> None:
    text = with_table(GUIDE.read_text(), "| new |")
    assert with_table(text, "| new |") == text
    assert f"{BEGIN}\n\n| new |\n" in text
