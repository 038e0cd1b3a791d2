"""The answer of a binary problem: its assignment by name, its title, and what its text has without effect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dimod
import networkx as nx
import pytest

import hybridloop as hl
from hybridloop.algorithms.outcome import Outcome
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.journal import journal_url
from hybridloop.preparation.prepared import title_of
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import noiseless_rounds
from tests.conftest import Emulator
from tests.preparation_helpers import prepare_qaoa


def test_assignments_have_the_callers_nodes_and_their_title_no_format(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", journal_url(tmp_path / "journal.db"))
    asked: dict[str, Any] = {"layers": 1, "shots": 200, "seed": 1, "host": "plain", "workspace": emulator.workspace()}
    petersen = hl.qaoa("petersen", **asked)
    bits = reversed(str(petersen.best_bitstring))
    assert list(petersen.assignment.items()) == [(str(node), int(bit)) for node, bit in enumerate(bits)]
    assert hl.RunResult.from_dict(petersen.as_dict()).assignment == petersen.assignment
    grid = nx.grid_2d_graph(2, 2)
    result = hl.qaoa(grid, **asked)
    assert set(result.assignment) == set(grid)
    assert result.problem_title == "max-cut of 4 nodes, 4 edges"
    assert set(hl.RunResult.from_dict(result.as_dict()).assignment) == set(map(str, grid))
    model = dimod.BinaryQuadraticModel({3: 1.0, 7: -1.0}, {(3, 7): 1.0}, "BINARY")
    assert hl.qaoa(model, **asked).assignment == {3: 0, 7: 1}
    terms = {"maximize": {("a", 1): 1.0, 2: 0.5}, "constraints": [({"a": 1, 1: 1, 2: 1}, "<=", 2)]}
    assert hl.qaoa(terms, **asked).assignment == {"a": 1, 1: 1, 2: 0}


def run(text: str, form: str | None = None) -> Outcome:
    problem = ProblemText(name="mine", text=text, format=form)
    return prepare_qaoa(problem, QaoaSettings(layers=1, shots=1000), 0).run(noiseless_rounds())


def test_the_title_is_that_of_the_objective() -> None:
    petersen = ProblemText(name="petersen")
    titles = {
        objective: title_of(petersen, prepare_qaoa(petersen, QaoaSettings(layers=1, objective=objective), 0).facts)
        for objective in ("max-cut", "independent-set")
    }
    assert titles == {
        "max-cut": "Max-cut of Petersen's graph, 10 nodes",
        "independent-set": "Maximum independent set of Petersen's graph, 10 nodes",
    }


def test_an_unused_column_is_a_note_and_no_doubt() -> None:
    outcome = run("0 1 2.0 1082040961\n1 2 1.0 1082040962\n", "edges")
    assert (outcome.warnings, outcome.is_requested) == ((), True)


def test_zero_has_no_sign() -> None:
    outcome = run("0 1 -1\n1 2 -1\n")  # no edge is cut at best
    assert str(outcome.best_value) == "0.0"
    assert outcome.solution["cut"] == "0 of at most 0"
