"""`hybridloop plan …` as a user types it: text, JSON and a comparison, without a submission."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace

from hybridloop.estimate.plan import Plan
from tests.cli.shell_helpers import WorkspaceShell, run_in_process


def planned(at: WorkspaceShell, *arguments: str) -> str:
    result = run_in_process(at.shell.environ, "plan", *arguments)
    assert result.code == 0, result.err
    return result.out


def test_a_plan_is_printed_with_its_price_keep_alive_time_and_circuits(plain_workspace: WorkspaceShell) -> None:
    text = planned(plain_workspace, "qaoa", "ring-8", "--target", "ionq.qpu.forte-1", "--max-cost", "20USD")
    lines = {line[:12].strip(): line[13:] for line in text.splitlines() if line.startswith("  ")}
    assert "nothing was submitted" in text
    assert lines["rounds"] == "1"
    assert lines["shots"] == "1,000"
    # three layers of eight edges and eight nodes: 168.195 + 1000 (32 × 0.0001645 + 24 × 0.001121)
    assert lines["price"].startswith("200.36 USD; by the prices")
    assert "prices of 2026" in lines["price"]
    assert lines["keep-alive"].startswith("renew: ")
    assert re.search(r"from \d+\.\d s of this machine's simulator", lines["time"])
    assert "on Azure not known: no times of ionq.qpu.forte-1 are published or recorded" in text
    assert lines["hard cap"] == "max_cost 20.00 USD"
    assert lines["it buys"].startswith("no value: max_cost is reached")
    assert "max_cost is reached after 0 of 1 rounds, before the run has a value" in text
    assert list(plain_workspace.workspace.list_sessions()) == []
    assert list(plain_workspace.workspace.list_jobs()) == []


def test_a_plan_includes_debias_off_and_a_comparison_has_a_line_for_each_target(
    plain_workspace: WorkspaceShell,
) -> None:
    text = planned(
        plain_workspace, "qaoa", "ring-8", "--target", "ionq.qpu.forte-1", "--no-debias", "--targets",
        "rigetti.sim.qvm,quantinuum.qpu.h2-1",
    )  # fmt: skip
    assert "price      57.96 USD" in text  # 25.7899 in place of 168.195
    rows = [line.split() for line in text.splitlines() if line.startswith(("rigetti.sim.qvm ", "quantinuum.qpu."))]
    (head,) = [line for line in text.splitlines() if line.startswith("target ")]
    assert "  time (est.)  " in head
    assert "Times are on Azure, with all queues, by recorded and published figures" in text
    assert [(row[0], row[-1]) for row in rows] == [("rigetti.sim.qvm", "ping"), ("quantinuum.qpu.h2-1", "renew")]


def test_a_plan_has_the_options_of_its_own_target_alone(plain_workspace: WorkspaceShell) -> None:
    asked = ("vqe", "h2", "--seed", "7", "--target", "ionq.simulator", "--precision", "0.01")
    noisy = ("--provider-option", "noise.model=aria-1", "--provider-option", "noise.seed=3", "--targets")
    text = planned(plain_workspace, *asked, *noisy, "rigetti.sim.qvm")
    assert "h2 by vqe on ionq.simulator with noise.model=aria-1, noise.seed=3: a plan from 5 dry runs" in text
    assert "noise: gate and readout errors are left in the value" in text
    (row,) = [line for line in text.splitlines() if line.startswith("rigetti.sim.qvm ")]
    assert "free" in row
    assert "on ionq.simulator: a plan from 1 dry run;" in planned(plain_workspace, *asked)
    for given, message in (
        ("noise.modl=aria-1", "--provider-option noise.modl: ionq.simulator has no such option"),
        ("noise.model=aria-9", "--provider-option noise.model: 'aria-9' is no value of it on ionq.simulator"),
        ("noise.model", "--provider-option: 'noise.model' is not NAME=VALUE"),
    ):
        refused = run_in_process(plain_workspace.shell.environ, "plan", *asked, "--provider-option", given)
        assert (refused.code, message in refused.err) == (2, True), refused.err


def untimed(plan: str) -> str:
    """Return a plan's text without its line of times, which each plan measures for itself."""
    text, lines = re.subn(r"^.* of this machine's simulator.*$", "", plan, flags=re.MULTILINE)
    assert lines == 1
    return text


def test_json_is_one_document_from_which_the_plan_can_be_restored(plain_workspace: WorkspaceShell) -> None:
    asked = ("vqe", "h2", "--seed", "7", "--compare")
    document = json.loads(planned(plain_workspace, *asked, "--json"))
    plan = Plan.from_dict(document)
    assert untimed(planned(plain_workspace, *asked)) == untimed(f"{plan}\n")  # Python prints the same text
    shown = replace(plan, problem="<script>")._repr_html_()
    assert ("<script>" in shown, html.unescape(shown).count("<script> by vqe")) == (False, 1)
    assert (plan.algorithm, plan.problem, plan.target) == ("vqe", "h2", "rigetti.sim.qvm")
    assert "ionq.qpu.aria-1" in [row.target for row in plan.comparison]
    assert not any(row.target.endswith("sc") for row in plan.comparison)


def test_a_plan_of_a_run_that_would_be_refused_says_so(plain_workspace: WorkspaceShell) -> None:
    result = run_in_process(plain_workspace.shell.environ, "plan", "qaoa", "ring-8", "--no-debias")
    assert (result.code, "such a run would be refused: --no-debias: " in result.err + result.out) == (2, True)
