"""Error budget: every source has its amount or says why it has none, and the interval holds them all."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.algorithms.error_budget import error_budget, interval95
from hybridloop.algorithms.estimation.estimates import Z95, Estimate, Extrapolation
from hybridloop.algorithms.outcome import Outcome
from hybridloop.results.answer import summarize
from hybridloop.results.result import RunResult
from hybridloop.results.result_text import answer
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.preparation_helpers import prepared, settings_for
from tests.result_helpers import a_result

SOURCES = ["shot noise", "outcomes not seen", "search residue", "rounding", "extrapolation"]
AMOUNTS = st.floats(0.0, 1.0)


@given(AMOUNTS, AMOUNTS, st.none() | AMOUNTS, st.none() | AMOUNTS)
def test_the_interval_holds_every_amount_and_the_residue_widens_its_lower_end(
    sigma: float, unseen: float, residue: float | None, spread: float | None
) -> None:
    found = None if spread is None else Extrapolation(spread, (-0.9, 0.0), (0.2, 0.0), 0.9, (2.0, 6.0))
    estimate = Estimate(-1.0, sigma**2 + 1.0, 100, extrapolation=found, rare_variance=1.0, unseen=unseen)
    budget = error_budget(estimate, residue)
    assert [source.source for source in budget] == SOURCES
    assert [source.source for source in budget if source.is_one_sided] == ["search residue"]
    low, high = interval95(estimate, budget)
    both = Z95 * estimate.sampled_error + 3.0 * unseen + (spread or 0.0)
    assert estimate.sampled_error == pytest.approx(sigma, abs=1e-7)
    assert high == pytest.approx(-1.0 + both)
    assert low == pytest.approx(-1.0 - both - (residue or 0.0))


def test_a_target_that_does_not_sample_has_its_rounding_in_the_interval() -> None:
    estimate = Estimate(-1.0, 0.0, 100, is_exact=True, rounding_bound=0.01)
    assert interval95(estimate, error_budget(estimate, 0.002)) == pytest.approx((-1.012, -0.99))


def outcome_of(algorithm: str, problem: str, **settings: object) -> Outcome:
    chosen = settings_for(algorithm, settings)
    return prepared(algorithm, ProblemText(name=problem), chosen, 7).run(shot_rounds(7))


@pytest.mark.parametrize(
    ("algorithm", "problem", "residue"),
    [
        ("vqe", "h2", "distance of the circuit's simulated state to the exact energy"),
        ("adapt", "h2", "distance of the circuit's simulated state to the exact energy"),
        ("qaoa", "petersen", "none: the value is that of the circuit at these parameters, and no minimum is claimed"),
        ("rqaoa", "petersen", "none: the value is that of the circuit at these parameters, and no minimum is claimed"),
    ],
)
def test_every_algorithm_names_its_residue_or_says_why_it_has_none(algorithm: str, problem: str, residue: str) -> None:
    outcome = outcome_of(algorithm, problem)
    budget = {source.source: source for source in outcome.error_budget}
    assert list(budget) == SOURCES
    assert budget["search residue"].meaning == residue
    assert (budget["search residue"].amount is None) == residue.startswith("none")
    assert all(source.amount is None or source.amount >= 0.0 for source in budget.values())
    sampled, unseen = (budget[name].amount for name in ("shot noise", "outcomes not seen"))
    assert sampled is not None
    assert unseen == outcome.unseen_bound
    assert outcome.standard_error == pytest.approx(math.hypot(sampled, unseen / 3.0), rel=1e-9)


@pytest.mark.parametrize(
    ("residue", "says"), [(None, "unknown: "), (0.01, "expected gain left and cost of shot noise")]
)
def test_a_search_forecasts_its_residue_or_says_that_it_is_unknown(residue: float | None, says: str) -> None:
    budget = {source.source: source for source in error_budget(Estimate(-1.0, 1e-6, 100), residue)}
    assert budget["search residue"].amount == residue
    assert budget["search residue"].meaning.startswith(says)


def test_zero_noise_extrapolation_is_in_the_budget() -> None:
    budget = {
        source.source: source
        for source in outcome_of(
            "vqe", "h2", mitigation="zne-linear", target="quantinuum.sim.h2-1e", shots=4000
        ).error_budget
    }
    assert budget["extrapolation"].amount is not None
    assert "zero-noise" in budget["extrapolation"].meaning


def test_the_budget_has_its_unit_in_result_json_text_and_report() -> None:
    outcome = outcome_of("vqe", "h2")
    result = a_result().with_outcome(outcome)
    assert RunResult.from_dict(json.loads(result.to_json())) == result
    listed = json.loads(result.to_json())["error_budget"]
    assert [(row["source"], row["unit"]) for row in listed] == [(source, "hartree") for source in SOURCES]
    rows = {row.name: row for row in answer(result)}
    assert (rows["shot noise"].value, rows["shot noise"].unit) == (0.0, "hartree")  # an eigenstate
    assert rows["outcomes not seen"].value == result.unseen_bound > 0.0
    energy = rows["energy"].text
    assert f"{1e3 * result.unseen_bound:.2g} mHa by outcomes that were not seen" in energy
    assert " mHa below (distance of the circuit" in rows["residue"].text
    assert {"rounding", "extrapolation"}.isdisjoint(rows)  # there is none
    assert {"Shot noise", "Residue", "Interval"} <= dict(summarize(result).details).keys()
