"""Claims of energies that are extrapolated to zero noise, at four levels of noise; the interval where one is given."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from hybridloop.algorithms.outcome import Outcome
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.emulator.simulation.noise import noise_models
from hybridloop.settings import MitigationName, ProblemText
from tests.algorithms.noisy_state_helpers import NoisySimulator
from tests.preparation_helpers import prepare_vqe
from tests.spin_models import chain, pauli_text, spin_model
from tests.value_helpers import known

ISING = spin_model(4, chain(4), {"ZZ": 1.0}, "X")  # 12 gates on two qubits
LEVELS = {name: noise_models()[name].two_qubit for name in ("quantinuum-helios", "quantinuum-h2", "aria-1")}


@cache
def simulator(two_qubit: float) -> NoisySimulator:
    return NoisySimulator(two_qubit, (0.002, 0.002))


def run(two_qubit: float, precision: float, seed: int) -> tuple[Outcome, float]:
    """Return the outcome of four spins on a machine, and the exact energy."""
    mitigation = (MitigationName.READOUT, MitigationName.ZNE_LINEAR)
    settings = VqeSettings(mitigation=mitigation, precision=precision, target="quantinuum.sim.h2-1e")
    prepared = prepare_vqe(pauli_text(ISING), settings, seed)
    exact = prepared.facts.exact()
    return prepared.measure(simulator(two_qubit).sampled(np.random.default_rng(seed)), lambda _: None), known(exact)


@pytest.mark.parametrize(
    ("two_qubit", "precision", "says"),
    [
        (LEVELS["quantinuum-helios"], 0.02, ""),
        (LEVELS["quantinuum-h2"], 0.03, ""),
        (LEVELS["aria-1"], 0.02, "uncertain extrapolation"),
        (0.1, 0.02, "too noisy to extrapolate"),
        pytest.param(LEVELS["quantinuum-h2"], 0.0025, "uncertain extrapolation", marks=pytest.mark.slow),
        pytest.param(0.02, 0.02, "uncertain extrapolation", marks=pytest.mark.slow),
    ],
)
def test_a_claim_has_an_interval_of_three_precisions_that_holds(two_qubit: float, precision: float, says: str) -> None:
    found = [run(two_qubit, precision, seed) for seed in range(4)]
    claims = [outcome for outcome, _ in found if outcome.converged]
    assert len(claims) == 0 if says else len(claims) >= 3
    for outcome, exact in found:
        if outcome.interval95 is None:  # nothing holds the error
            assert outcome.reason.startswith("too noisy to extrapolate")
            continue
        low, high = outcome.interval95
        assert low <= exact <= high
        assert (high - low) / 2.0 <= 3.0 * precision or not outcome.converged
        assert outcome.reason.startswith(says) or outcome.reason.startswith("unlike the simulation")
        assert {round_.phase for round_ in outcome.history} == {"final"}  # no search on the noisy surface
        assert not outcome.converged or abs(outcome.value - exact) <= 4.0 * outcome.standard_error


def test_a_value_that_is_too_noisy_has_the_raw_one_beside_it_and_no_interval() -> None:
    outcome, exact = run(0.1, 0.02, 0)
    (warning,) = outcome.warnings
    raw = float(warning.split("Without extrapolation the value is ")[1].split(" ±")[0])
    assert exact < outcome.value < raw < 0.0
    assert outcome.interval95 is None
    assert run(0.02, 0.02, 0)[0].interval95 is not None


def test_no_interval_knows_the_simulated_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A circuit that can't be simulated has the same value and interval, but for what the circuit itself lacks."""
    simulated = run(LEVELS["aria-1"], 0.02, 0)[0]
    monkeypatch.setattr("hybridloop.algorithms.vqe.claims.StateClaims.energy_at", lambda *_: None)
    blind = run(LEVELS["aria-1"], 0.02, 0)[0]
    assert blind.value == simulated.value
    assert known(blind.interval95)[1] == known(simulated.interval95)[1]
    amounts = [{each.source: each.amount for each in outcome.error_budget} for outcome in (blind, simulated)]
    del amounts[0]["search residue"], amounts[1]["search residue"]
    assert amounts[0] == amounts[1]


def test_without_any_mitigation_no_outcome_of_a_circuit_of_pairs_is_discarded() -> None:
    machine, found = NoisySimulator(0.01, (0.002, 0.002)), {}
    for name, chosen in (("default", None), ("none", (MitigationName.NONE,))):
        settings = VqeSettings(mitigation=chosen, precision=0.002, target="quantinuum.sim.h2-1e")
        prepared = prepare_vqe(ProblemText(name="lih-frozen-core"), settings, 0)
        assert prepared.ansatz.name == "puccd"
        outcome = prepared.measure(machine.sampled(np.random.default_rng(0)), lambda _: None)
        found[name] = outcome.value - known(prepared.facts.exact())
        assert any("pairs" in str(fact) for fact in outcome.facts) == (name == "default")
    assert 2.0 * found["default"] < found["none"]
