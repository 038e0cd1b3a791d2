"""Plans of what is chosen where a setting is left out: given, it changes nothing, and others cost little less."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from hybridloop.descriptions import ALGORITHMS
from hybridloop.estimate.planner import Planner, plan_run
from hybridloop.estimate.statuses import TargetStatuses
from hybridloop.settings import ProblemText
from hybridloop.targets import find_target
from tests.estimate.test_planner import problem_of
from tests.preparation_helpers import settings_for
from tests.spin_models import chain, pauli_text, spin_model
from tests.value_helpers import known

ISING_3 = pauli_text(spin_model(3, chain(3), {"ZZ": -1.0}, "X"))


def same_plan(algorithm: str, problem: ProblemText, values: dict[str, Any], given: dict[str, Any]) -> bool:
    """Return whether a plan is the same with further settings."""
    left_out, stated = (
        plan_run(algorithm, problem, settings_for(algorithm, each)).as_dict() for each in (values, {**values, **given})
    )
    for plan in (left_out, stated):
        plan.pop("duration")  # measured times
    return left_out == stated


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_a_setting_that_is_given_with_its_default_changes_nothing(algorithm: str) -> None:
    defaults = ALGORITHMS[algorithm].settings().model_dump(mode="json")
    for name, value in defaults.items():
        if value is not None:
            assert settings_for(algorithm, {name: value}) == settings_for(algorithm, {}), name


@pytest.mark.parametrize(
    ("algorithm", "problem", "target", "given"),
    [
        ("vqe", "heh+", "ionq.qpu.aria-1", {"shots": 6513}),  # the search starts near the minimum
        ("vqe", "lih-frozen-core", "quantinuum.qpu.h2-1", {"shots": 2000, "tolerance": 1.6e-3}),
        ("vqe", ISING_3, "quantinuum.qpu.h2-1", {"shots": 1000, "layers": 3}),  # from a ramp
        ("vqe", "h2", "quantinuum.qpu.h2-1", {"shots": 4000, "precision": 0.7e-3}),  # one angle: Rotosolve
        ("scan", "h2 h2-1.6", "quantinuum.qpu.h2-1", {"shots": 4000, "precision": 0.7e-3}),
        ("levels", "h2", "quantinuum.qpu.h2-1", {"shots": 4000, "precision": 1e-3}),
        ("adapt", "heh+", "quantinuum.qpu.h2-1", {"shots": 4000, "precision": 0.7e-3}),
        ("qaoa", "petersen", "ionq.qpu.aria-1", {"shots": 1000}),
        ("qaoa", "petersen", "ionq.simulator", {"shots": 10_000}),
        ("rqaoa", "ring-8", "ionq.qpu.aria-1", {"shots": 1000}),
    ],
)
def test_what_is_chosen_for_a_setting_that_is_left_out_changes_nothing_where_it_is_given(
    algorithm: str, problem: str | ProblemText, target: str, given: dict[str, Any]
) -> None:
    values: dict[str, Any] = {"target": target, "seed": 1}
    if algorithm in ("vqe", "scan", "levels", "adapt", "qaoa"):
        values |= {"search": "measured", "max_rounds": 1}
    text = problem_of(problem) if isinstance(problem, str) else problem
    assert same_plan(algorithm, text, values, given)


@pytest.mark.parametrize(
    ("target", "ansatz", "most"),
    [
        ("quantinuum.qpu.h2-1", "puccd", 1.2),
        *(
            pytest.param(*variant, marks=pytest.mark.slow)
            for variant in (
                ("quantinuum.qpu.h2-1", "uccsd", 1.1),
                ("ionq.qpu.aria-1", "puccd", 1.2),
                ("ionq.qpu.aria-1", "uccsd", 1.1),
            )
        ),
    ],
)
def test_the_shots_of_a_search_that_are_left_out_cost_little_more_than_others(
    target: str, ansatz: str, most: float
) -> None:
    def price(shots: int | None) -> float:
        values = {"search": "measured", "debias": False if "ionq" in target else True, "shots": shots}
        settings = settings_for("vqe", {"ansatz": ansatz, "target": target, **values})
        # the median of five dry runs is a tenth more or less by chance
        planner = Planner("vqe", problem_of("heh+"), settings, TargetStatuses(), trials=25)
        return known(planner.plan(find_target(target), debias=settings.debias).cost.expected)

    assert price(None) <= most * min(map(price, (200, 1000, 4000, 10_000)))


def test_the_cheaper_search_is_taken_where_jobs_are_paid_and_named_where_a_choice_costs_more() -> None:
    paid, free = "ionq.qpu.aria-1", "rigetti.sim.qvm"
    asked = {"target": paid, "precision": 5e-3, "seed": 1}
    chosen = plan_run("vqe", problem_of("h2"), settings_for("vqe", asked))
    assert chosen.searches["simulated"].cost == chosen.cost
    measured = plan_run("vqe", problem_of("h2"), settings_for("vqe", {**asked, "search": "measured"}))
    assert known(measured.cost.expected) > 1.5 * known(chosen.cost.expected)
    (advice,) = [each for each in measured.warnings if each.startswith("search=")]
    cheaper = known(re.match(r"search=simulated is planned at ([\d,.]+) in place of [\d,.]+ USD$", advice))
    assert float(cheaper[1].replace(",", "")) == pytest.approx(known(chosen.cost.expected), rel=0.1)  # one dry run
    assert not [each for each in chosen.warnings if each.startswith("search=")]
    at_no_price = plan_run("vqe", problem_of("h2"), settings_for("vqe", {**asked, "ansatz": "uccsd", "target": free}))
    assert at_no_price.searches["measured"].jobs == at_no_price.jobs.expected


def test_a_range_that_is_wide_has_its_reason() -> None:
    plan = plan_run("vqe", problem_of("heh+"), settings_for("vqe", {"target": "ionq.qpu.aria-1", "search": "measured"}))
    wide = replace(plan, jobs=replace(plan.jobs, least=plan.jobs.expected // 2))
    assert "  range      wide, as searches take more rounds or fewer by chance" in str(
        replace(wide, rounds=replace(wide.rounds, least=1))
    )
    alike = replace(wide.rounds, least=wide.rounds.expected, most=wide.rounds.expected)
    assert "  range      wide, as a pilot's variances decide how many shots follow" in str(replace(wide, rounds=alike))
