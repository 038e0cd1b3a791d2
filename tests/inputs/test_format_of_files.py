"""A format that is given forces the reading of files, in commands, Python and sweeps; what has no use is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import pytest

import hybridloop as hl
from hybridloop.algorithms.choices import GraphObjective
from hybridloop.api.sweep_input import read_sweep
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.errors import InputError, ProblemError
from hybridloop.estimate.planner import plan_run
from hybridloop.flows.sweep_execution.spec import points_of
from hybridloop.inputs.problems import pop_reading, read_for, read_problem
from hybridloop.preparation.binary import read_binary
from hybridloop.preparation.checks import check_problem
from tests.preparation_helpers import prepare_qaoa


def test_a_format_forces_the_reading_and_what_has_no_use_is_said(tmp_path: Path) -> None:
    path = tmp_path / "calls.txt"
    path.write_text("0 1 2.0 1082040961\n1 2 1.0 1082040962\n")
    options: dict[str, Any] = {"format": "edges"}
    reading = pop_reading("qaoa", options)
    assert options == {}
    problem = read_for("qaoa", str(path), QaoaSettings(), reading)
    assert problem == hl.problem(path, format="edges")
    assert read_problem(problem.model_dump()) == problem  # as a deployment's parameter
    facts = prepare_qaoa(problem, QaoaSettings(), 7).facts
    plan = plan_run("qaoa", problem, QaoaSettings(seed=7))
    assert plan.of == facts.title
    assert f"  of         {plan.of}" in str(plan)
    assert facts.title == (
        "max-cut of 3 nodes, 2 edges, weights 1 to 2, read as node node weight; not used: column 4 of the edges"
    )
    with pytest.raises(InputError, match=r"there is no format 'edgse'.*Did you mean 'edges'"):
        pop_reading("qaoa", {"format": "edgse"})
    for wrong, form, message in (
        ("petersen", "edges", "is no file"),
        (nx.path_graph(3), "edges", "is no text in a format"),
        (path, "circuit", "no format of a problem's text"),
    ):
        with pytest.raises(InputError, match=message):
            hl.problem(wrong, format=form)
    with pytest.raises(ProblemError, match="looks like a graph"):
        check_problem("vqe", problem)


def test_weights_of_nodes_count_in_an_independent_set() -> None:
    graph = nx.Graph([("a", "b"), ("b", "c")])
    nx.set_node_attributes(graph, {"a": 1.0, "b": 5.0, "c": 2.0}, "weight")
    problem = prepare_qaoa(hl.problem(graph), QaoaSettings(objective=GraphObjective.INDEPENDENT_SET), 7)
    assert problem.facts.exact() == 5.0
    assert "maximum weight independent set of 3 nodes" in problem.facts.title


def test_a_sweep_forces_the_format_of_its_files_or_of_a_point(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text("4 3\n1 2\n2 3\n3 1\n")  # a count, or an edge
    (tmp_path / "sweep.yaml").write_text(
        "algorithm: qaoa\nsettings: {format: edges, seed: 1}\nproblems: [one.txt]\n"
        "points: [{problem: two.txt, format: rudy}]\n"
    )
    points = list(points_of(read_sweep(tmp_path / "sweep.yaml")))
    assert [point.problem.format for point in points] == ["edges", "rudy"]
    assert [len(read_binary(point.problem, GraphObjective.MAX_CUT).labels) for point in points] == [4, 4]
