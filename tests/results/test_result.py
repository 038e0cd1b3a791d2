"""Results: complete JSON, and a plot."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hybridloop.algorithms.outcome import Fact, Kind, Outcome
from hybridloop.algorithms.problems.energy_units import PER_HARTREE
from hybridloop.errors import InputError
from hybridloop.results.answer import summarize
from hybridloop.results.result import RunResult
from hybridloop.results.result_text import answer, effort, measured_text
from tests.result_helpers import a_result, answered, texts

DICTIONARIES = {"cvar", "cost", "costs", "curve", "estimated", "jobs", "provider_options", "reserved", "solution"}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def result() -> RunResult:
    return a_result()


def test_warnings_come_through_json(result: RunResult) -> None:
    doubted = answered(result, warnings=("below the exact energy: by far",))
    assert RunResult.from_dict(json.loads(doubted.to_json())) == doubted


@pytest.mark.parametrize(("unit", "says"), [("hartree", "+1.300 mHa from"), ("", "+0.0013 from")])
def test_the_comparison_with_the_exact_value_has_the_unit_of_the_value(result: RunResult, unit: str, says: str) -> None:
    assert result.outcome is not None
    met = Fact("locally_optimal", shown=True, reason="met", kind=Kind.ESTIMATED)
    *_, compared = (
        dataclasses.replace(result, unit=unit).with_outcome(dataclasses.replace(result.outcome, facts=(met,))).facts
    )
    assert (compared.name, compared.shown) == ("equals_exact", True)
    assert compared.reason.startswith(says)


def test_json_has_every_field_of_the_result(result: RunResult) -> None:
    document = json.loads(result.to_json())
    names = {field.name for kind in (RunResult, Outcome) for field in dataclasses.fields(kind)}
    assert names - {"outcome", "converged", "is_requested", "variables"} <= document.keys()
    assert {name for name in document if isinstance(document[name], dict)} == DICTIONARIES
    assert document["error"] == pytest.approx(0.0013)
    assert document["jobs"]["total"] == 6
    assert document["cost"] == {"amount": 1.5, "unit": "USD"}
    assert document["sessions"] == [{"id": "an-id", "status": "Succeeded", "jobs": 6}]
    assert [each["phase"] for each in document["history"]] == ["search", "search", "final"]


def test_the_duration_of_a_long_run_is_in_hours(result: RunResult) -> None:
    assert texts(effort(dataclasses.replace(result, wall_seconds=21_600.0)))["effort"].endswith(", 6 h")


@pytest.mark.parametrize(("larger_cap", "resume"), [("--max-cost 50.20USD", " --max-cost 50.20USD"), ("", "")])
def test_the_command_that_resumes_a_run_at_its_cap_has_a_larger_cap(
    larger_cap: str, resume: str, result: RunResult
) -> None:
    stopped = dataclasses.replace(result, status="stopped", outcome=None, run_key="h2-1", larger_cap=larger_cap)
    assert texts(answer(stopped))["resume"] == f"hybridloop runs resume h2-1{resume}"
    assert RunResult.from_dict(json.loads(stopped.to_json())) == stopped


def test_unknown_values_are_null(result: RunResult) -> None:
    document = json.loads(dataclasses.replace(result, exact=None, cost={}).to_json())
    assert document["exact"] is document["error"] is None
    assert document["cost"] == {"amount": None, "unit": None}


def test_the_error_and_the_correlation_energy_of_an_active_space_are_called_its_own(result: RunResult) -> None:
    of_space = dataclasses.replace(result, is_active_space=True)
    text = of_space.details("eV")
    assert "+1.3 mHa from the exact energy of its space; not resolved: ± 2.0 mHa" in str(of_space)
    assert of_space.exact_name == "exact energy of the active space"
    for line in ("error", "recovered", "also"):
        (told,) = [each for each in text.splitlines() if each.startswith(f"  {line}")]
        assert "energy of the active space" in told
    lines = dict(summarize(of_space).details)
    assert lines["Exact"] == "-1.137300 hartree; not resolved: ± 2.0 mHa"
    assert lines["Error"] == "+1.300 mHa against the exact energy of the active space"
    assert "of the active space" in lines["Recovered"]
    assert "active space" not in result.details()


def test_the_recovered_correlation_energy_is_told_with_its_error(result: RunResult) -> None:
    assert result.correlation_recovered == pytest.approx((1.136 - 1.117) / (1.1373 - 1.117))
    assert json.loads(result.to_json())["correlation_recovered"] == result.correlation_recovered
    assert "  recovered  93.6% ± 4.9% of the correlation energy, -20.300 mHa\n" in result.details()  # 0.001 / 0.0203
    unknown = dataclasses.replace(result, exact=None)
    assert unknown.correlation_recovered is None
    assert "  recovered  -19.000 ± 1.000 mHa of correlation energy; the whole is unknown\n" in unknown.details()
    for other in ({"exact": result.reference}, {"unit": "", "exact": None}):
        assert "recovered" not in dataclasses.replace(result, **other).details()
    drowned = answered(result, standard_error=0.03)  # of 0.0203
    assert "recovered" not in drowned.details()


@pytest.mark.parametrize(
    ("unit", "energy", "line"),
    [  # NIST: 1 hartree is 27.211386 eV, 2625.4996 kJ/mol
        ("eV", -1.136 * 27.211386, "-30.91213 eV ± 0.02721, +0.03537 against the exact energy"),
        ("kJ/mol", -1.136 * 2625.4996, "-2982.568 kJ/mol ± 2.625, +3.413 against the exact energy"),
        ("mHa", -1136.0, "-1136.000 mHa ± 1.000, +1.300 against the exact energy"),
    ],
)
def test_energies_are_given_in_other_units_too(unit: str, energy: float, line: str, result: RunResult) -> None:
    assert result.value_in(unit) == pytest.approx(energy, rel=1e-7)
    assert f"  also       {line}\n" in result.details(unit)
    assert "also" not in str(result) + result.details()
    (also,) = [each for each in result.text(unit).splitlines() if each.startswith("  also ")]
    assert also.split()[1] == measured_text(energy, 1e-3 * PER_HARTREE[unit]).split()[0]
    assert also.endswith(" from the exact energy")


def test_energies_in_no_unit_are_refused(result: RunResult) -> None:
    with pytest.raises(InputError, match=r"unit: 'kj/mol' is no unit of energy\. .*kJ/mol"):
        result.text("kj/mol")
    with pytest.raises(InputError, match="no energy in hartree"):
        dataclasses.replace(result, unit="").value_in("eV")


def test_the_plot_shows_every_round_and_the_reference_energies(result: RunResult) -> None:
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
