"""Ranges of a scan: one geometry with a range is the series of its values; nothing else takes one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.algorithms.coordinates import varied_coordinate
from hybridloop.errors import InputError
from hybridloop.inputs.formats.energies import geometry_of
from hybridloop.inputs.problem_objects.geometry_options import GeometryOptions
from hybridloop.inputs.problems import Reading, read_for, read_problem
from hybridloop.inputs.ranges import with_ranges
from hybridloop.preparation.checks import points_of_scan
from hybridloop.settings import ProblemText
from tests.preparation_helpers import settings_for


def points(*given: object) -> list[ProblemText]:
    settings = settings_for("scan", {"active_space": (2, 2)})
    return list(points_of_scan(read_for("scan", list(given), settings, Reading(GeometryOptions()))))


def test_a_range_is_the_series_of_its_values() -> None:
    ranged = points("H 0 0 0; H 0 0 {0.5:2.5:5}")
    single = points(*(f"H 0 0 0; H 0 0 {distance}" for distance in (0.5, 1.0, 1.5, 2.0, 2.5)))
    assert ranged == single


def test_ranges_of_a_file_advance_together(tmp_path: Path) -> None:
    file = tmp_path / "water.zmat"
    file.write_text("O\nH 1 R\nH 1 {0.9:1.3:3} 2 {104.5: 90 :3}\n\nR = {0.9:1.3:3}\n")
    found = points(file, "Li 0 0 0; H 0 0 1.6")
    assert [each.name for each in found] == [f"water-{n}-sto-3g" for n in (1, 2, 3)] + ["LiH-sto-3g"]
    coordinate = varied_coordinate([geometry_of(each.text or "") for each in found[:3]])
    assert coordinate is not None
    assert coordinate.values == pytest.approx((0.9, 1.1, 1.3))


@pytest.mark.parametrize("atoms", ["H 0 {0:1:3} 0; H 0 0 {0.5:2.5:4}", "H 0 0 0; H 0 0 {1:2:1}", "H 0 0 {1:2:1001}"])
def test_a_range_without_a_series_is_refused(atoms: str) -> None:
    with pytest.raises(InputError, match=r"its ranges have [\d, ]+ values\. Give each range 2 to 1000 values"):
        points(atoms)


def test_a_range_is_of_a_scan_alone(tmp_path: Path) -> None:
    file = tmp_path / "h2.txt"
    file.write_text("H 0 0 0; H 0 0 {0.5:2.5:5}")
    for problem in ("H 0 0 0; H 0 0 {0.5:2.5:5}", file, str(file)):
        with pytest.raises(InputError, match=r"it has a range, which stands for several geometries\. Use scan"):
            read_problem(problem, GeometryOptions())


@given(st.floats(-9, 9), st.floats(-9, 9), st.integers(2, 50))
def test_the_values_are_evenly_spaced_from_the_first_to_the_last(first: float, last: float, number: int) -> None:
    texts = with_ranges([f"H 0 0 0; H 0 {{{first:.4f}:{last:.4f}:{number}}} 9"])
    values = [float(re.findall(r"[-\d.]+", text)[4]) for text in texts]
    step = (last - first) / (number - 1)
    assert values == pytest.approx([first + i * step for i in range(number)], abs=2e-4)
