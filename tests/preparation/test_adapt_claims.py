"""Claims of ADAPT-VQE: its final circuit is simulated, and a state that it misses is no convergence."""

from __future__ import annotations

import json

import pytest

from hybridloop.algorithms.circuits import statevector
from hybridloop.algorithms.outcome import Kind
from hybridloop.descriptions.adapt import AdaptSettings
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.paths import ROOT
from tests.preparation_helpers import prepare_adapt

SYSTEMS = json.loads((ROOT / "tests" / "data" / "away_from_equilibrium.json").read_text())["systems"]


@pytest.mark.parametrize(
    ("name", "settings", "doubt"),
    [
        ("HF+ 1.6 doublet", AdaptSettings(orbitals="given"), "A state of another symmetry"),
        ("BeH2 2.5", AdaptSettings(orbitals="given", tolerance=0.02), "Lower the tolerance"),
        ("BeH2 2.5", AdaptSettings(orbitals="given"), None),
        ("LiH 3.0", AdaptSettings(orbitals="given"), None),
    ],
)
def test_a_state_that_the_final_circuit_misses_is_no_convergence(
    name: str, settings: AdaptSettings, doubt: str | None
) -> None:
    prepared = prepare_adapt(ProblemText(name=name, text=SYSTEMS[name]["text"]), settings, 0)
    outcome = prepared.measure(shot_rounds(0), lambda _: None)
    exact = prepared.facts.exact()
    assert exact is not None
    assert outcome.converged == (doubt is None)
    if doubt is None:
        # the gradients of BeH2 are small on the way
        assert any(row["selected_by_simulation"] for row in outcome.table) == (name == "BeH2 2.5")
        assert outcome.value == pytest.approx(exact, abs=1.6e-3 + 4.0 * outcome.standard_error)
    else:
        assert outcome.value - exact > 1.6e-3
        assert outcome.reason.startswith("above the ground state; ")
        assert doubt in outcome.warnings[-1]


def test_a_circuit_too_large_to_be_simulated_is_not_converged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statevector, "MAX_OPERATIONS", 0)
    text = ProblemText(name="NaH 4.5", text=SYSTEMS["NaH 4.5"]["text"])
    outcome = prepare_adapt(text, AdaptSettings(orbitals="given"), 0).measure(shot_rounds(0), lambda _: None)
    assert not outcome.converged
    assert any(fact.kind is Kind.NOT_EXAMINED for fact in outcome.facts)
