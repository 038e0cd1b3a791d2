"""What a run hands back: JSON that says all of it, and a picture."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hybridloop.algorithms.outcome import Progress
from hybridloop.flows.results import RunResult, SessionRecord

PNG = b"\x89PNG\r\n\x1a\n"


def _round(number: int, phase: str, value: float) -> Progress:
    return Progress(number, phase, value, 1e-3, (0.1,), 1, 2, 2000, 2000 * number)


@pytest.fixture
def result() -> RunResult:
    return RunResult(
        run_key="vqe-h2-0123",
        algorithm="vqe",
        problem="h2",
        target="rigetti.sim.qvm",
        status="converged",
        reason="there is nothing left to gain",
        value=-1.136,
        standard_error=1e-3,
        interval95=(-1.138, -1.134),
        is_exact=False,
        rounding_bound=0.0,
        is_precise=True,
        exact=-1.1373,
        reference=-1.117,
        parameters=(0.1,),
        rounds=3,
        jobs=6,
        retried=0,
        pings=0,
        shots=6000,
        cost={"USD": 1.5},
        sessions=(SessionRecord("an-id", "Succeeded", 6),),
        seed=7,
        resumed=False,
        wall_seconds=2.0,
        history=(_round(1, "search", -1.12), _round(2, "search", -1.13), _round(3, "final", -1.136)),
    )


def test_warnings_come_through_json(result: RunResult) -> None:
    doubted = dataclasses.replace(result, warnings=("below the exact energy: by far",))
    assert RunResult.from_dict(json.loads(doubted.to_json())) == doubted
    before = {name: value for name, value in result.as_dict().items() if name != "warnings"}
    assert RunResult.from_dict(before).warnings == ()  # of a run from before there were any


def test_json_says_all_that_the_result_says(result: RunResult) -> None:
    document = json.loads(result.to_json())
    assert {field.name for field in dataclasses.fields(result)} <= document.keys()
    assert document["error"] == pytest.approx(0.0013)
    assert document["jobs"]["total"] == 6
    assert document["cost"] == {"amount": 1.5, "unit": "USD"}
    assert document["sessions"] == [{"id": "an-id", "status": "Succeeded", "jobs": 6}]
    assert [each["phase"] for each in document["history"]] == ["search", "search", "final"]


def test_what_is_not_known_is_null(result: RunResult) -> None:
    document = json.loads(dataclasses.replace(result, exact=None, cost={}).to_json())
    assert document["exact"] is document["error"] is None
    assert document["cost"] == {"amount": None, "unit": None}


def test_the_picture_shows_every_round_and_what_the_value_is_held_against(result: RunResult) -> None:
    figure = result.plot()
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    labels = " ".join(text.get_text() for text in legend.get_texts())
    assert all(word in labels for word in ("search", "final", "Hartree-Fock", "exact", "95 %"))
    rounds = [container.lines[0].get_xdata().tolist() for container in axes.containers]  # type: ignore[attr-defined]
    assert rounds == [[1, 2], [3]]
    assert "h2 on rigetti.sim.qvm: -1.136000" in axes.get_title()


def test_a_value_counts_as_chemically_accurate_on_either_side_of_the_exact_one(result: RunResult) -> None:
    (axes,) = result.plot().axes
    (band,) = [patch for patch in axes.patches if patch.get_label() == "chemical accuracy"]
    assert isinstance(band, Rectangle)
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((-1.1373 - 1.6e-3, -1.1373 + 1.6e-3))


def test_a_molecule_too_large_for_an_exact_energy_has_a_picture_without_one(result: RunResult) -> None:
    (axes,) = dataclasses.replace(result, exact=None).plot().axes
    assert "exact" not in [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize(("name", "begins"), [("h2.svg", b"<?xml"), ("h2.png", PNG)])
def test_the_picture_is_written_in_the_format_of_its_name(
    name: str, begins: bytes, result: RunResult, tmp_path: Path
) -> None:
    result.plot(str(tmp_path / name))
    assert (tmp_path / name).read_bytes().startswith(begins)
