"""A plan with caps says which precision they buy, and the run under the same caps reaches it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from qiskit.quantum_info import SparsePauliOp

from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.estimate.plan import Plan
from hybridloop.estimate.planner import plan_run
from hybridloop.inputs.sources import CALL, Layer, resolve_settings
from hybridloop.settings import ProblemText
from tests.conftest import Emulator
from tests.flow_calls import run_plainly

pytestmark = pytest.mark.usefixtures("own_journal")
H2, PRECISION = ProblemText(name="h2"), 2e-3


def settings(target: str, **caps: Any) -> VqeSettings:
    return VqeSettings.model_validate({"target": target, "seed": 7, "precision": PRECISION, "shots": 1000, **caps})


@pytest.mark.claim("says which precision the budget buys")
@pytest.mark.parametrize(
    ("target", "cap", "unit"),
    [
        pytest.param("quantinuum.sim.h2-1e", "max_cost", "eHQC", marks=pytest.mark.slow),
        ("ionq.qpu.forte-1", "max_cost", "USD"),
        ("rigetti.sim.qvm", "max_shots", ""),
    ],
)
def test_the_run_reaches_what_the_plan_says_that_its_caps_buy(
    emulator: Emulator, target: str, cap: str, unit: str
) -> None:
    whole = plan_run("vqe", H2, settings(target))
    assert whole.bought is None
    need = whole.cost.expected if unit else float(whole.shots.expected)
    assert need is not None
    for part in (0.2, 0.5, 2.0):
        allowed = f"{part * need:.2f}{unit}" if unit else int(part * need)
        asked = settings(target, **{cap: allowed})
        bought = plan_run("vqe", H2, asked).bought
        workspace = emulator.workspace(f"buys-{target.replace('.', '-')[-12:]}-{int(10 * part)}")
        result = run_plainly("vqe", workspace, H2, asked)
        assert bought is not None
        assert (bought.standard_error is None) == (result.standard_error is None)
        if bought.standard_error is None:
            assert part == 0.2  # less than two jobs cost
            continue
        # shot noise, and the target's noise, change the variance
        assert result.standard_error == pytest.approx(bought.standard_error, rel=0.3)
        assert bought.standard_error <= PRECISION or not bought.is_whole
        assert bought.cost <= part * need + 0.01 if unit else bought.shots <= part * need
    assert bought is not None
    assert bought.is_whole  # twice the need


@pytest.mark.parametrize("problem", ["h2", pytest.param("heh+", marks=pytest.mark.slow)])
def test_a_cap_of_the_whole_price_leaves_every_round_of_a_measured_search(emulator: Emulator, problem: str) -> None:
    workspace, asked = emulator.workspace("whole-price"), {"search": "measured", "precision": 0.02, "shots": 100}
    text, target = ProblemText(name=problem), "quantinuum.sim.h2-1e"
    free = run_plainly("vqe", workspace, text, settings(target, **asked))
    price = f"{free.estimated['eHQC']}eHQC"  # each job's is rounded up, so that no rounding of a bill exceeds a cap
    capped = run_plainly("vqe", workspace, text, settings(target, **asked, max_cost=price))
    assert [point.shots for point in capped.history] == [point.shots for point in free.history]
    assert capped.value == free.value


def test_a_cap_that_holds_no_round_of_the_search_says_so_before_a_session(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    layers = {"ansatz": "hardware-efficient", "layers": 1, "search": "measured", "seed": 1}
    phases, cap = list[list[str]](), "5HQC"
    for said in ("the caps buy nothing", "no round of the search, but the final measurement at its start alone", ""):
        asked = settings("quantinuum.qpu.h2-1", **layers, max_cost=cap)
        (warning,) = [each for each in plan_run("vqe", H2, asked).warnings if "the caps buy" in each] or [""]
        assert said in warning
        caplog.clear()
        result = run_plainly("vqe", emulator.workspace("small-caps"), H2, asked)
        messages = [record.getMessage() for record in caplog.records]
        assert messages.count(warning) == bool(said)
        phases.append([point.phase for point in result.history])
        cap = "100HQC" if cap == "5HQC" else warning.partition("--max-cost ")[2].partition(" ")[0]
    assert [list(dict.fromkeys(each)) for each in phases] == [[], ["final"], ["search", "final"]]


def test_caps_that_buy_no_value_say_what_would_and_what_the_run_takes(capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_run("vqe", H2, settings("quantinuum.sim.h2-1e", max_cost="5eHQC"))
    assert plan.bought is not None
    assert plan.bought.standard_error is None
    (line,) = [each for each in str(plan).splitlines() if each.startswith("  it buys ")]
    assert "no value: max_cost is reached" in line
    assert f"the whole run takes {plan.cost.expected:,.2f} eHQC" in line
    (simulator,) = plan.cheaper
    assert (simulator.setting, simulator.value, simulator.bought.cost) == ("target", "rigetti.sim.qvm", 0.0)
    assert "with target rigetti.sim.qvm: the whole run" in str(plan)
    compared = plan_run(
        "vqe", H2, settings("quantinuum.sim.h2-1e", max_cost="300eHQC"), compare=["quantinuum.sim.h2-2e"]
    )
    assert compared.comparison[0].bought is not None
    assert "the caps buy ±" in str(compared)
    assert capsys.readouterr() == ("", "")  # a dry run reports no cap that is near


@pytest.mark.parametrize(("algorithm", "problem", "cap"), [("vqe", "h2", "150USD"), ("qaoa", "petersen", "150USD")])
def test_a_cap_that_ends_the_mitigation_of_the_provider_says_what_it_buys_without(
    emulator: Emulator, algorithm: str, problem: str, cap: str
) -> None:
    text, asked = ProblemText(name=problem), {"target": "ionq.qpu.forte-1", "seed": 7, "max_cost": cap}
    plan = plan_run(algorithm, text, resolve_settings(algorithm, Layer(CALL, asked)).settings)
    assert plan.bought is not None
    assert plan.bought.has_unmitigated
    (line,) = [each for each in str(plan).splitlines() if each.startswith("  it buys ")]
    assert "sent with debiasing off" in line
    (without,) = plan.cheaper
    assert (without.setting, without.value) == ("debias", "off")
    assert without.bought.is_whole
    assert without.bought.standard_error is not None
    assert plan.bought.standard_error is not None
    assert without.bought.standard_error < plan.bought.standard_error
    bare = resolve_settings(algorithm, Layer(CALL, {**asked, "debias": False})).settings
    result = run_plainly(algorithm, emulator.workspace(f"bare-{algorithm}"), text, bare)
    assert result.standard_error is not None
    assert result.standard_error < 1.3 * without.bought.standard_error  # a plan has the machine's published noise


@pytest.mark.parametrize(
    ("algorithm", "coarsest"), [("vqe", {"precision": 0.9, "search": "simulated"}), ("qaoa", {"shots": 1})]
)
def test_a_run_that_can_not_be_coarser_has_no_such_cheaper_run(algorithm: str, coarsest: dict[str, Any]) -> None:
    caps = {"target": "ionq.qpu.forte-1", "max_cost": "1USD", "seed": 7}
    asked = resolve_settings(algorithm, Layer(CALL, {**caps, **coarsest})).settings
    plan = plan_run(algorithm, ProblemText(name="h2" if algorithm == "vqe" else "ring-8"), asked)
    assert [run.setting for run in plan.cheaper] == ["target"]


@pytest.mark.parametrize(
    ("algorithm", "problem", "caps", "setting"),
    [
        ("vqe", "h4", {"target": "quantinuum.qpu.h2-1", "max_cost": "50HQC"}, "active_space"),
        pytest.param(
            "qaoa",
            "petersen",
            {"target": "ionq.qpu.forte-1", "max_cost": "25USD"},
            "target",
            marks=pytest.mark.slow,
        ),
        ("rqaoa", "petersen", {"target": "quantinuum.qpu.h2-1", "max_cost": "170HQC"}, "shots"),
    ],
)
def test_the_caps_buy_a_value_of_the_cheaper_runs_that_a_plan_names(
    algorithm: str, problem: str, caps: dict[str, Any], setting: str
) -> None:
    def planned(**more: Any) -> Plan:
        asked = resolve_settings(algorithm, Layer(CALL, {"seed": 7, **caps, **more})).settings
        return plan_run(algorithm, ProblemText(name=problem), asked)

    plan = planned()
    assert plan.bought is not None
    assert plan.bought.standard_error is None
    changed = {run.setting: run for run in plan.cheaper}
    assert setting in changed
    value: Any = changed[setting].value
    bought = planned(**{setting: int(value) if setting == "shots" else value}).bought
    assert bought is not None
    assert bought.standard_error is not None


@pytest.mark.slow
@pytest.mark.parametrize(("target", "debias"), [("ionq.qpu.aria-1", False), ("quantinuum.qpu.h2-1", True)])
def test_a_measured_search_is_billed_as_it_was_planned(emulator: Emulator, target: str, *, debias: bool) -> None:
    values = {"target": target, "debias": debias, "search": "measured"}
    plan = plan_run("vqe", ProblemText(name="heh+"), VqeSettings.model_validate(values))
    billed = []
    for seed in (1, 2, 3):
        workspace = emulator.workspace(f"billed-{target.replace('.', '-')[-8:]}-{seed}")
        asked = VqeSettings.model_validate({**values, "seed": seed})
        result = run_plainly("vqe", workspace, ProblemText(name="heh+"), asked)
        (amount,) = result.cost.values()
        (estimated,) = result.estimated.values()
        assert amount == pytest.approx(estimated, abs=0.01 * result.jobs)  # bills have two decimals
        billed.append(amount)
    assert sorted(billed)[1] == pytest.approx(plan.cost.expected, rel=0.15)


def ring(nodes: int) -> ProblemText:
    """Return a weighted max-cut, whose circuit of one layer is shallow."""
    edges = [f"{node} {(node + 1) % nodes} {1.0 + 0.1 * (node % 7)}\n" for node in range(nodes)]
    return ProblemText(name=f"ring of {nodes}", text="".join(edges))


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [4, 10, 16, 20])
@pytest.mark.parametrize(
    ("target", "cap", "unit"), [("ionq.qpu.aria-1", "max_cost", "USD"), ("rigetti.sim.qvm", "max_shots", "")]
)
def test_a_plan_under_a_cap_is_true_at_every_size(
    emulator: Emulator, nodes: int, target: str, cap: str, unit: str
) -> None:
    values = {"target": target, "seed": 7, "shots": 60, "layers": 1}
    need = plan_run("qaoa", ring(nodes), QaoaSettings.model_validate(values))
    whole = need.cost.expected if unit else float(need.shots.expected)
    assert whole is not None
    for part in (1 / 3, 2.0):
        asked = QaoaSettings.model_validate({**values, cap: f"{part * whole:.2f}{unit}" if unit else int(part * whole)})
        bought = plan_run("qaoa", ring(nodes), asked).bought
        workspace = emulator.workspace(f"sizes-{nodes}-{cap}-{int(10 * part)}".replace("_", "-"))
        result = run_plainly("qaoa", workspace, ring(nodes), asked)
        assert bought is not None
        assert (bought.standard_error is None) == (result.standard_error is None)
        assert bought.is_whole == (part == 2.0)
        assert bought.least_jobs <= result.jobs <= bought.most_jobs
        assert bought.most_jobs - bought.least_jobs <= 0.3 * max(bought.jobs, 1)
        if bought.standard_error is not None:
            assert result.standard_error == pytest.approx(bought.standard_error, rel=0.5)  # of 20 shots, and noise


def test_what_is_too_large_to_simulate_is_planned_by_the_sizes_of_its_terms() -> None:
    chain = [("ZZ", [site, site + 1], -1.0) for site in range(19)] + [("X", [site], -0.9) for site in range(20)]
    operator = SparsePauliOp.from_sparse_list(chain, 20)
    terms = dict(zip(operator.paulis.to_labels(), operator.coeffs.real.tolist(), strict=True))
    problem = ProblemText(name="chain", text=json.dumps({"terms": terms}))
    asked = {"target": "ionq.qpu.aria-1", "layers": 2, "debias": False, "max_cost": "200USD"}
    plan = plan_run("vqe", problem, VqeSettings.model_validate(asked))
    assert plan.assumed is not None
    assert plan.bought is not None
    assert plan.bought.is_assumed
    assert plan.bought.cost <= 200.0
    shots = plan.bought.shots
    deviation = math.sqrt(19.0) + 0.9 * math.sqrt(20.0)  # of two groups, by Neyman allocation
    assert plan.bought.standard_error == pytest.approx(deviation / math.sqrt(shots), rel=0.05)
    assert "not simulated: by the sizes of the operator's terms" in str(plan)
    scarce = plan_run("vqe", problem, VqeSettings.model_validate({**asked, "max_cost": "20USD"}))
    assert scarce.bought is not None
    assert scarce.bought.standard_error is None
