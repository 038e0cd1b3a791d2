"""Claims of ADAPT-VQE: its final circuit is simulated, and a state that it misses is no convergence."""

from __future__ import annotations

import json

import pytest

from hybridloop.settings import AdaptSettings, ProblemText
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.paths import ROOT
from tests.preparation_helpers import prepare_adapt

SYSTEMS = json.loads((ROOT / "tests" / "data" / "away_from_equilibrium.json").read_text())["systems"]


@pytest.mark.parametrize(
    ("name", "doubt"), [("HF+ 1.6 doublet", "another symmetry"), ("BeH2 2.5", "operators missing"), ("LiH 3.0", None)]
)
def test_a_state_that_the_final_circuit_misses_is_no_convergence(name: str, doubt: str | None) -> None:
    prepared = prepare_adapt(ProblemText(name=name, text=SYSTEMS[name]["text"]), AdaptSettings(), 0)
    outcome = prepared.measure(shot_rounds(0), lambda _: None)
    exact = prepared.facts.exact()
    assert exact is not None
    assert outcome.converged == (doubt is None)
    if doubt is None:
        assert outcome.value == pytest.approx(exact, abs=1.6e-3 + 4.0 * outcome.standard_error)
    else:
        assert outcome.value - exact > 1.6e-3
        assert outcome.reason.startswith(f"{doubt}; ")
