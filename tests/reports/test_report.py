"""HTML report: complete content, no scripts, no network."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from hybridloop.journal import PRUNED, Event
from hybridloop.reports.content import MAX_ROWS, report_content
from hybridloop.reports.html import compare_with_plan, render_report
from hybridloop.results.result_text import FACT_LABELS, measured_text
from hybridloop.runs.stored_run import StoredRun
from tests.cli.test_control_characters import CONTROL
from tests.long_run_helpers import long_run
from tests.stored_run_helpers import KEYS

HOSTILE = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>{{ 7 * 7 }}"
MOST_BYTES = 5_000_000
MOST_ELEMENTS = 10_000  # a browser shows that many in a fraction of a second


class Page(HTMLParser):
    """Parser of a page: tags in their order, link targets, and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.link_targets: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.link_targets += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.mark.parametrize("kept", ["vqe", "scan", "qaoa", "stopped", "idled-ping", "idled-renew"], indirect=True)
def test_a_page_stands_alone(kept: StoredRun, bundles: Path) -> None:
    page = render_report(kept)
    found = Page(page)
    assert {"script", "iframe", "object", "img", "base"}.isdisjoint(found.tags)
    assert [each for each in found.link_targets if not each.startswith(("#", "data:,"))] == []
    assert not re.search(r"@import|@font-face|url\((?!#)", page)
    assert "default-src 'none'" in page
    assert found.tags.count("h1") == 1
    assert {"header", "nav", "main", "footer", "caption", "figcaption"} <= set(found.tags)
    assert [key for key in (bundles / KEYS).read_text().split() if key in page] == []
    assert kept.record.uid in found.text


def test_the_page_has_result_effort_and_provenance(vqe_run: StoredRun) -> None:
    result = vqe_run.result
    assert result is not None
    assert result.value is not None
    text = Page(render_report(vqe_run)).text
    for said in (
        f"{measured_text(result.value, result.standard_error or 0.0)} hartree (standard error)",
        "-1.137306 hartree",
        f"Converged: {result.reason}.",
        result.choices[0],
        "conserved by the circuit",
        *(fact.reason for fact in result.facts if fact.name in FACT_LABELS),
        f"{result.jobs:,}",
        f"{result.shots:,}",
        "0.00 USD",
        result.sessions[0].id,
        "precision",
        "Prices dated 2026-08",
        f"azure-quantum {version('azure-quantum')}",
        "hybridloop runs verify kept-vqe.zip",
    ):
        assert said in text, said


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (
            "qaoa",
            (
                "12",
                "Cut 12 of at most 12",
                "Optimum 12",
                "rightmost: variable 0",
                "Best assignments of the final measurement",
            ),
        ),
        ("scan", ("Points", "h2-1.6", "H–H distance (Å)", "Curve lowest -1.1", "hartree at h2")),
        ("stopped", ("hartree so far", "So far -1.1", "max_jobs is reached", "max_jobs 3")),
        ("idled-ping", ("A script's own loop", "Measured: the script came to the end", "Keep-alive pings 2")),
        ("idled-renew", ("TimedOut", "idle")),
    ],
    indirect=["kept"],
)
def test_the_page_of_every_kind_of_run_has_its_content(kept: StoredRun, said: tuple[str, ...]) -> None:
    text = Page(render_report(kept)).text
    assert [each for each in said if each not in text] == []


@pytest.mark.parametrize("kept", ["qaoa"], indirect=True)
def test_the_page_compares_a_run_with_its_plan(kept: StoredRun) -> None:
    planned, result = compare_with_plan(kept), kept.result
    assert planned is not None
    assert result is not None
    expected = {row[0]: row[1] for row in planned.rows}
    taken = {row[0]: row[-1] for row in planned.rows}
    price = "0.00 USD"
    assert expected | {"Price": f"{price} (local: not billed)"} == taken  # fixed angles: one job for any outcome
    assert expected == {"Rounds": "1", "Jobs": "1", "Shots": f"{result.shots:,}", "Price": price}
    text = Page(render_report(kept, planned=planned)).text
    assert f"Shots {result.shots:,}" in text
    assert "Comparison with its plan" in text
    assert "Comparison with its plan" not in Page(render_report(kept)).text


