"""Plans against the same runs on the local service: rounds, jobs, shots, cost, and the effect of caps."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybridloop as hl
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import CapReached, InputError
from hybridloop.estimate.bought import caps_buy_about, median_of
from hybridloop.estimate.dry_run import Trial, dry_run
from hybridloop.estimate.extrapolation import extrapolate
from hybridloop.estimate.figures import Bought
from hybridloop.estimate.plan import Plan
from hybridloop.estimate.planner import Planner, plan_run
from hybridloop.estimate.pricing import ProgramSizes, Tariff
from hybridloop.estimate.statuses import TargetStatuses
from hybridloop.inputs.problems import read_scan
from hybridloop.runtime.durations import format_duration
from hybridloop.runtime.text_table import count_text
from hybridloop.settings import ProblemText, RunSettings
from hybridloop.settings.keep_alive import KeepAliveMode, KeepAliveSettings
from hybridloop.targets import find_target
from tests.conftest import Emulator, unavailable
from tests.long_form import long_form, short_or_long
from tests.preparation_helpers import prepared as prepare
from tests.session_helpers import open_run_session
from tests.value_helpers import known


def problem_of(names: str) -> ProblemText:
    parts = names.split()
    return read_scan(parts) if len(parts) > 1 else ProblemText(name=names)


def settings_of(algorithm: str, **settings: Any) -> RunSettings:
    return ALGORITHMS[algorithm].settings(**settings)


class Run:
    """A run without Prefect: its rounds in a session of the local service."""

    def __init__(self, emulator: Emulator, algorithm: str, names: str, settings: RunSettings) -> None:
        prepared = prepare(algorithm, problem_of(names), settings, settings.seed or 0)
        self.rounds, self.stopped_by = 0, None
        with open_run_session(
            emulator.workspace(),
            settings.target,
            replace(settings.session_options, keep_alive=KeepAliveSettings(KeepAliveMode.OFF)),
            seed=settings.seed or 0,
        ) as session:

            def run_round(pubs: Any, /) -> Any:
                answer = session.run_round(pubs)
                self.rounds += 1
                return answer

            try:
                prepared.measure(run_round, lambda _: None)
            except CapReached as reached:
                self.stopped_by = reached.cap
        self.jobs, self.shots = session.num_jobs, session.shots
        self.meter = session.meter
        self.books = emulator.admin(f"ledger?run={session.run_uid}")
        self.billed = math.fsum(entry["price"] or 0.0 for entry in self.books["entries"])


# Random numbers do not change the requests of these: an exact target, fixed angles, or a search of a stated length
# whose result is precise enough at once. The first five are the short form.
DETERMINISTIC: list[tuple[str, str, dict[str, Any]]] = [
    ("vqe", "h2", {"target": "ionq.simulator", "seed": 7}),
    ("qaoa", "petersen", {"shots": 25_000, "target": "rigetti.sim.qvm"}),
    ("vqe", "h2", {"optimizer": "scipy:cobyla", "max_rounds": 2, "shots": 500, "precision": 1.0, "seed": 1}),
    ("rqaoa", "ring-8", {"target": "ionq.simulator", "seed": 3, "brute_force_below": 7}),
    # circuits that differ in constant angles have programs, and jobs, of their own
    ("vqe", "h4", {"grouping": "double-factorization", "search": "simulated", "precision": 0.05, "seed": 7}),
    ("sqd", "h4", {"target": "ionq.simulator", "seed": 7, "max_subspace": 16}),
    ("adapt", "heh+", {"target": "ionq.simulator", "seed": 2}),
    ("scan", "h2-0.3 h2", {"target": "ionq.simulator", "seed": 7}),
    ("levels", "h2", {"target": "ionq.simulator", "seed": 7, "precision": 0.01}),
    ("vqe", "h2-2.0", {"ansatz": "hardware-efficient", "target": "ionq.simulator", "seed": 4}),
    ("vqe", "lih-3.0-cas22", {"target": "ionq.simulator", "seed": 4, "shots": 20_000}),
    ("qaoa", "weighted-10", {"target": "ionq.simulator", "seed": 4, "search": "measured"}),
]


@long_form
@pytest.mark.parametrize(("algorithm", "names", "settings"), DETERMINISTIC[: short_or_long(5, None)])
def test_a_run_without_randomness_takes_the_rounds_jobs_and_shots_of_its_plan(
    algorithm: str, names: str, settings: dict[str, Any], emulator: Emulator
) -> None:
    asked = settings_of(algorithm, **settings)
    plan = plan_run(algorithm, problem_of(names), asked)
    run = Run(emulator, algorithm, names, asked)
    assert plan.assumed is None
    assert (plan.rounds.expected, plan.jobs.expected, plan.shots.expected) == (run.rounds, run.jobs, run.shots)
    assert (run.books["jobs"], run.books["shots"]) == (run.jobs, run.shots)
    for figure in (plan.rounds, plan.jobs, plan.shots):
        assert figure.least == figure.most == figure.expected <= figure.worst
    assert sum(each.rounds for each in plan.phases) == run.rounds
    assert sum(circuit.shots for circuit in plan.circuits) == run.shots
    assert sum(circuit.jobs for circuit in plan.circuits) >= run.jobs  # a job of many points measures several


PRICED = [
    ("ionq.qpu.forte-1", {}),
    ("ionq.qpu.forte-1", {"debias": False}),
    ("quantinuum.sim.h2-1e", {}),
    ("rigetti.qpu.cepheus-1-108q", {}),
]


@pytest.mark.parametrize(("target", "more"), PRICED)
def test_a_run_is_billed_what_its_plan_expected(target: str, more: dict[str, Any], emulator: Emulator) -> None:
    asked = settings_of("qaoa", target=target, shots=12_000, **more)
    plan = plan_run("qaoa", ProblemText(name="ring-8"), asked)
    run = Run(emulator, "qaoa", "ring-8", asked)
    assert plan.cost.expected == pytest.approx(run.billed, abs=1e-5)
    assert plan.cost.upper is None or run.billed <= plan.cost.upper + 1e-9
    assert {entry["unit"] for entry in run.books["entries"]} == {plan.cost.unit}
    (circuit,) = plan.circuits
    assert circuit.jobs == run.jobs == 2
    assert (plan.mitigated is None) == (plan.unmitigated is None) == (not target.startswith("ionq"))
    if plan.unmitigated is not None and plan.mitigated is not None:
        assert known(plan.unmitigated.expected) < known(plan.mitigated.expected)
        assert plan.cost == (plan.unmitigated if more else plan.mitigated)


@pytest.mark.parametrize(
    ("target", "unit", "mode", "because"),
    [
        ("ionq.qpu.aria-1", "USD", "renew", "12.42 USD"),
        ("ionq.qpu.forte-1", "USD", "renew", "25.79 USD"),
        ("quantinuum.qpu.h2-1", "HQC", "renew", "HQC each"),
        ("quantinuum.sim.h2-1e", "eHQC", "renew", "eHQC each"),
        ("rigetti.qpu.cepheus-1-108q", "USD", "renew", "a price that is not known"),
        ("quantinuum.sim.helios-1e", "eHQC", "renew", "a price that is not known"),
        ("rigetti.sim.qvm", "USD", "ping", "free"),
        ("ionq.simulator", "USD", "ping", "free"),
    ],
)
def test_a_plan_has_the_billing_unit_and_the_keep_alive_mode(target: str, unit: str, mode: str, because: str) -> None:
    plan = plan_run("qaoa", ProblemText(name="ring-8"), settings_of("qaoa", target=target))
    assert plan.cost.unit == unit
    assert plan.keep_alive.mode == mode
    assert because in plan.keep_alive.why
    assert plan.cost.is_free == (mode == "ping")
    assert (plan.cost.upper is None) == ("not known" in because)
    assert plan.cost.expected is not None
    assert ("an estimate" in str(plan)) == ("helios" in target)


@pytest.mark.claim("`plan` submits nothing")
def test_nothing_is_submitted_and_no_session_opened_for_a_plan(emulator: Emulator) -> None:
    workspace, before = emulator.workspace(), emulator.admin("ledger")["jobs"]
    with unavailable(emulator, "ionq.qpu.aria-1"):
        plan = hl.plan(
            "vqe", "h2", workspace=workspace, ansatz="uccsd", target="ionq.qpu.forte-1", seed=7, compare="all"
        )
    assert list(workspace.list_sessions()) == []
    assert list(workspace.list_jobs()) == []
    assert emulator.admin("ledger")["jobs"] == before
    assert plan.state == "Available"
    assert plan.duration.is_local
    assert [each.target for each in plan.comparison if each.state == "Unavailable"] == ["ionq.qpu.aria-1"]
    rows = {each.target: each for each in plan.comparison}
    assert rows["ionq.qpu.forte-1"].expected == plan.cost.expected
    assert rows["ionq.simulator"].jobs == 8  # six of the search, two of an answer that is measured once
    # all points of a round are one job there
    assert rows["rigetti.sim.qvm"].jobs == rows["rigetti.sim.qvm"].rounds
    assert plan.shots.expected < (rows["rigetti.qpu.cepheus-1-108q"].shots or 0)  # of the largest published error
    assert (rows["rigetti.sim.qvm"].shots or 0) < 0.2 * plan.shots.expected  # without noise orbitals are fitted
    assert rows["quantinuum.sim.h2-2e"].unit == "eHQC"
    waits = rows["quantinuum.sim.h2-2e"].duration  # rounds in a queue of half a day, and jobs of unknown length
    assert waits is not None
    assert (waits.expected_s, waits.short) == (None, f"over {format_duration(plan.rounds.expected * 43_319)}")


@pytest.mark.parametrize(
    ("cap", "settings"),
    [
        ("max_jobs", {"max_jobs": 5, "batching": "off"}),
        ("max_jobs", {"max_jobs": 3}),
        ("max_shots", {"max_shots": 9_000}),
        ("max_cost", {"max_cost": "120eHQC", "target": "quantinuum.sim.h2-1e"}),
    ],
)
def test_a_plan_has_the_rounds_after_which_a_cap_stops_the_run(
    cap: str, settings: dict[str, Any], emulator: Emulator
) -> None:
    cobyla = {"ansatz": "uccsd", "optimizer": "scipy:cobyla", "max_rounds": 4}
    asked = settings_of("vqe", **cobyla, shots=2000, precision=0.5, seed=1, **settings)
    plan = plan_run("vqe", ProblemText(name="h2"), asked)
    run = Run(emulator, "vqe", "h2", asked)
    assert (plan.allowed.stopped_by, plan.allowed.rounds) == (cap, run.rounds) == (run.stopped_by, run.rounds)
    assert plan.allowed.rounds < plan.allowed.of
    assert any(cap in warning for warning in plan.warnings)
    assert (plan.allowed.jobs, plan.allowed.shots) == (run.jobs, run.shots)


def test_a_deadline_is_compared_with_the_estimated_time() -> None:
    asked = settings_of("rqaoa", target="quantinuum.sim.h2-1e", deadline="90m", max_cost="1000eHQC")
    status = {"averageQueueTime": 1483, "currentAvailability": "Available"}
    plan = plan_run(
        "rqaoa", ProblemText(name="ring-8"), asked, statuses=TargetStatuses({"quantinuum.sim.h2-1e": status})
    )
    each_s = 1483 + 4.6 + 2.0
    assert plan.duration.expected_s == pytest.approx(plan.rounds.expected * each_s)
    assert plan.allowed.stopped_by == "deadline"
    assert plan.allowed.rounds == math.ceil(90 * 60 / each_s)


def test_caps_that_can_not_hold_and_a_policy_that_ends_sessions_are_warned_of() -> None:
    asked = settings_of(
        "qaoa",
        target="rigetti.qpu.cepheus-1-108q",
        max_cost="5USD",
        failure={"session_on_job_failure": "abort"},
    )
    refused = plan_run("qaoa", ProblemText(name="ring-8"), asked)
    warnings = " ".join(refused.warnings)
    assert "such a run would be refused: max_cost" in warnings
    assert "max_cost 5.00 USD: no run is begun, as it would be refused" in str(refused)
    assert "fits" not in str(refused)
    assert "abort lets the service end the whole session" in warnings
    stated = asked.model_copy(update={"max_cost_per_job": {"USD": 2.0}})
    plan = plan_run("qaoa", ProblemText(name="ring-8"), stated)
    assert plan.cost.upper == 2.0
    assert "refused" not in " ".join(plan.warnings)
    assert plan.refusals == ()


def test_a_target_that_the_workspace_does_not_offer_or_that_is_down_is_warned_of() -> None:
    available, asked = {"currentAvailability": "Available"}, settings_of("qaoa")
    for statuses, words in (
        (TargetStatuses({"ionq.simulator": available}), "does not offer rigetti.sim.qvm"),
        (TargetStatuses({"rigetti.sim.qvm": {**available, "numQubits": 7}}), "has 8 qubits, rigetti.sim.qvm has 7"),
        (TargetStatuses({"rigetti.sim.qvm": {"currentAvailability": "Unavailable"}}), "unavailable at the moment"),
        (TargetStatuses({"rigetti.sim.qvm": {"currentAvailability": "Degraded"}}), "degraded at the moment"),
    ):
        plan = plan_run("qaoa", ProblemText(name="ring-8"), asked, statuses=statuses)
        assert [words in warning for warning in plan.warnings] == [True]
    assert plan_run("qaoa", ProblemText(name="ring-8"), asked).warnings == ()


def test_the_plan_for_a_target_that_is_down_states_the_policy() -> None:
    unavailable = TargetStatuses({"rigetti.sim.qvm": {"currentAvailability": "Unavailable"}})
    (said,) = plan_run("qaoa", ProblemText(name="ring-8"), settings_of("qaoa"), statuses=unavailable).warnings
    assert "The run waits for it, 30 min at most" in said
    assert "--on-target-down park" in said


def test_a_cap_on_a_free_target_is_reported_as_ineffective() -> None:
    free = plan_run("qaoa", ProblemText(name="ring-8"), settings_of("qaoa", max_cost="50HQC"))
    assert "the cap of 50 HQC has no effect" in " ".join(free.warnings)
    paid = settings_of("qaoa", max_cost="50HQC", target="quantinuum.qpu.h2-1")
    assert "has no effect" not in " ".join(plan_run("qaoa", ProblemText(name="ring-8"), paid).warnings)


def test_a_plan_refuses_the_input_that_a_run_refuses() -> None:
    checked = plan_run("qaoa", ProblemText(name="ring-8"), settings_of("qaoa", target="quantinuum.sim.h2-1sc"))
    assert any(text.startswith("such a run would be refused: target: ") for text in checked.warnings)
    (row,) = plan_run(
        "qaoa", ProblemText(name="ring-8"), settings_of("qaoa"), compare=["quantinuum.sim.h2-1sc"]
    ).comparison
    assert "only checks programs" in row.note
    with pytest.raises(InputError, match="no built-in problem"):
        plan_run("vqe", ProblemText(name="h22"), settings_of("vqe"))
    with pytest.raises(InputError, match="Did you mean 'qaoa'"):
        hl.plan("qaoaa", "ring-8")


@pytest.mark.parametrize(
    ("target", "gates", "price"),
    [
        ("quantinuum.qpu.h2-1", (40, 45), 5 + 1000 * (40 + 10 * 45 + 5 * 20) / 5000),
        ("ionq.qpu.forte-1", (40, 45), 25.7899 + 1000 * (40 * 0.0001645 + 45 * 0.001121)),
        ("rigetti.qpu.cepheus-1-108q", (85, 90), 0.40),
    ],
)
def test_a_coupling_is_planned_as_one_gate_on_ions_and_as_two_elsewhere(
    target: str, gates: tuple[int, int], price: float
) -> None:
    """Petersen's graph has 15 edges and 10 nodes; a machine of Rigetti has rz beside its CNOTs."""
    asked = settings_of("qaoa", target=target, layers=3, seed=7, shots=1000, debias=target != "ionq.qpu.forte-1")
    plan = plan_run("qaoa", ProblemText(name="petersen"), asked)
    (circuit,) = plan.circuits
    assert (circuit.one_qubit, circuit.two_qubit) == gates
    assert plan.cost.expected == pytest.approx(price, abs=0.005)


