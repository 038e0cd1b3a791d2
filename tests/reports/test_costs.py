"""Costs of the journal's runs since a time: sums by group, compared with what was recorded; and their picture."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hybridloop.journal import Job, Journal, journal_url
from hybridloop.reports.cost_groups import CostGroup
from hybridloop.reports.costs import cost_rows, total_row
from hybridloop.reports.plots.costs import cost_bars, unit_to_draw
from hybridloop.runs.stored_run import StoredRun
from tests.cli.shell_helpers import run_in_process
from tests.journal.journal_helpers import BODY, PROGRAM, new_run, pub

DAY_S = 86_400.0
EMULATED, FREE = "quantinuum.sim.h2-1e", "ionq.simulator"
# key, target, days ago, bills of its jobs of 1000 shots
RUNS: list[tuple[str, str, float, list[Mapping[str, float]]]] = [
    ("thesis-a", EMULATED, 40, [{"eHQC": 9.0}] * 9),
    ("thesis-b", EMULATED, 20, [{"eHQC": 5.5}, {"eHQC": 6.0}]),
    ("thesis-c", FREE, 10, [{"USD": 0.0}] * 3),
    ("other", EMULATED, 1, [{"eHQC": 7.0}]),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the journal with RUNS, each begun so many days ago."""
    url, now = journal_url(tmp_path_factory.mktemp("costs") / "journal.db"), time.time()
    for key, target, days, bills in RUNS:
        with Journal(url, now=lambda days=days: now - days * DAY_S) as journal:  # type: ignore[misc]
            lease = journal.take_lease(journal.add_run(replace(new_run(key), target=target)).uid)
            jobs = [
                Job(str(uuid.uuid4()), 0, point, 0, 0, 1000, None, 0, {unit: 10.0 for unit in bill})
                for point, bill in enumerate(bills)
            ]
            journal.begin_round(lease, "main", 0, target, [pub(points=len(bills))], jobs, {PROGRAM: BODY})
            ends = [
                replace(job, state="lost", reason="no counts here", billed=bill)
                for job, bill in zip(jobs, bills, strict=True)
            ]
            journal.record_outcomes(lease, "main", 0, ends, complete=True)
            journal.set_status(lease, "stopped", "")
            journal.release(lease)
    return url


def test_costs_since_a_time_are_summed_by_group(url: str) -> None:
    with Journal(url) as journal:
        recent = time.time() - 30 * DAY_S
        rows = {group: cost_rows(journal, recent, group) for group in CostGroup}
        thesis = cost_rows(journal, 0.0, CostGroup.RUN, "thesis-*")
    assert [(row.name, row.cost.jobs, row.cost.billed) for row in rows[CostGroup.RUN]] == [
        ("other", 1, {"eHQC": 7.0}),
        ("thesis-c", 3, {"USD": 0.0}),
        ("thesis-b", 2, {"eHQC": 11.5}),
    ]
    assert [(row.name, row.runs, row.cost.shots) for row in rows[CostGroup.TARGET]] == [
        (EMULATED, 2, 3000),
        (FREE, 1, 3000),
    ]
    assert [row.name for row in thesis] == ["thesis-c", "thesis-b", "thesis-a"]
    assert sum(row.runs for row in rows[CostGroup.MONTH]) == 3
    assert {row.name for row in rows[CostGroup.MONTH]} == {row.name[:7] for row in rows[CostGroup.DAY]}
    for each in rows.values():
        assert total_row(each).cost == total_row(rows[CostGroup.RUN]).cost
        assert total_row(each).runs == 3
    assert total_row(thesis).cost.billed == {"USD": 0.0, "eHQC": 92.5}


def test_a_run_without_jobs_in_the_journal_costs_what_its_result_states(vqe_run: StoredRun, tmp_path: Path) -> None:
    result = vqe_run.result
    assert result is not None
    assert result.jobs > 0
    result = replace(result, retried=2, pings=1, cost={"USD": 3.5})
    with Journal(journal_url(tmp_path / "journal.db")) as journal:
        lease = journal.take_lease(journal.add_run(replace(new_run("pruned"), algorithm="vqe")).uid)
        journal.set_status(lease, "converged", "", result.as_dict())
        (row,) = cost_rows(journal, 0.0, CostGroup.RUN)
    assert (row.cost.jobs, row.cost.shots) == (result.jobs + 3, result.shots)
    assert row.cost.billed == {"USD": 3.5}


def test_the_picture_shows_the_unit_that_costs_and_names_all_amounts(url: str, tmp_path: Path) -> None:
    with Journal(url) as journal:
        rows = cost_rows(journal, 0.0, CostGroup.RUN)
    assert unit_to_draw(rows) == "eHQC"
    assert unit_to_draw([row for row in rows if row.name == "thesis-c"]) is None
    picture = cost_bars(rows, "Cost", "eHQC")
    assert "thesis-a: 81.00 eHQC; thesis-b: 11.50 eHQC; other: 7.00 eHQC" in picture.description
    picture.save(str(tmp_path / "cost.svg"))
    assert "81.00" in (tmp_path / "cost.svg").read_text("utf-8")
    many = cost_bars(rows * 9, "Cost", "eHQC")  # 36 bars are too many
    assert "17 others" in many.description


def test_the_command_prints_rows_a_total_and_json_and_draws(url: str, tmp_path: Path) -> None:
    environ = {"HYBRIDLOOP_JOURNAL": url}
    shown = run_in_process(environ, "cost", "--since", "30d", "--plot", str(tmp_path / "cost.svg"))
    lines = [line.split() for line in shown.out.splitlines()]
    assert lines[0] == ["run", "runs", "jobs", "shots", "estimated", "billed"]
    assert lines[-1][:4] == ["total", "3", "6", "6000"]
    assert "18.50 eHQC" in shown.out.splitlines()[-1]
    assert (tmp_path / "cost.svg").is_file()
    document = json.loads(run_in_process(environ, "cost", "--by", "target", "--keys", "other", "--json").out)
    assert document["rows"][0]["name"] == EMULATED
    assert document["total"]["billed"] == {"eHQC": 7.0}
    assert "no run began" in run_in_process(environ, "cost", "--since", "1h").out
    for age, message in (("5", "--since must have a unit, for example 5d, got '5'"), ("soon", "--since")):
        refused = run_in_process(environ, "cost", "--since", age)
        assert refused.code == 2
        assert message in refused.err
