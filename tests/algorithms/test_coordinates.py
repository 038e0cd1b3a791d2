"""The coordinate that varies in a series of geometries: what a chemist scanned, with its values."""

from __future__ import annotations

import math

import pytest

from hybridloop.algorithms.coordinates import coordinate_columns, varied_coordinate
from hybridloop.algorithms.geometries import Geometry
from hybridloop.inputs.formats.geometry import read_geometry
from hybridloop.reports.plots.curves import find_axis
from tests.value_helpers import known


def series(texts: list[str], basis: str = "sto-3g") -> list[Geometry | None]:
    return [Geometry(read_geometry(text, "it").atoms, basis, 0, 10) for text in texts]


WATER = "O; H 1 {}; H 1 {} 2 {}"
PEROXIDE = "H; O 1 0.97; O 2 1.45 1 100; H 3 0.97 2 100 1 {}"


@pytest.mark.parametrize(
    ("texts", "label", "values"),
    [
        ([f"H 0 0 0; H 0 0 {r}" for r in (0.5, 0.74, 2.5)], "H–H distance (Å)", [0.5, 0.74, 2.5]),
        ([f"Li 0 0 0; H 0 0 {r}" for r in (3.0, 1.6)], "Li–H distance (Å)", [3.0, 1.6]),
        ([WATER.format(r, r, 104.5) for r in (0.9, 1.0, 1.8)], "O–H distance (Å)", [0.9, 1.0, 1.8]),
        ([WATER.format(r, 0.96, 104.5) for r in (0.9, 1.0, 1.8)], "O1–H2 distance (Å)", [0.9, 1.0, 1.8]),
        ([WATER.format(0.96, 0.96, a) for a in (90, 104.5, 120)], "H–O–H angle (°)", [90, 104.5, 120]),
        ([PEROXIDE.format(a) for a in (30, 90, 150)], "H–O–O–H dihedral (°)", [30, 90, 150]),
        (
            [f"H 0 0 0; H 0 0 0.74; H 0 0 {r}; H 0 0 {r + 0.74}" for r in (5.0, 7.0)],
            "H2–H3 distance (Å)",
            [4.26, 6.26],
        ),
    ],
)
def test_the_scanned_coordinate_is_found(texts: list[str], label: str, values: list[float]) -> None:
    found = known(varied_coordinate(series(texts)))
    assert found.label in (label, label.replace("dihedral", "dihedral"))
    if "dihedral" in label:
        assert [min(value, 360 - value) for value in found.values] == pytest.approx(values, abs=1e-3)
    else:
        assert list(found.values) == pytest.approx(values, abs=1e-4)
    rows = [{"problem": f"p{i}", **columns} for i, columns in enumerate(coordinate_columns(series(texts)))]
    axis = known(find_axis(rows, ("problem",), "hartree"))
    assert (axis.label, axis.positions) == (found.label, found.values)


def test_series_that_differ_in_something_else_have_no_coordinate() -> None:
    h2 = [f"H 0 0 0; H 0 0 {r}" for r in (0.5, 0.74)]
    assert varied_coordinate(series(h2)[:1]) is None
    assert varied_coordinate([*series(h2), None]) is None
    assert varied_coordinate([*series(h2), *series(["H 0 0 0; F 0 0 0.9"])]) is None
    assert varied_coordinate([*series(h2), *series(h2, "6-31g")]) is None
    assert varied_coordinate(series([h2[0], h2[0]])) is None
    assert coordinate_columns(series([h2[0], h2[0]])) == [{}, {}]


def test_a_point_of_several_settings_keeps_its_coordinate() -> None:
    h2 = series([f"H 0 0 0; H 0 0 {r}" for r in (0.5, 0.74)])
    found = known(varied_coordinate([h2[0], h2[0], h2[1], h2[1]]))
    assert math.isclose(sum(found.values), 2 * (0.5 + 0.74))