@pytest.mark.parametrize(("kept", "rows"), [("vqe", 4), ("stopped", 4), ("idled-ping", 0)], indirect=["kept"])
def test_a_script_has_no_plan(kept: StoredRun, rows: int) -> None:
    planned = compare_with_plan(kept)
    assert (0 if planned is None else len(planned.rows)) == rows


def hostile(value: Any) -> Any:
    """Replace every text by a hostile one, except values that must be known names."""
    if isinstance(value, dict):
        return {name: each if name in ("phase", "status", "kind") else hostile(each) for name, each in value.items()}
    if isinstance(value, list):
        return [hostile(each) for each in value]
    return HOSTILE if isinstance(value, str) else value


@pytest.mark.parametrize("kept", ["vqe", "idled-renew"], indirect=True)
def test_names_and_reasons_with_html_in_them_are_only_text(kept: StoredRun) -> None:
    result = kept.record.result
    told = None
    if result is not None:
        told = {**hostile(dict(result)), "algorithm": "vqe", "unit": "hartree", "warnings": [HOSTILE]}
    settings = {**kept.record.settings, "workspace": {"name": HOSTILE}}
    record = replace(
        kept.record, problem=HOSTILE, key=HOSTILE, target=HOSTILE, reason=HOSTILE, result=told, settings=settings
    )
    record = replace(record, versions={HOSTILE: HOSTILE}, flow_run_id=HOSTILE)
    sessions = [replace(session, id=HOSTILE, reason=HOSTILE, status=HOSTILE) for session in kept.sessions]
    events = [Event(0, 1.0, HOSTILE, {HOSTILE: HOSTILE})]
    attacked = replace(kept, record=record, sessions=sessions, events=events)
    found = Page(render_report(attacked))
    assert {"script", "img"}.isdisjoint(found.tags)
    assert found.text.count(HOSTILE) >= 8


@pytest.mark.parametrize("kept", ["vqe"], indirect=True)
def test_control_characters_of_names_are_escaped(kept: StoredRun) -> None:
    control = "\x1b[2J\u202eabc\x07\x9b\u2028" + "x" * 10_000
    record = replace(kept.record, problem=control, key=control, target=control, reason=control)
    sessions = [replace(session, id=control, reason=control) for session in kept.sessions]
    page = render_report(replace(kept, record=record, sessions=sessions))
    assert CONTROL.search(page) is None
    assert r"\x1b[2J\u202eabc" in page


def test_the_page_of_five_thousand_jobs_is_bounded_and_states_what_it_leaves_out(vqe_run: StoredRun) -> None:
    run = long_run(vqe_run, 5000)
    page = render_report(run)
    assert len(page.encode()) < MOST_BYTES / 5
    assert len(Page(page).tags) < MOST_ELEMENTS
    content = report_content(run)
    assert content.rounds is not None
    assert len(content.rounds.rows) == MAX_ROWS
    rounds = sum(1 for _ in run.rounds())
    assert content.rounds.left_out == rounds - MAX_ROWS
    assert f"of {rounds} the first and the last {MAX_ROWS // 2}" in Page(page).text
    assert dict(content.effort)["Jobs"] == "5,000"


def test_a_pruned_run_still_has_a_report(vqe_run: StoredRun) -> None:
    stripped = replace(
        vqe_run, rounds=lambda: iter(()), spans={}, pings=(), events=[Event(0, 1.0, PRUNED, {"rounds": 4})]
    )
    assert vqe_run.result is not None
    effort = dict(report_content(stripped).effort)
    assert effort["Jobs"] == f"{vqe_run.result.jobs}"
    assert "Energy levels" not in render_report(stripped)


def test_settings_that_are_not_the_default_are_named_first(vqe_run: StoredRun) -> None:
    content = report_content(vqe_run)
    assert content.changed is not None
    assert {row[0] for row in content.changed.rows} == {"seed", "precision", "shots", "ansatz"}
