"""Plots: kinds by run, descriptions in words, themed colours, escaping."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from hybridloop.errors import InputError
from hybridloop.reports.plots import available_kinds, draw, draw_all
from hybridloop.reports.plots.binary import final_assignments
from hybridloop.reports.plots.binary import problem_of as binary_problem_of
from hybridloop.reports.plots.style import VARIABLES
from hybridloop.reports.plots.timeline import Lane, describe, session_lanes, timeline
from hybridloop.runs.stored_run import StoredRun
from tests.long_run_helpers import PAUSE_S, long_run
from tests.stored_run_helpers import IDLE_S, POINTS

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</title><script>alert(1)</script>$\\frac{1}$&\"'"
HOUR_S = 3600.0


@pytest.mark.parametrize(
    ("kept", "kinds"),
    [
        ("vqe", ("convergence", "energy", "timeline")),
        ("stopped", ("timeline", "convergence")),
        ("scan", ("curve", "observables", "timeline", "convergence")),
        ("qaoa", ("histogram", "cut", "timeline")),
        ("idled-renew", ("timeline",)),
    ],
    indirect=["kept"],
)
def test_a_run_has_the_plots_for_its_data(kept: StoredRun, kinds: tuple[str, ...]) -> None:
    assert available_kinds(kept) == kinds


@pytest.mark.parametrize("kept", ["vqe", "qaoa"], indirect=True)
def test_a_figure_shows_itself_in_a_notebook_that_has_loaded_no_display(kept: StoredRun) -> None:
    for drawn in draw_all(kept):
        assert drawn.figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


@pytest.mark.parametrize("kept", ["vqe", "scan", "qaoa", "idled-ping"], indirect=True)
def test_every_plot_is_one_element_with_title_description_and_css_colours(kept: StoredRun) -> None:
    ids: list[str] = []
    for drawn in draw_all(kept):
        text = drawn.svg(themed=True)
        root = ET.fromstring(text)
        assert root.get("role") == "img"
        title, words = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert title is not None
        assert words is not None
        assert (title.text, words.text) == (drawn.title, drawn.description)
        assert any(character.isdigit() for character in drawn.description)
        own = [each.get("id", "") for each in root.iter() if each.get("id")]
        assert all(each.startswith(f"{drawn.kind}-") for each in own)
        ids += own
        assert re.findall(r"#[0-9a-f]{6}\b", text) == []
        assert set(re.findall(r"var\((--[a-z]+)\)", text)) <= set(VARIABLES.values())
        for pair in re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)", text):
            assert set(pair) - {""} <= set(own)
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1999/xlink", "")
        assert text == drawn.svg(themed=True) == picture_again(kept, drawn.kind)
    assert len(set(ids)) == len(ids)


def picture_again(run: StoredRun, kind: str) -> str:
    drawn = draw(run, kind)
    assert drawn is not None
    return drawn.svg(themed=True)


@pytest.mark.parametrize("kept", ["vqe", "qaoa"], indirect=True)
def test_a_hostile_name_is_only_text(kept: StoredRun) -> None:
    result = {**(kept.record.result or {}), "problem": HOSTILE}
    record = replace(kept.record, problem=HOSTILE, result=result)
    for drawn in draw_all(replace(kept, record=record)):
        text = drawn.svg()
        assert "<script" not in text
        assert HOSTILE in "".join(ET.fromstring(text).itertext())


@pytest.mark.parametrize("kept", ["qaoa"], indirect=True)
def test_the_histogram_has_every_shot_and_the_cut_every_edge(kept: StoredRun) -> None:
    result = kept.result
    assert result is not None
    seen = final_assignments(kept, binary_problem_of(kept))
    assert sum(each.shots for each in seen) == 1000
    assert seen[0].value == result.best_value == 12.0
    assert sum(each.value * each.shots for each in seen) / 1000 == pytest.approx(result.value)
    drawn = draw(kept, "histogram")
    assert drawn is not None
    (axes,) = drawn.figure.axes
    assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(1000)  # type: ignore[attr-defined]
    cut = draw(kept, "cut")
    assert cut is not None
    assert cut.description.startswith("The cut contains 12 of 15 edges; its weight is 12.")
    (axes,) = cut.figure.axes
    assert sorted(line.get_linestyle() for line in axes.lines) == ["-"] * 12 + ["--"] * 3
    sides: list[Any] = list(axes.collections)
    assert sum(len(side.get_offsets()) for side in sides) == 10


@pytest.mark.parametrize(
    ("kept", "sessions", "pings"), [("idled-ping", 1, 2), ("idled-renew", 2, 0)], indirect=["kept"]
)
def test_the_timeline_has_every_round_idle_time_ping_and_renewal(kept: StoredRun, sessions: int, pings: int) -> None:
    lanes = session_lanes(kept)
    assert [len(lanes), sum(len(lane.pings) for lane in lanes)] == [sessions, pings]
    assert sum(len(lane.in_flight) for lane in lanes) == 2
    assert sum(lane.idle_s for lane in lanes) == pytest.approx(IDLE_S, rel=0.01)
    assert [lane.reason for lane in lanes] == ["", "idle"][:sessions]
    jobs = [len(round_.jobs) for round_ in kept.rounds()]
    assert jobs == [POINTS, 1]
    for lane in lanes:
        for moment in (*lane.pings, *(moment for stretch in lane.in_flight for moment in stretch)):
            assert lane.open[0] <= moment <= lane.open[1]


def test_a_result_is_plotted_from_its_journal_if_it_lacks_the_data(
    bundles: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from hybridloop.reports.bundle.archive import read_bundle

    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", f"sqlite:///{bundles}/journal.db")
    result = read_bundle(bundles / "qaoa.zip")[0].result
    assert result is not None
    assert isinstance(result.plot(str(tmp_path / "cut.png"), kind="cut"), Figure)
    assert (tmp_path / "cut.png").stat().st_size > 1000
    result.plot(str(tmp_path / "timeline.svg"), kind="timeline")
    assert ET.parse(tmp_path / "timeline.svg").getroot().tag == f"{SVG}svg"
    with pytest.raises(InputError, match=r"has no data for a plot of kind energy.*It has histogram, cut, timeline"):
        result.plot(kind="energy")
    with pytest.raises(InputError, match=r"there is no picture 'seascape'\. .*Choose convergence, energy"):
        result.plot(kind="seascape")
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", f"sqlite:///{tmp_path}/another.db")
    with pytest.raises(InputError, match="there is no run 'kept-qaoa'"):
        result.plot(kind="cut")


def lane(begin: float, end: float, *busy: tuple[float, float], reason: str = "") -> Lane:
    return Lane(f"session-{begin}", reason, "Succeeded", (begin, end), busy, ())


def drawn_bars(lanes: list[Lane]) -> list[tuple[float, float]]:
    axes: Any = timeline(lanes, "h2").figure.axes[0]
    return [(bar.get_x(), bar.get_width()) for bar in axes.patches]


def test_a_long_gap_between_sessions_is_shortened_and_labelled() -> None:
    lanes = [lane(0.0, HOUR_S, (0.0, 60.0)), lane(13 * HOUR_S, 14 * HOUR_S, reason="resumed")]
    (first, second) = drawn_bars(lanes)
    assert first == pytest.approx((0.0, 1.0))  # hours
    assert second[1] == pytest.approx(1.0)
    assert 1.0 < second[0] < 1.25
    assert "12 h later" in timeline(lanes, "h2").svg()
    assert describe(lanes) == (
        "2 sessions were open for 2 h together, 119 min of them with no round in flight. "
        "Sessions that followed another: 1 after 'resumed'."
    )


def test_consecutive_sessions_are_drawn_to_scale() -> None:
    lanes = [lane(1000.0, 1070.0), lane(1071.0, 1100.0, reason="TimedOut")]
    assert drawn_bars(lanes) == [pytest.approx((0.0, 70.0)), pytest.approx((71.0, 29.0))]


def test_many_sessions_alternate_between_two_lanes() -> None:
    lanes = [lane(100.0 * number, 100.0 * number + 90.0) for number in range(9)]
    axes: Any = timeline(lanes, "h2").figure.axes[0]
    assert [round(bar.get_y() + bar.get_height() / 2) for bar in axes.patches] == [0, -1] * 4 + [0]


@pytest.mark.parametrize("kept", ["unbatched"], indirect=True)
def test_thousands_of_rounds_make_a_small_picture(kept: StoredRun) -> None:
    run = long_run(kept, 5000)
    assert sum(lane.idle_s for lane in session_lanes(run)) == pytest.approx(
        PAUSE_S * (sum(1 for _ in run.rounds()) - len(run.sessions)), rel=1e-6
    )
    assert all(len(drawn.svg()) < 300_000 for drawn in draw_all(run))
