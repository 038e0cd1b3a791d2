"""Facts shown by a VQE of its value: a minimum of the circuit, and no gain left for operators outside it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from hybridloop.algorithms.diagnostics import COMPARE_WITH_ADAPT
from hybridloop.algorithms.facts import MISSING_TOLERANCE, examine_by_bound, examine_large_circuit, what_reaches_further
from hybridloop.algorithms.optimizers.base import Stop
from hybridloop.algorithms.outcome import Fact, Outcome
from hybridloop.algorithms.outside_operators import generalized_excitations, measure_outside_gain
from hybridloop.algorithms.problems.electronic import ElectronicProblem, FermionMapping, electronic_problem
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.preparation.test_spin_and_stability import molecule_of, problem
from tests.preparation_helpers import prepare_vqe


def measured(text: ProblemText, seed: int = 0, settings: VqeSettings | None = None) -> tuple[PreparedVqe, Outcome]:
    prepared = prepare_vqe(text, settings or VqeSettings(), seed)
    return prepared, prepared.measure(shot_rounds(seed), lambda _: None)


def facts_of(outcome: Outcome) -> dict[str, Fact]:
    return {fact.name: fact for fact in outcome.facts}


def test_two_electrons_need_no_operator_outside() -> None:
    _, outcome = measured(problem("NaH_4.5"))
    facts = facts_of(outcome)
    assert outcome.converged
    assert [facts[name].shown for name in ("locally_optimal", "no_operator_outside")] == [True, True]
    assert "the simulated one, within 1.6 mHa, softest curvature" in facts["locally_optimal"].reason
    assert outcome.rounds == 1


def test_a_circuit_that_misses_the_state_is_not_converged_and_nothing_is_spent_to_show_it() -> None:
    prepared, outcome = measured(problem("H4_1.8"))  # UCCSD ends 3.25 mHa above the exact energy
    exact = prepared.facts.exact()
    assert exact is not None
    assert outcome.value - exact > 1.6e-3
    fact = facts_of(outcome)["no_operator_outside"]
    assert (outcome.converged, fact.shown, outcome.rounds) == (False, False, 2)
    assert re.search("expects the circuit to end 3.[78] mHa above", fact.reason)
    assert "Run levels: it measures all 36 determinants" in fact.reason
    assert outcome.reason.startswith("strongly correlated; ")


def test_levels_are_named_only_where_they_take_all_determinants() -> None:
    water, chain = (electronic_problem(molecule_of(name), FermionMapping.PARITY) for name in ("H2O_0.9572", "H4_1.8"))
    assert what_reaches_further(water) == COMPARE_WITH_ADAPT
    assert what_reaches_further(chain).startswith("Run levels: it measures all 36 determinants")


def test_operators_outside_are_measured_where_the_simulation_expects_no_gain() -> None:
    prepared, outcome = measured(problem("H4_1.5"))
    fact = facts_of(outcome)["no_operator_outside"]
    exact = prepared.facts.exact()
    assert exact is not None
    if fact.shown:
        assert outcome.rounds > 2
        assert abs(outcome.value - exact) < 1.6e-3 + 4.0 * outcome.standard_error
    else:
        assert not outcome.converged


def test_the_measured_gain_is_what_the_operators_gain() -> None:
    prepared = prepare_vqe(problem("H4_1.8"), VqeSettings(), 0)
    simulation, point = prepared.simulation, prepared.ansatz.initial_point
    assert simulation is not None
    assert isinstance(prepared.problem, ElectronicProblem)
    gain = measure_outside_gain(
        prepared.problem, prepared.ansatz, point, simulation, shot_rounds(1), shots=2000, tolerance=0.8e-3
    )
    slopes, curvatures = simulation.appended(point, generalized_excitations(prepared.problem))
    assert gain.gain == pytest.approx(float((slopes**2 / (2.0 * np.maximum(curvatures, 0.2))).sum()), abs=1.5e-3)
    assert 0.0 < gain.noise < 3e-3


def test_a_saddle_is_no_minimum_with_another_optimizer_either() -> None:
    prepared = prepare_vqe(problem("NaH_4.5"), VqeSettings(optimizer="scipy:l-bfgs-b"), 0)
    outcome = prepared.measure(noiseless_rounds(), lambda _: None)  # noise would leave it
    exact = prepared.facts.exact()
    assert exact is not None
    assert outcome.value - exact > 0.05
    fact = facts_of(outcome)["locally_optimal"]
    assert (outcome.converged, fact.shown) == (False, False)
    assert "(simulated)" in fact.reason


def test_the_parameters_of_a_result_are_an_initial_point() -> None:
    prepared, outcome = measured(problem("NaH_4.5"))
    again = prepare_vqe(problem("NaH_4.5"), VqeSettings(initial_point=outcome.parameters), 0)
    assert again.ansatz.initial_point.tolist() == list(outcome.parameters)
    assert again.ansatz.num_parameters == prepared.ansatz.num_parameters == 2


def test_a_circuit_of_layers_that_misses_the_state_is_not_converged() -> None:
    _, outcome = measured(problem("H4_1.5"), settings=VqeSettings(ansatz="hardware-efficient", layers=1, shots=200))
    assert not outcome.converged
    local, outside = outcome.facts
    assert (local.name, outside.name) == ("locally_optimal", "no_operator_outside")
    assert outside.shown is False
    assert "above the lowest eigenvalue" in outside.reason


def test_a_circuit_of_layers_that_holds_the_state_shows_it() -> None:
    prepared, outcome = measured(problem("H2_1.4"), 1, VqeSettings(ansatz="hardware-efficient", optimizer="rotosolve"))
    exact = prepared.facts.exact()
    assert exact is not None
    assert outcome.converged
    assert [fact.shown for fact in outcome.facts] == [True, True]
    assert abs(outcome.value - exact) < 1.6e-3 + 4.0 * outcome.standard_error


@pytest.mark.parametrize("seed", [0, 1])
def test_an_eigenstate_of_mixed_spin_is_not_converged(seed: int) -> None:
    # singlet and triplet are 0.05 mHa apart, and the linear algebra of the machine decides which mixture is found
    settings = VqeSettings(ansatz="hardware-efficient", layers=2, optimizer="rotosolve")
    _, outcome = measured(problem("NaH_4.5"), seed, settings)
    assert outcome.spin_squared is not None
    is_mixed = outcome.spin_squared > 0.1
    assert outcome.converged == (not is_mixed)
    assert outcome.reason.startswith("spin; ") == is_mixed
    assert [fact.shown for fact in outcome.facts] == [True, True]


@pytest.mark.parametrize(("angles", "shown"), [([0.05] * 8, True), ([0.3] * 8, False)], ids=["weak", "strong"])
def test_a_circuit_too_large_to_simulate_is_judged_by_its_angles(angles: list[float], shown: bool) -> None:  # noqa: FBT001
    molecule = prepare_vqe(problem("H4_1.5"), VqeSettings(), 0).problem
    assert isinstance(molecule, ElectronicProblem)
    local, outside = examine_large_circuit(molecule.molecule, np.array(angles), Stop(converged=True, reason="met"))
    assert (local.shown, outside.shown) == (True, shown)


@pytest.mark.parametrize(
    ("missing", "shown"), [(None, None), (0.4e-3, True), (0.6e-3, False)], ids=["unknown", "little", "much"]
)
def test_only_what_a_simulation_examined_is_shown(missing: float | None, shown: bool | None) -> None:  # noqa: FBT001
    local, outside = examine_by_bound(Stop(converged=True, reason="met"), missing, MISSING_TOLERANCE, "hartree")
    assert (local.shown, outside.shown) == (True, shown)
