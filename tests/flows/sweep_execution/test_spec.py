"""Specification of a sweep: its points, their keys, and invalid sweeps."""

from __future__ import annotations

import html
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hybridloop.algorithms.problems.exact import exact_ground_energy
from hybridloop.api.sweep_input import read_sweep
from hybridloop.data import load_table
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError
from hybridloop.flows.sweep_execution.pools import PROCESS_BYTES, pool_size, within_memory
from hybridloop.flows.sweep_execution.results import SweepResult, row_of
from hybridloop.flows.sweep_execution.spec import MAX_BYTES, Point, SweepSpec, points_of
from hybridloop.inputs.formats.fcidump import read_fcidump
from hybridloop.journal import RunRecord
from hybridloop.reports.plots.curves import find_axis
from hybridloop.results.result import RunResult
from hybridloop.settings.failure_policy import FailurePolicy
from tests.hydrogen_helpers import h2_fcidump
from tests.paths import DATA
from tests.result_helpers import a_result

FCIDUMP = DATA / "H2_0.735.fcidump"


def points(**values: Any) -> list[Point]:
    return list(points_of(SweepSpec(**{"name": "s", "algorithm": "vqe", "problems": ["h2"], **values})))


def test_a_sweep_has_all_combinations_and_the_listed_points() -> None:
    found = points(
        problems=["h2", "heh+"],
        settings={"seed": 7},
        grid={"shots": [10, 20], "failure.retries": [0, 1]},
        points=[{"problem": "h4", "shots": 99}],
    )
    asked = [(each.problem.name, each.settings.shots, each.settings.failure.retries) for each in found]  # type: ignore[attr-defined]
    grid = [(name, shots, retries) for name in ("h2", "heh+") for shots in (10, 20) for retries in (0, 1)]
    assert asked[:-1] == grid
    assert asked[-1][:2] == ("h4", 99)
    assert {each.settings.seed for each in found} == {7}
    assert len({each.key for each in found}) == len(found)


@pytest.mark.parametrize(
    ("limits", "workers", "in_flight"),
    [({}, 3, 12), ({}, 0, 4), ({"max_sessions": 5}, 3, 5), ({"max_sessions": 5}, 1, 4), ({"in_flight": 9}, 1, 9)],
)
def test_by_default_four_points_are_in_flight_for_each_worker(
    limits: dict[str, int], workers: int, in_flight: int
) -> None:
    spec = SweepSpec.model_validate({"name": "s", "algorithm": "vqe", "problems": ["h2"], **limits})
    assert pool_size(spec, workers) == in_flight


def test_a_setting_in_a_group_is_of_its_point_alone() -> None:
    caps = {"USD": 5.0}
    settings = {"seed": 7, "max_cost": caps}
    found = points(
        problems=[], settings=settings, points=[{"problem": "h2", "max_cost.USD": 20}, {"problem": "lih-3.0-cas22"}]
    )
    assert sorted((point.settings.max_cost or {})["USD"] for point in found) == [5.0, 20.0]
    assert caps == {"USD": 5.0}


def test_a_provider_option_of_a_point_is_not_that_of_the_next() -> None:
    settings = {"target": "ionq.simulator", "provider_options": {"noise": {"model": "aria-1"}}}
    found = points(problems=[], settings=settings, points=[
        {"problem": "h2", "provider_options.noise.model": "forte-1"}, {"problem": "h2", "shots": 50}
    ])  # fmt: skip
    assert [point.settings.options["noise"]["model"] for point in found] == ["forte-1", "aria-1"]


