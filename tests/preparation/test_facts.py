"""Facts shown by an algorithm of its value: a claim needs a bound, which no state far above the ground state meets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize

from hybridloop.algorithms.adapt.growth import adapt
from hybridloop.algorithms.adapt.result import DEFAULT_TOLERANCE, AdaptResult, judged
from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits import statevector
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.diagnostics import QuantumNumbers
from hybridloop.algorithms.facts import GROUND_TOLERANCE, TOO_LARGE, examine, lowest_of, what_reaches_further
from hybridloop.algorithms.optimizers.base import Stop
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.outcome import Fact, Kind, Outcome
from hybridloop.algorithms.problems.electronic import electronic_problem
from hybridloop.algorithms.search import Search
from hybridloop.descriptions.adapt import AdaptSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.preparation.adapt import PreparedAdapt
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.preparation.test_adapt_claims import SYSTEMS
from tests.preparation.test_pauli_sums import CHAIN
from tests.preparation.test_spin_and_stability import molecule_of, problem
from tests.preparation_helpers import prepare_adapt, prepare_vqe
from tests.spin_models import chain, pauli_text, spin_model
from tests.value_helpers import known

MET = Stop(converged=True, reason="met")


def measured(text: ProblemText, seed: int = 0, settings: VqeSettings | None = None) -> tuple[PreparedVqe, Outcome]:
    prepared = prepare_vqe(text, settings or VqeSettings(ansatz="uccsd"), seed)
    return prepared, prepared.measure(shot_rounds(seed), lambda _: None)


def facts_of(outcome: Outcome) -> dict[str, Fact]:
    return {fact.name: fact for fact in outcome.facts}


def examined(prepared: PreparedVqe, excesses: Sequence[float]) -> list[tuple[Fact, ...]]:
    """Return what is shown of points near the minimum, whose simulated energies are that far above the exact one."""
    exact, start, claims = prepared.facts.exact(), prepared.ansatz.initial_point, prepared.claims

    def energy(point: NDArray[np.float64]) -> float:
        found = known(claims.energy_at(point))
        return found - known(exact)

    lowest, direction = minimize(energy, start).x, np.random.default_rng(3).normal(size=len(start))
    found = []
    for excess in excesses:
        step = next(step for step in np.linspace(0.001, 2.0, 2000) if energy(lowest + step * direction) > excess)
        length = brentq(lambda t, wanted: energy(lowest + t * direction) - wanted, 0.0, step, args=(excess,))
        point = lowest + float(length) * direction
        found.append(claims.examined(point, claims.excess(claims.energy_at(point)), MET)[0])
    return found


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (problem("NaH_4.5"), VqeSettings()),
        (problem("BH_1.23_fc"), VqeSettings()),
        (problem("H2_1.4"), VqeSettings(ansatz="hardware-efficient", layers=2)),
        (pauli_text(CHAIN), VqeSettings()),
        (pauli_text(spin_model(5, chain(5), {"ZZ": -1.0}, "X")), VqeSettings()),
    ],
    ids=["two electrons", "weakly correlated", "layers", "chain", "ising"],
)
def test_a_state_above_the_tolerance_shows_nothing(text: ProblemText, settings: VqeSettings) -> None:
    prepared = prepare_vqe(text, settings, 0)
    tolerance = known(GROUND_TOLERANCE if prepared.facts.unit else prepared.search.tolerance)
    below, *above = examined(prepared, [tolerances * tolerance for tolerances in (0.9, 3, 10, 30)])
    assert [fact.shown for fact in below] == [True, True]
    for found in above:
        assert [(fact.shown, fact.kind) for fact in found] == [(True, Kind.ESTIMATED), (False, Kind.BOUNDED)]
        assert found[1].reason.startswith("above the ground state: ")


@pytest.fixture(scope="module")
def grown() -> tuple[PreparedAdapt, AdaptResult]:
    def search(ansatz: Ansatz) -> Search:
        return Search(Rotosolve(ansatz.initial_point, ansatz.frequencies))

    prepared = prepare_adapt(problem("LiH_4.3"), AdaptSettings(), 0)
    return prepared, adapt(prepared.pool, search, shot_rounds(0))


@pytest.mark.parametrize(("tolerances", "shown"), [(0, True), (3, False), (10, False), (30, False)])
def test_a_grown_circuit_above_the_tolerance_shows_nothing(
    grown: tuple[PreparedAdapt, AdaptResult],
    tolerances: int,
    shown: bool,  # noqa: FBT001
) -> None:
    prepared, result = grown
    circuit = known(prepared.pool.simulation([step.index for step in result.operators]))
    found = np.array(result.parameters)
    energies = [circuit.energy(found + step) - circuit.energy(found) for step in np.linspace(0.0, 0.5, 501)]
    step = 1e-3 * int(np.searchsorted(energies, tolerances * DEFAULT_TOLERANCE))
    moved = replace(result, parameters=tuple((found + step).tolist()), converged=True, warnings=())
    state = QuantumNumbers(None, None, ())
    again = judged(moved, prepared.pool, state, prepared.facts.exact, prepared.sampling.precision)
    _, ground = again.facts
    assert (ground.shown, ground.kind) == (shown, Kind.BOUNDED)
    assert any(doubt.startswith("above the ground state: ") for doubt in again.warnings) != shown


def test_a_circuit_too_large_to_simulate_is_not_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statevector, "MAX_OPERATIONS", 0)
    monkeypatch.setattr("hybridloop.algorithms.vqe.claims.MAX_EXACT_QUBITS", 1)
    _, outcome = measured(problem("H2_1.4"))
    fact = facts_of(outcome)["ground_state"]
    assert (outcome.converged, fact.shown, fact.kind) == (False, None, Kind.NOT_EXAMINED)
    assert outcome.reason.startswith("not examined; ")


def test_only_what_was_examined_is_shown() -> None:
    with pytest.raises(ValueError, match="only what was examined"):
        Fact("ground_state", shown=True, reason="", kind=Kind.NOT_EXAMINED)


@pytest.mark.parametrize(
    ("excess", "shown", "says"),
    [
        (None, None, TOO_LARGE),
        (1e-12, True, "is 0 mHa above the exact lowest energy"),
        (0.7e-3, True, "0.70 mHa above the exact lowest energy"),
        (1.0e-3, False, "1.0 mHa above the exact lowest energy. Do this."),
        (-1.0e-3, False, "other electrons: the circuit's simulated state at these angles is 1.0 mHa below"),
    ],
)
def test_a_state_is_judged_by_its_distance_to_the_exact_energy(
    excess: float | None,
    shown: bool | None,  # noqa: FBT001
    says: str,
) -> None:
    (local, ground), doubts = examine(MET, excess, GROUND_TOLERANCE, unit="hartree", remedy=lambda: "Do this.")
    assert (local.shown, ground.shown) == (True, shown)
    assert says in ground.reason
    assert [str(doubt) for doubt in doubts] == ([] if shown else [ground.reason])


def test_the_interval_holds_what_the_circuit_is_known_to_miss() -> None:
    for seed in range(5):
        prepared, outcome = measured(problem("H4_1.8"), seed)
        exact = known(prepared.facts.exact())
        assert known(outcome.interval95)[0] - outcome.standard_error < exact < known(outcome.interval95)[1]
        claims = prepared.claims
        assert outcome.residue == pytest.approx(claims.excess(claims.energy_at(np.array(outcome.parameters))))


@pytest.mark.parametrize("name", ["H4_1.8", "HF+ 1.6 doublet"])
def test_the_lowest_energy_of_too_many_determinants_is_that_of_all_symmetries(name: str) -> None:
    text = problem(name) if name == "H4_1.8" else ProblemText(name=name, text=SYSTEMS[name]["text"])
    prepared = prepare_vqe(text, VqeSettings(ansatz="uccsd", orbitals="given"), 0)
    simulation = known(prepared.claims.simulation)
    lowest = lowest_of(None, simulation)
    assert lowest == pytest.approx(prepared.facts.exact(), abs=1e-7)
    assert (simulation.lowest_reached > known(lowest) + 1e-3) == name.startswith("HF+")


def test_two_electrons_reach_the_ground_state() -> None:
    _, outcome = measured(problem("NaH_4.5"))
    facts = facts_of(outcome)
    assert outcome.converged
    assert [facts[name].shown for name in ("locally_optimal", "ground_state")] == [True, True]
    assert outcome.rounds == 2


def test_a_circuit_that_misses_the_state_is_not_converged_and_nothing_is_spent_to_show_it() -> None:
    prepared, outcome = measured(problem("H4_1.8"))  # UCCSD ends 3.25 mHa above the exact energy
    exact = known(prepared.facts.exact())
    assert outcome.value - exact > 1.6e-3
    fact = facts_of(outcome)["ground_state"]
    assert (outcome.converged, fact.shown) == (False, False)
    # the same rounds and shots as where no lowest energy is known: how many there are depends on the draw
    unknown = replace(prepared, claims=replace(prepared.claims, exact=lambda: None, simulation=None))
    unaware = unknown.measure(shot_rounds(0), lambda _: None)
    assert facts_of(unaware)["ground_state"].shown is None
    assert outcome.history == unaware.history
    assert {progress.phase for progress in outcome.history} == {"final"}
    assert re.search("is 3.[23] mHa above the exact lowest energy", fact.reason)
    assert "Run levels: it measures all 36 determinants" in fact.reason
    assert outcome.reason.startswith("above the ground state; ")


def test_levels_are_named_only_where_they_take_all_determinants() -> None:
    water, chain = (electronic_problem(molecule_of(name), FermionMapping.PARITY) for name in ("H2O_0.9572", "H4_1.8"))
    assert what_reaches_further(water).startswith("Adapt, which adds operators as needed")
    assert what_reaches_further(chain).startswith("Run levels: it measures all 36 determinants")


def test_a_saddle_is_no_minimum_with_another_optimizer_either() -> None:
    prepared = prepare_vqe(problem("NaH_4.5"), VqeSettings(ansatz="uccsd", optimizer="scipy:l-bfgs-b"), 0)
    outcome = prepared.measure(noiseless_rounds(), lambda _: None)  # noise would leave it
    exact = known(prepared.facts.exact())
    assert outcome.value - exact > 0.05
    assert not outcome.converged
    assert facts_of(outcome)["ground_state"].shown is False


def test_the_parameters_of_a_result_are_an_initial_point() -> None:
    prepared, outcome = measured(problem("NaH_4.5"))
    again = prepare_vqe(problem("NaH_4.5"), VqeSettings(ansatz="uccsd", initial_point=outcome.parameters), 0)
    assert again.ansatz.initial_point.tolist() == list(outcome.parameters)
    assert again.ansatz.num_parameters == prepared.ansatz.num_parameters == 2


def test_a_circuit_of_layers_that_misses_the_state_is_not_converged() -> None:
    _, outcome = measured(problem("H4_1.5"), settings=VqeSettings(ansatz="hardware-efficient", layers=1, shots=200))
    assert not outcome.converged
    local, outside = outcome.facts
    assert (local.name, outside.name) == ("locally_optimal", "ground_state")
    assert outside.shown is False
    assert "above the exact lowest energy" in outside.reason


def test_a_circuit_of_layers_that_holds_the_state_shows_it() -> None:
    prepared, outcome = measured(problem("H2_1.4"), 1, VqeSettings(ansatz="hardware-efficient", optimizer="rotosolve"))
    exact = known(prepared.facts.exact())
    assert outcome.converged
    assert [fact.shown for fact in outcome.facts] == [True, True]
    assert abs(outcome.value - exact) < 1.6e-3 + 4.0 * outcome.standard_error


@pytest.mark.parametrize("seed", [0, 1])
def test_an_eigenstate_of_mixed_spin_is_not_converged(seed: int) -> None:
    # singlet and triplet are 0.05 mHa apart, and the linear algebra of the machine decides which mixture is found
    settings = VqeSettings(ansatz="hardware-efficient", layers=2, optimizer="rotosolve")
    _, outcome = measured(problem("NaH_4.5"), seed, settings)
    is_mixed = known(outcome.spin_squared) > 0.1
    assert outcome.converged == (not is_mixed)
    assert outcome.reason.startswith("spin; ") == is_mixed
    assert [fact.shown for fact in outcome.facts] == [True, True]