@pytest.mark.parametrize("algorithm", ["vqe", "adapt", "sqd", "qaoa"])
def test_rotations_are_refused_on_a_stabilizer_simulator_by_plan_and_run(algorithm: str) -> None:
    problem = ProblemText(name="ring-8" if algorithm == "qaoa" else "h2")
    settings = settings_of(
        algorithm, target="quantinuum.sim.h2-1e", provider_options={"simulator": "stabilizer"}, seed=1
    )
    for refused in (plan_run, partial(prepare, seed=1)):
        with pytest.raises(InputError, match="simulates Clifford gates alone") as error:
            refused(algorithm, problem, settings)
        assert error.value.field == "provider_options.simulator"


def test_fixed_angles_are_planned_for_large_graphs() -> None:
    plan = plan_run("qaoa", ProblemText(name="cubic-16"), settings_of("qaoa"))
    assert (plan.assumed, plan.qubits) == (None, 16)
    assert (plan.rounds.expected, plan.jobs.expected, plan.shots.expected, plan.rounds.worst) == (1, 1, 1000, 1)


def assumed(algorithm: str, names: str, settings: RunSettings) -> tuple[Trial, str]:
    """Return the extrapolation of a run of which nothing is simulated, and its assumption."""
    seen = dry_run(algorithm, problem_of(names), settings, find_target("rigetti.sim.qvm"), max_work=0.0)
    trial, why = extrapolate(seen.trials[0], seen.prepared.plan_facts(samples=True))
    return trial, known(why)


