"""Costs of the journal's runs since a time: sums by group, compared with what was recorded; and their picture."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hybridloop.journal import Job, Journal, Lease, Owner, journal_url
from hybridloop.journal.amounts import day_of
from hybridloop.reports.cost_groups import CostGroup
from hybridloop.reports.costs import cost_rows, open_reservations
from hybridloop.reports.plots.costs import cost_bars, unit_to_draw
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


def test_costs_since_a_day_are_summed_by_group(url: str) -> None:
    recent = day_of(time.time()) - 30
    with Journal(url) as journal:
        found = {group: cost_rows(journal, recent, None, group) for group in CostGroup}
        thesis, thesis_total = cost_rows(journal, 0, None, CostGroup.RUN, "thesis-*")
    rows = {group: each for group, (each, _) in found.items()}
    assert [(row.name, row.jobs, row.billed) for row in rows[CostGroup.RUN]] == [
        ("other", 1, {"eHQC": 7.0}),
        ("thesis-c", 3, {}),
        ("thesis-b", 2, {"eHQC": 11.5}),
    ]
    assert [(row.name, row.runs, row.shots) for row in rows[CostGroup.TARGET]] == [(EMULATED, 2, 3000), (FREE, 1, 3000)]
    assert [row.name for row in thesis] == ["thesis-c", "thesis-b", "thesis-a"]
    assert {row.name for row in rows[CostGroup.MONTH]} == {row.name[:7] for row in rows[CostGroup.DAY]}
    for _, total in found.values():
        assert (total.runs, total.jobs, total.shots, total.billed) == (3, 6, 6000, {"eHQC": 18.5})
    assert thesis_total.billed == {"eHQC": 92.5}


def test_a_cost_falls_in_the_month_in_which_its_job_ended_and_stays_when_the_run_is_deleted(tmp_path: Path) -> None:
    october, november = (datetime(2026, month, day, tzinfo=UTC).timestamp() for month, day in ((10, 31), (11, 2)))
    clock, url = [october], journal_url(tmp_path / "journal.db")
    azure = {"workspace": {"name": "team", "host": "eastus.quantum.azure.com"}, "deployment": "vqe/nightly"}
    local = {"workspace": {"name": "emulator", "host": "127.0.0.1"}}
    with Journal(url, now=lambda: clock[0]) as journal:

        def begin(key: str, sequence: int, **settings: Any) -> tuple[Lease, Job]:
            known = journal.run_by_key(key)
            record = known or journal.add_run(replace(new_run(key), target=EMULATED, settings=settings))
            lease = journal.take_lease(record.uid)
            job = Job(str(uuid.uuid4()), 0, 0, 0, 0, 1000, None, 0, {"eHQC": 10.0})
            journal.begin_round(lease, "main", sequence, EMULATED, [pub(points=1)], [job], {PROGRAM: BODY})
            return lease, job

        def end(lease: Lease, job: Job, sequence: int, billed: Mapping[str, float] | None) -> None:
            over = replace(job, state="lost", reason="no counts here", billed=billed)
            journal.record_outcomes(lease, "main", sequence, [over], complete=True)
            journal.set_status(lease, "stopped", "")
            journal.release(lease)

        tags = {"tags": ["thesis", "night"]}
        end(*begin("long", 0, **azure, settings=tags), 0, {"eHQC": 6.0})
        end(*begin("here", 0, **local), 0, {"eHQC": 3.0})
        clock[0] = november
        end(*begin("long", 1), 1, None)  # without a bill
        begin("long", 2)
        months, total = cost_rows(journal, 0, None, CostGroup.MONTH)
        assert [(row.name, row.billed, row.unbilled, row.reserved, row.local) for row in months] == [
            ("2026-11", {}, {"eHQC": 10.0}, {"eHQC": 10.0}, {}),
            ("2026-10", {"eHQC": 6.0}, {}, {}, {"eHQC": 3.0}),
        ]
        assert (total.runs, total.jobs, total.shots) == (2, 4, 4000)
        tagged, all_ = cost_rows(journal, day_of(november), None, CostGroup.TAG)
        assert [(row.name, row.unbilled) for row in tagged] == [("night", {"eHQC": 10.0}), ("thesis", {"eHQC": 10.0})]
        assert all_.unbilled == {"eHQC": 10.0}
        deployed, _ = cost_rows(journal, 0, day_of(november), CostGroup.DEPLOYMENT)
        assert [(row.name, row.billed) for row in deployed] == [("vqe/nightly", {"eHQC": 6.0}), ("-", {})]
        journal.delete_runs([journal.run("here").uid])
        gone, after = cost_rows(journal, 0, None, CostGroup.RUN)
        assert [(row.name, row.local) for row in gone] == [("long", {}), ("deleted", {"eHQC": 3.0})]
        assert after == total


def test_what_stays_reserved_for_a_run_without_a_process_is_named_with_the_command_that_settles_it(
    tmp_path: Path,
) -> None:
    url = journal_url(tmp_path / "journal.db")
    dead = replace(Owner.of_this_process(), started_at=1.0)
    with Journal(url) as journal:
        for key, owner, status in (
            ("dead", dead, "running"),
            ("alive", Owner.of_this_process(), "running"),
            ("stopped", None, "stopped"),
            ("parked", None, "parked"),
        ):
            lease = journal.take_lease(journal.add_run(replace(new_run(key), target=EMULATED)).uid, owner=owner)
            job = Job(str(uuid.uuid4()), 0, 0, 0, 0, 1000, None, 0, {"eHQC": 10.0})
            journal.begin_round(lease, "main", 0, EMULATED, [pub(points=1)], [job], {PROGRAM: BODY})
            journal.set_status(lease, status, "")
            if owner is None:
                journal.release(lease)
        left = {each.run_key: each for each in open_reservations(journal, time.time())}
        assert left.keys() == {"dead", "stopped"}
        assert (left["dead"].reserved, left["dead"].command) == ({"eHQC": 10.0}, "hybridloop runs resume dead")
    environ = {"HYBRIDLOOP_JOURNAL": url, "HYBRIDLOOP_HOME": str(tmp_path)}
    said = "10.00 eHQC stay reserved for jobs of run dead, which no process works on: hybridloop runs resume dead"
    for command in ("cost", "status"):
        assert said in run_in_process(environ, command).err
        document = json.loads(run_in_process(environ, command, "--json").out)
        assert {each["run_key"] for each in document["unsettled"]} == {"dead", "stopped"}


def test_the_picture_shows_the_unit_that_costs_and_names_all_amounts(url: str, tmp_path: Path) -> None:
    with Journal(url) as journal:
        rows, _ = cost_rows(journal, 0, None, CostGroup.RUN)
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
    assert lines[0] == ["run", "runs", "jobs", "shots", "billed"]
    assert lines[-1][:4] == ["total", "3", "6", "6000"]
    assert "18.50 eHQC" in shown.out.splitlines()[-1]
    assert (tmp_path / "cost.svg").is_file()
    document = json.loads(run_in_process(environ, "cost", "--by", "target", "--keys", "other", "--json").out)
    assert document["rows"][0]["name"] == EMULATED
    assert document["total"]["billed"] == {"eHQC": 7.0}
    assert "nothing was spent since 2020-01-01 until 2020-02-01 (UTC)" in (
        run_in_process(environ, "cost", "--since", "2020-01-01", "--until", "2020-02-01").out
    )
    for option, text, message in (
        ("--since", "5", "--since must have a unit, for example 5d, got '5'"),
        ("--since", "soon", "--since"),
        ("--since", "2026-13-01", "--since must be a day such as 2026-11-01, got '2026-13-01'"),
        ("--until", "30d", "--until must be a day such as 2026-11-01, got '30d'"),
    ):
        refused = run_in_process(environ, "cost", option, text)
        assert refused.code == 2
        assert message in refused.err