def test_provider_options_may_be_varied() -> None:
    names = {"provider_options.noise.model": ["aria-1", "aria-2"], "provider_options.noise.seed": [1, 2]}
    found = points(settings={"target": "ionq.simulator"}, grid=names)
    assert [point.settings.options["noise"] for point in found] == [
        {"model": model, "seed": seed} for model in ("aria-1", "aria-2") for seed in (1, 2)
    ]
    assert [tuple(point.varied.values())[1:] for point in found] == [
        ("aria-1", 1), ("aria-1", 2), ("aria-2", 1), ("aria-2", 2)
    ]  # fmt: skip
    noise = {"noise": {"model": "aria-1", "seed": 1}}
    (same,) = points(settings={"target": "ionq.simulator", "provider_options": noise})
    assert same.key == found[0].key
    (plain,) = points()
    assert plain.key == points(settings={"provider_options": {}})[0].key


def test_every_point_states_all_varied_settings() -> None:
    found = points(settings={"shots": 50}, grid={"failure.retries": [0, 1]}, points=[{"shots": 99, "seed": 5}])
    assert [dict(each.varied) for each in found] == [
        {"problem": "h2", "failure.retries": 0, "shots": 50, "seed": None},
        {"problem": "h2", "failure.retries": 1, "shots": 50, "seed": None},
        {"problem": "h2", "failure.retries": FailurePolicy().retries, "shots": 99, "seed": 5},
    ]


def test_a_setting_inside_one_that_others_leave_out_is_stated_as_none() -> None:
    found = points(points=[{"max_cost.USD": 5.0, "seed": 1}])
    assert [each.varied["max_cost.USD"] for each in found] == [None, 5.0]


@given(
    shots=st.integers(1, 10**6),
    seed=st.integers(0, 2**62),
    max_jobs=st.integers(1, 100),
    other=st.sampled_from(["shots", "seed", "problem", "name"]),
)
def test_a_key_depends_on_the_run_and_not_on_its_limits(shots: int, seed: int, max_jobs: int, other: str) -> None:
    (key,) = [point.key for point in points(settings={"shots": shots, "seed": seed})]
    same = points(
        points=[{"seed": seed, "problem": "h2", "max_jobs": max_jobs}], problems=[], settings={"shots": shots}
    )
    assert [each.key for each in same] == [key]
    changed: dict[str, Any] = {"settings": {"shots": shots, "seed": seed}}
    match other:
        case "problem":
            changed["problems"] = [{"name": "h2", "text": "another"}]
        case "name":
            changed["name"] = "t"
        case _:
            changed["settings"] |= {other: changed["settings"][other] + 1}
    assert [point.key for point in points(**changed)] != [key]


def test_each_point_has_a_seed_of_its_own_that_depends_on_its_content_alone() -> None:
    found = points(problems=["h2", "heh+"], settings={"seed": 7}, grid={"shots": [10, 20]})
    seeds = {(each.problem.name, each.settings.shots): each.own_seed for each in found}  # type: ignore[attr-defined]
    assert len(set(seeds.values())) == len(found)
    listed = [{"problem": "heh+", "shots": 20, "max_jobs": 9}, {"problem": "h2", "shots": 10, "seed": 7}]
    other = points(name="t", problems=[], settings={"seed": 7}, points=listed)
    assert [each.own_seed for each in other] == [seeds["heh+", 20], seeds["h2", 10]]
    assert seeds["h2", 10] == 747378486731090324  # as in journals that exist
    assert [each.with_own_seed().settings.seed for each in other] == [each.own_seed for each in other]