@pytest.mark.parametrize(
    ("algorithm", "names", "limit", "rounds"),
    [
        ("vqe", "lih-3.0-cas22", {"max_rounds": 50}, 30),
        ("adapt", "heh+", {"max_rounds": 50}, 30),
        ("levels", "h2", {"max_rounds": 50}, 30),
        ("rqaoa", "ring-8", {}, 5),
        ("scan", "h2 h2-1.6", {"max_rounds": 50}, 30),
    ],
)
def test_a_search_that_is_not_simulated_is_assumed_to_have_30_rounds_or_its_limit(
    algorithm: str, names: str, limit: dict[str, int], rounds: int
) -> None:
    trial, why = assumed(algorithm, names, settings_of(algorithm, **limit))
    assert [round_.phase for round_ in trial.rounds].count("search") == rounds
    assert f"the search is assumed to take {rounds} rounds" in why


def test_the_extrapolation_has_the_order_of_magnitude_of_the_dry_run() -> None:
    settings = settings_of("vqe", seed=1, optimizer="rotosolve", grouping="qubit-wise")
    whole = plan_run("vqe", ProblemText(name="lih-3.0-cas22"), settings)
    usual, measured = whole.phases
    trial, why = assumed("vqe", "lih-3.0-cas22", settings)
    *_, search, final = trial.rounds
    assert (search.phase, search.shots, final.phase) == ("search", usual.shots, "final")
    assert measured.shots / 3 < final.shots < 3 * measured.shots
    assert "the final measurement" in why


