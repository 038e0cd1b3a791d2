"""Curves over what varies, default plots, and landscapes against independent simulations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

import hybridloop as hl
from hybridloop.errors import InputError
from hybridloop.flows.sweep_execution.results import SweepResult
from hybridloop.reports.bundle.archive import read_bundle
from hybridloop.reports.plots import draw
from hybridloop.reports.plots.curves import curve, find_axis
from hybridloop.reports.plots.landscape import of_qaoa
from hybridloop.reports.plots.request import PlotRequest
from hybridloop.results.result import RunResult
from hybridloop.runs.stored_run import StoredRun
from tests.conftest import Emulator

pyscf = pytest.importorskip("pyscf")


def h2_energy(length: float) -> float:
    from pyscf import fci, gto, scf

    atoms = gto.M(atom=f"H 0 0 0; H 0 0 {length}", basis="sto-3g", verbose=0)
    return float(fci.FCI(scf.RHF(atoms).run()).kernel()[0])


def rows_of(names: list[str], **columns: list[Any]) -> list[dict[str, Any]]:
    values = {"value": [-1.0] * len(names), "standard_error": [0.01] * len(names), **columns}
    return [{"problem": name, **{key: column[k] for key, column in values.items()}} for k, name in enumerate(names)]


@pytest.mark.usefixtures("own_journal")
def test_the_line_of_a_scan_has_exact_energies_alone(emulator: Emulator) -> None:
    result = hl.scan(
        ["H 0 0 0; H 0 0 {0.5:3.0:6}"], seed=3, precision=0.01, host="plain", workspace=emulator.workspace()
    )
    lines = {str(line.get_label()): np.asarray(line.get_xydata(), float) for line in result.plot().axes[0].lines}
    drawn = lines["exact"]
    assert len(drawn) > 30
    assert {row["coordinate"] for row in result.table} <= set(drawn[:, 0].tolist())
    for length, energy in drawn[::5]:
        assert energy == pytest.approx(h2_energy(length), abs=1e-7)
    assert drawn[:, 1].min() == pytest.approx(-1.1373, abs=5e-4)
    for length, energy in lines["Hartree-Fock"][::9]:
        assert energy == pytest.approx(hartree_fock(length), abs=1e-7)


def hartree_fock(length: float) -> float:
    from pyscf import gto, scf

    return float(scf.RHF(gto.M(atom=f"H 0 0 0; H 0 0 {length}", basis="sto-3g", verbose=0)).run().e_tot)


def test_without_what_was_computed_between_them_there_are_points_alone() -> None:
    names = ["h2-0.3", "h2", "h2-1.6"]
    rows = rows_of(names, exact=[-0.6, -1.13, -1.0], reference=[-0.59, -1.11, -0.9])
    (axes,) = curve("three", rows, ("problem",), "hartree").figure.axes
    (exact,) = [line for line in axes.lines if line.get_label() == "exact"]
    assert (exact.get_linestyle(), exact.get_marker()) == ("None", "_")
    assert np.size(exact.get_xdata()) == 3


@pytest.mark.parametrize(
    ("names", "label", "positions"),
    [
        (["h2-0.3", "h2", "h2-1.6"], "H–H distance (Å)", (0.3, 0.735, 1.6)),
        (["water-0.9A", "water-1.1A"], "water (Å)", (0.9, 1.1)),
        (["water_100deg", "water_104.5deg"], "water (°)", (100.0, 104.5)),
        (["water-0.9", "water-1.1"], "number after water", (0.9, 1.1)),
    ],
)
def test_the_axis_names_what_varies_with_its_unit(names: list[str], label: str, positions: tuple[float, ...]) -> None:
    axis = find_axis(rows_of(names), ("problem",), "hartree")
    assert axis is not None
    assert (axis.label, axis.positions) == (label, positions)


def test_seeds_are_not_an_axis_but_repetitions_of_a_curve() -> None:
    rows = rows_of(["h2-0.3", "h2-0.3", "h2-1.6", "h2-1.6"], seed=[1, 2, 1, 2])
    drawn = SweepResult("seeds", "vqe", "hartree", ("problem", "seed"), tuple(rows), 0, 0.0).plot()
    (axes,) = drawn.axes
    assert len(axes.containers) == 1
    assert axes.get_xlabel() == "H–H distance (Å)"
    assert axes.get_ylabel() == "energy (hartree)"


def test_a_sweep_names_the_axis_of_its_problems_and_each_problem_has_its_exact_value_over_a_setting() -> None:
    rows = rows_of(["mine-1", "mine-2"])
    named = SweepResult("mine", "vqe", "hartree", ("problem",), tuple(rows), 0, 0.0, "angle (°)").plot()
    assert named.axes[0].get_xlabel() == "angle (°)"
    rows = rows_of(["h2", "heh+"] * 2, shots=[100, 100, 5000, 5000], exact=[-1.1, -2.9] * 2)
    (axes,) = SweepResult("shots", "vqe", "hartree", ("shots",), tuple(rows), 0, 0.0).plot().axes
    exact = [line for line in axes.lines if line.get_label() == "exact"]
    assert [set(line.get_ydata()) for line in exact] == [{-1.1}, {-2.9}]
    assert (axes.get_xlabel(), axes.get_xscale()) == ("shots per circuit", "log")


def test_a_point_has_its_numbers_under_the_pointer() -> None:
    text = curve("<curve>", rows_of(["h2-0.3", "h2-1.6"]), ("problem",), "hartree").svg(themed=True)
    assert "<title>h2-0.3: -1.000000 ± 0.010000</title>" in text
    assert re.findall(r"#[0-9a-f]{6}\b", text) == []


@pytest.mark.parametrize(("name", "label"), [("qaoa", "best cut"), ("scan", "H–H distance (Å)"), ("vqe", "round")])
def test_without_a_kind_the_answer_is_drawn(
    name: str, label: str, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", f"sqlite:///{bundles}/journal.db")
    result = stored(bundles, name)[1]
    (axes, *_) = result.plot().axes
    if name == "qaoa":
        assert axes.get_title() == "petersen: a cut of 12"
    else:
        assert axes.get_xlabel() == label
    if name == "scan":
        assert result.plot(axis="distance (Å)").axes[0].get_xlabel() == "distance (Å)"


@pytest.mark.parametrize("kept", ["qaoa"], indirect=True)
def test_the_histogram_compares_with_as_many_random_assignments(kept: StoredRun) -> None:
    drawn = draw(kept, "histogram")
    assert drawn is not None
    (axes,) = drawn.figure.axes
    (random,) = [line for line in axes.lines if line.get_label() == "random assignments"]
    edges, heights = (np.asarray(data, float)[1:-1:2] for data in random.get_data())
    cuts = [sum((bits >> i & 1) != (bits >> j & 1) for i, j in PETERSEN) for bits in range(1024)]
    assert heights.sum() == pytest.approx(1000)
    assert float((heights * (edges + 0.5)).sum()) / 1000 == pytest.approx(np.mean(cuts))


PETERSEN = [(i, (i + 1) % 5) for i in range(5)] + [(i, i + 5) for i in range(5)]
PETERSEN += [(5 + i, 5 + (i + 2) % 5) for i in range(5)]


def request(run: StoredRun, angles: list[int] | None) -> PlotRequest:
    assert run.result is not None
    return PlotRequest(run.result, lambda: run, angles=angles)


def stored(bundles: Path, name: str) -> tuple[StoredRun, RunResult]:
    run = read_bundle(bundles / f"{name}.zip")[0]
    assert run.result is not None
    return run, run.result


def test_the_landscape_of_qaoa_is_that_of_its_circuit(bundles: Path) -> None:
    run, result = stored(bundles, "qaoa")
    drawn = of_qaoa(request(run, None))
    assert drawn is not None
    axes = drawn.figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("β₁ (rad)", "γ₁ (rad)")
    highest = float(re.findall(r"to (-?\d+\.\d+)", drawn.description)[0])
    assert result.value is not None
    assert result.standard_error is not None
    assert abs(highest - result.value) < 4 * result.standard_error  # the angles were optimized on a simulation
    along_one = of_qaoa(request(run, [0]))
    assert along_one is not None
    simulated = next(line for line in along_one.figure.axes[0].lines if line.get_label() == "simulation")
    values, at = np.asarray(simulated.get_ydata()), np.asarray(simulated.get_xdata())
    assert abs(np.interp(result.parameters[0], at, values) - result.value) < 4 * result.standard_error
    with pytest.raises(InputError, match="are not one or two of the"):
        of_qaoa(request(run, [0, 0]))


@pytest.mark.parametrize("kept", ["scan"], indirect=True)
def test_a_run_for_energies_has_no_landscape(kept: StoredRun) -> None:
    assert draw(kept, "landscape") is None


def test_objectives_of_several_problems_are_drawn_from_the_worst_to_the_best() -> None:
    """The first problem has values from 0 to 10 and a random mean of 4, the second from −8 to 2, with one of −1."""
    columns = {
        "value": [9.0, 10.0, 8.0, -6.0],
        "standard_error": [0.5, 0.0, 0.2, 0.1],
        "approximation_ratio": [0.9, 1.0, 0.8, 0.8],
        "exact": [10.0, 10.0, 10.0, -8.0],
        "reference": [4.0, 4.0, 4.0, -1.0],
    }
    rows = rows_of(["ring", "ring", "ring", "cost"], layers=[1, 3, 2, 1], **columns)
    picture = curve("ratios", rows, ("problem", "layers"), "", quantity="objective")
    (axes,) = picture.figure.axes
    assert axes.get_ylabel() == "approximation ratio"
    drawn = {line.get_label(): np.asarray(line.get_ydata(), float).tolist() for line in axes.get_lines()}
    assert drawn["mean of all of ring"] == pytest.approx([0.4, 0.4])
    assert drawn["mean of all of cost"] == pytest.approx([0.3])
    styles = {str(line.get_linestyle()) for line in axes.get_lines() if str(line.get_label()).startswith("mean of all")}
    assert len(styles) == 2
    of_ring = [each for each in axes.containers if "ring" in str(each.get_label())]
    (bars,) = (each for each in of_ring if isinstance(each, ErrorbarContainer))
    (segments,) = bars.lines[2]
    assert [np.ptp(segment[:, 1]) / 2 for segment in segments.get_segments()] == pytest.approx([0.05, 0.02, 0.0])
    one = curve("one", rows[:3], ("layers",), "", quantity="objective").figure.axes[0]
    assert one.get_ylabel() == "objective"