def test_points_without_a_seed_draw_theirs_when_they_run() -> None:
    assert [each.own_seed for each in points(grid={"shots": [10, 20]})] == [None, None]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"grid": {"shots": [10, 0]}}, "point 2: shots must be at least 1, got 0"),
        ({"grid": {"shot": [10]}}, r"point 1: shot: there is no such setting"),
        ({"settings": {"seed": 1}, "points": [{"failure.retries": -1}]}, r"point 2: failure.retries"),
        ({"settings": {"seed": 1}, "grid": {"seed.x": [2]}}, "point 1: seed is given as 1 already"),
        ({"problems": [], "settings": {"seed": 1}}, "no points"),
        ({"problems": ["h2", "h4"], "points": [{"shots": 5}]}, "names no problem"),
        ({"grid": {"max_jobs": [5, 9]}}, r"point 2 differs from another only in max_jobs"),
        ({"problems": [{"name": "x", "text": "y" * 200_000}] * 3}, f"the maximum is {MAX_BYTES:,}"),
        ({"grid": {"seed": list(range(101)), "shots": list(range(1, 101))}}, "points; the maximum is 10,000"),
        ({"points": [{"seed": 1}, {"shotz": 5}]}, r"point 3: shotz: there is no such setting"),
        ({"points": [{"failure.retrys": 5}]}, r"point 2: failure.retrys: there is no such setting"),
        ({"points": [{"problem": ["h2"]}]}, "point 2: problem must be a problem, got "),
        ({"points": [{"problem": 7}]}, "point 2: problem must be a problem, got 7"),
        ({"points": [{"problem": {"name": "h2", "txt": "x"}}]}, "point 2: problem.txt: there is no such setting"),
        ({"problems": [["h2"]]}, "must be a problem"),
        ({"grid": {"problem": ["h2"]}}, "the grid has settings alone"),
        ({"algorithm": "vqee"}, "must be one of vqe"),
        ({"name": "a b"}, "name"),
    ],
)
def test_an_invalid_point_is_refused_with_its_field(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        points(**values)


def test_paths_and_patterns_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "molecules"
    folder.mkdir()
    for name in ("b-1.0", "a-0.5"):
        (folder / f"{name}.fcidump").write_text(FCIDUMP.read_text())
    sweep = tmp_path / "curve.yaml"
    for listed in ("molecules", "molecules/*.fcidump", "[molecules/a-0.5.fcidump, molecules/b-1.0.fcidump]"):
        sweep.write_text(f"algorithm: vqe\nproblems: {listed}\nsettings: {{seed: 3}}\n")
        spec = read_sweep(sweep, max_sessions=2)
        assert (spec.name, spec.max_sessions) == ("curve", 2)
        assert [problem.name for problem in spec.problems] == ["a-0.5", "b-1.0"]
        assert {problem.text for problem in spec.problems} == {FCIDUMP.read_text()}


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("algorithm: vqe\nproblems: none/*.fcidump\n", "problems"),
        ("algorithm: vqe\nproblems: missing.fcidump\n", "problem"),
        ("algorithm: vqe\nproblems: h2\nsetings: {}\n", "setings"),
        ("algorithm: vqe\nproblems: h2\ngrid: {shots: []}\n", "grid.shots"),
        ("- vqe\n", "sweep"),
    ],
)
def test_an_invalid_file_is_refused_with_its_field(text: str, field: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_sweep(tmp_path / "s.yaml")
    assert caught.value.field == field


def test_the_axis_is_a_varied_number_or_one_in_the_problems_names() -> None:
    rows = [{"problem": f"h2-{x}", "shots": n} for x, n in ((0.5, 10), (1.0, 20))]
    both, problems = find_axis(rows, ("problem", "shots"), "hartree"), find_axis(rows, ("problem",), "hartree")
    assert both is not None
    assert problems is not None
    assert (both.label, both.positions) == ("shots per circuit", (10.0, 20.0))
    assert (problems.label, problems.positions) == ("number after h2", (0.5, 1.0))


@pytest.mark.parametrize(
    "problems",
    [
        pytest.param(("h2", "h4"), id="no name ends with a number"),
        pytest.param(("h2-0.5", "h2-1.0", "heh+"), id="one name has no number"),
        pytest.param(("h2-0.5", "h4-1.0"), id="numbers of different names"),
        pytest.param(("h2-0.5", "h2-0.5"), id="one number for all"),
    ],
)
def test_names_without_one_series_of_distinct_numbers_give_no_axis(problems: tuple[str, ...]) -> None:
    assert find_axis([{"problem": name} for name in problems], ("problem",), "hartree") is None


@pytest.mark.parametrize("name", ["h2-0.3", "h2-1.6", "h2-2.5"])
def test_the_tests_hydrogen_molecules_equal_the_built_in_ones(name: str) -> None:
    made = read_fcidump(h2_fcidump(float(name.partition("-")[2])), "made")
    assert exact_ground_energy(made) == pytest.approx(load_table("problems")[name]["exact_energy"], abs=1e-6)
    assert made.hartree_fock_energy == pytest.approx(load_table("problems")[name]["hartree_fock_energy"], abs=1e-6)


def test_a_varied_setting_has_a_column_of_its_own() -> None:
    varied = points(grid={"shots": [200, 1000]})
    assert [row_of(each, None)["shots"] for each in varied] == [200, 1000]
    (plain,) = points()
    names = {name for each in ALGORITHMS.values() for name in each.settings.model_fields}
    assert names.isdisjoint(row_of(plain, None))


def test_an_error_within_an_active_space_is_marked_in_the_table() -> None:
    whole = a_result()
    of_space = replace(whole, is_active_space=True)
    (point,) = points()
    rows = [row_of(point, _recorded(result)) for result in (whole, of_space)]
    assert [row["exact_of"] for row in rows] == [None, "active space"]
    assert "exact_of" in str(SweepResult("sizes", "vqe", "hartree", (), tuple(rows), 0, 0.0))
    assert "exact_of" not in str(SweepResult("sizes", "vqe", "hartree", (), (rows[0],), 0, 0.0))


def test_the_result_is_printed_as_a_table_with_the_missing_points_below() -> None:
    first, second = points(grid={"seed": [1, 2]})
    trouble = "no built-in problem 'no-such-molecule'"
    rows = (row_of(first, _recorded(a_result())), row_of(second, None, trouble))
    result = SweepResult("s", "vqe", "hartree", ("problem", "seed"), rows, 2, 1.0, costs={"USD": 0.0}, is_local=True)
    head, *lines = str(result).splitlines()
    assert head.split()[:4] == ["run_key", "seed", "status", "problem"]
    assert [line.split()[0] for line in lines[:2]] == [row["run_key"] for row in rows]
    assert lines[3].startswith("s: 2 points, 1 converged, 1 failed; ")
    assert lines[3].endswith("; cost 0.00 USD (local: not billed)")
    assert trouble in lines[-1]
    assert html.escape(lines[-1]) in result._repr_html_()


def test_the_plot_has_the_values_over_the_distances_and_the_exact_curve(tmp_path: Path) -> None:
    rows = []
    for point, exact in zip(points(problems=["h2-0.3", "h2-1.6", "h2-2.5"]), (-0.6, -1.0, -0.9), strict=True):
        rows.append(row_of(point, _recorded(replace(a_result(), exact=exact))) | {"problem": point.problem.name})
    figure = SweepResult("curve", "vqe", "hartree", ("problem",), tuple(rows), 0, 0.0).plot(str(tmp_path / "curve.svg"))
    (axes,) = figure.axes
    assert axes.get_xlabel() == "H–H distance (Å)"
    (line,) = [line for line in axes.lines if line.get_label() == "exact"]
    assert list(line.get_xdata()) == [0.3, 1.6, 2.5]
    assert list(line.get_ydata()) == [-0.6, -1.0, -0.9]
    assert (tmp_path / "curve.svg").read_text().startswith("<?xml")


def _recorded(result: RunResult) -> RunRecord:
    fields: dict[str, Any] = dict.fromkeys(each.name for each in dataclass_fields(RunRecord))
    return RunRecord(**fields | {"status": "converged", "reason": "", "result": result.as_dict()})


def test_no_more_processes_start_than_memory_has_room_for(caplog: pytest.LogCaptureFixture) -> None:
    assert within_memory(8, 100 * PROCESS_BYTES) == 8
    assert caplog.text == ""
    assert within_memory(1000, 5 * PROCESS_BYTES + 1) == 5
    assert "5 processes in place of 1000" in caplog.text
    assert within_memory(4, 0) == 1