def test_what_caps_buy_of_assumed_rounds_has_the_jobs_of_each_program() -> None:
    target = find_target("rigetti.sim.qvm")
    settings = settings_of("vqe", seed=1, search="measured", grouping="double-factorization", max_jobs=100_000)
    seen = dry_run("vqe", problem_of("h4"), settings, target, max_work=0.0)
    facts = seen.prepared.plan_facts(samples=True)
    trial, _ = extrapolate(seen.trials[0], facts)
    tariff = Tariff(target, ProgramSizes(dict(seen.circuits)), settings.caps, settings.debias, batches=True)
    bought = known(caps_buy_about(trial.rounds, facts.deviation, tariff))
    programs, circuits = (
        sum(len({getattr(pub, name) for pub in each.pubs}) for each in trial.rounds) for name in ("program", "circuit")
    )
    assert bought.jobs == tariff.total_of_rounds(trial.rounds).jobs >= programs
    assert programs > circuits  # some differ in constant angles alone


def test_the_plan_of_a_run_that_is_too_large_to_simulate_names_its_assumptions() -> None:
    ring = ProblemText(name="ring", text="".join(f"{node} {(node + 1) % 22}\n" for node in range(22)))
    plan = plan_run("qaoa", ring, settings_of("qaoa", search="measured", layers=1))
    assert "22 qubits, of which 20 at most are simulated" in known(plan.assumed)
    assert [(each.phase, each.rounds) for each in plan.phases] == [("search", 30), ("final", 1)]
    assert plan.rounds.expected == 31


def test_a_dry_run_ends_at_its_bound_and_keeps_its_complete_trials() -> None:
    target, problem = find_target("rigetti.sim.qvm"), ProblemText(name="lih-3.0-cas22")
    settings = settings_of("vqe", ansatz="uccsd", optimizer="rotosolve")
    whole = dry_run("vqe", problem, settings, target)
    assert [trial.cut for trial in whole.trials] == [None] * 5
    bounded = dry_run("vqe", problem, settings, target, max_work=3e5)
    assert (len(bounded.trials), bounded.trials[0].cut) == (1, None)
    cut = dry_run("vqe", problem, settings, target, max_work=1e3)
    assert cut.trials[0].cut is not None
    assert "amplitudes" in cut.trials[0].cut


def test_the_worst_case_has_all_rounds_that_the_settings_allow() -> None:
    plan = plan_run("vqe", ProblemText(name="h2"), settings_of("vqe", ansatz="uccsd", max_rounds=40))
    search = next(each for each in plan.phases if each.phase == "search")
    assert plan.rounds.worst == 40 + 8
    assert plan.shots.worst >= plan.shots.most + (40 - search.rounds) * search.shots
    asked = settings_of("qaoa", search="measured", max_rounds=6, layers=1)
    measured = plan_run("qaoa", ProblemText(name="ring-8"), asked)
    assert measured.rounds.worst == 6 + 1
    assert measured.rounds.most <= measured.rounds.worst


@pytest.fixture
def plan() -> Plan:
    return plan_run(
        "vqe", ProblemText(name="h2"), settings_of("vqe", target="ionq.qpu.forte-1"), compare=["rigetti.sim.qvm"]
    )


@pytest.mark.parametrize(
    ("algorithm", "name"), [("vqe", "lih-3.0-cas22"), ("qaoa", "ring-8")], ids=["simulated-vqe", "simulated-qaoa"]
)
def test_a_plan_shows_a_measured_and_a_simulated_search_side_by_side(algorithm: str, name: str) -> None:
    plan = plan_run(algorithm, ProblemText(name=name), settings_of(algorithm, seed=7))
    measured, simulated = plan.searches["measured"], plan.searches["simulated"]
    assert (simulated.jobs, simulated.shots, simulated.cost) == (plan.jobs.expected, plan.shots.expected, plan.cost)
    asked = plan_run(algorithm, ProblemText(name=name), settings_of(algorithm, seed=7, search="measured"))
    assert asked.shots.least <= measured.shots <= asked.shots.most  # of three trials, one was the alternative's
    assert f"search     measured: {count_text(measured.jobs, 'job')}, {measured.shots:,} shots" in str(plan)
    assert f"           simulated: {count_text(simulated.jobs, 'job')}, {simulated.shots:,} shots" in str(plan)


def test_a_plan_of_a_circuit_that_is_not_simulated_shows_one_search() -> None:
    settings = settings_of("vqe", seed=7, ansatz="hardware-efficient", max_rounds=2)
    plan = plan_run("vqe", ProblemText(name="h2"), settings)
    assert plan.searches == {}


def test_a_plan_survives_json(plan: Plan) -> None:
    text = json.dumps(plan.as_dict(), allow_nan=False)
    assert Plan.from_dict(json.loads(text)) == plan
    assert Plan.from_dict(json.loads(json.dumps(replace(plan, unmitigated=None).as_dict()))).unmitigated is None


def test_the_dry_runs_of_several_seeds_show_the_spread_of_shots_and_cost(plan: Plan) -> None:
    assert plan.rehearsals == 5
    assert plan.shots.least < plan.shots.expected < plan.shots.most
    assert known(plan.cost.least) < known(plan.cost.expected) < known(plan.cost.most) < (plan.cost.upper or math.inf)


def test_the_text_counts_dry_runs_in_singular_and_plural(plan: Plan) -> None:
    assert "on ionq.qpu.forte-1: a plan from 5 dry runs; nothing was submitted" in str(plan)
    assert ": a plan from 1 dry run; nothing" in str(replace(plan, rehearsals=1))


def test_a_plan_lists_orbitals_that_were_chosen_and_why() -> None:
    chosen = plan_run("vqe", ProblemText(name="lih-frozen-core"), settings_of("vqe", active_space="auto"))
    assert chosen.qubits == 2
    assert "  active space: 2 electrons in 2 of 5 orbitals, which have 1.982 | 0.015 electrons" in str(chosen)


def test_the_suggested_cap_is_a_tenth_above_the_most_expensive_dry_run(plan: Plan) -> None:
    (suggestion,) = (found for text in plan.warnings if (found := re.search(r"such as (\d+)USD", text)))
    most = known(plan.cost.most)
    assert 1.1 * most < int(suggestion[1]) <= 1.1 * most + 1


def test_a_plan_on_a_noisy_target_has_what_each_mitigation_leaves_and_costs() -> None:
    asked = {"target": "quantinuum.sim.h2-1e", "seed": 7, "precision": 5e-3}
    bare = plan_run("vqe", ProblemText(name="h2"), settings_of("vqe", **asked))
    rows = {each.name: each for each in bare.mitigations}
    assert list(rows) == ["none", "", "readout", "readout,zne-linear"]
    left = [rows[name].shift for name in rows]
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.1 * left[1]
    own = rows[""].effort
    assert (own.jobs, own.shots, own.cost) == (bare.jobs.expected, bare.shots.expected, bare.cost)
    assert known(rows["readout,zne-linear"].effort.cost.expected) > 2 * known(own.cost.expected)
    (warning,) = (each for each in bare.warnings if each.startswith("noise: gate and readout errors are left"))
    expected = f"They are expected to shift it by about {rows[''].shift_text}; "
    assert expected in warning
    assert f"{rows['readout,zne-linear'].shift_text} with --mitigation readout,zne-linear; hybridloop plan" in warning
    assert f"readout,zne-linear: off by about {rows['readout,zne-linear'].shift_text} expected; " in str(bare)
    mitigated = settings_of("vqe", **asked, mitigation="readout,zne-linear")
    plan = plan_run("vqe", ProblemText(name="h2"), mitigated, compare=["rigetti.qpu.cepheus-1-108q"])
    assert not any(warning.startswith("noise: ") for warning in plan.warnings)
    assert {each.name: each.effort.shots for each in plan.mitigations}[""] == pytest.approx(own.shots, rel=0.3)
    assert Plan.from_dict(json.loads(json.dumps(plan.as_dict()))) == plan
    (row,) = plan.comparison
    assert "compiler removes them" in row.note


def test_targets_with_other_groups_are_not_planned_by_the_same_dry_run() -> None:
    values = {"ansatz": "hardware-efficient", "max_rounds": 1, "precision": 3e-3, "shots": 100, "seed": 1}
    free, noisy = find_target("rigetti.sim.qvm"), find_target("rigetti.qpu.cepheus-1-108q")
    planner, other = (
        Planner("vqe", problem_of("h4"), settings_of("vqe", **values, target=each.name), TargetStatuses(), trials=1)
        for each in (free, noisy)
    )
    compared, alone = planner.plan(free, debias=True), other.plan(noisy, debias=True)
    row = planner.comparison_row(noisy)
    assert (row.jobs, row.shots) == (alone.jobs.expected, alone.shots.expected)
    fewest, most = (max(known(circuit.two_qubit) for circuit in plan.circuits) for plan in (alone, compared))
    assert fewest < most  # due to noise
    assert "  groups: double-factorization, as 8 circuits per point, with" in str(compared)
    assert "  groups: qubit-wise, as fully commuting groups " in str(alone)


@given(jobs=st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=9))
def test_the_jobs_of_a_value_are_those_of_dry_runs_that_have_one(jobs: list[tuple[int, bool]]) -> None:
    runs = [
        Bought(
            0.1 if has else None,
            is_whole=False,
            rounds=1,
            jobs=number,
            shots=10,
            cost=1.0,
            reason="",
            least_jobs=number,
            most_jobs=number,
        )
        for number, has in jobs
    ]
    median = median_of(runs)
    alike = [each.jobs for each in runs if (each.standard_error is None) is (median.standard_error is None)]
    assert median.least_jobs <= median.jobs <= median.most_jobs
    assert min(alike) == 0 or 1 <= median.least_jobs <= min(alike) <= max(alike) <= median.most_jobs
    assert (median.with_value, median.of) == (sum(has for _, has in jobs), len(jobs))


@pytest.mark.parametrize("target", ["rigetti.sim.qvm", "ionq.qpu.aria-1", "quantinuum.qpu.h2-1"])
@pytest.mark.parametrize("cap", [None, {"max_jobs": 3}])
def test_a_run_without_a_circuit_has_a_plan(target: str, cap: dict[str, int] | None) -> None:
    constant = ProblemText(name="constant", text='{"terms": {"II": 1.0}}')
    helium = "&FCI NORB=1,NELEC=2,MS2=0,\n&END\n0.5 1 1 1 1\n-2.0 1 1 0 0\n0.0 0 0 0 0\n"
    for problem in (constant, ProblemText(name="helium", text=helium)):
        plan = plan_run("vqe", problem, settings_of("vqe", target=target, seed=7, **(cap or {})))
        assert (plan.rounds.most, plan.jobs.most, plan.shots.most, plan.cost.expected) == (0, 0, 0, 0.0)
        assert not any("noise" in each or "before the run has a value" in each for each in plan.warnings)
        assert "keep-alive" not in str(plan)
