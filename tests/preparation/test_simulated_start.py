"""Simulated initial angles are kept for later processes, and what is kept is not trusted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hybridloop.algorithms.circuits.simulated_start import OnGradient, SimulatedStart
from hybridloop.preparation.choices import initial_point
from hybridloop.preparation.choices.initial_point import MIN_KEPT, find_simulated
from hybridloop.runtime.run_events import RunEvent, observed_by

FOUND = SimulatedStart(np.array([0.1, -0.3]), 0.25, 9, 1e-3, MIN_KEPT)


class Search:
    """Search that counts its calls, with one gradient of so many operations."""

    def __init__(self, found: SimulatedStart | None = FOUND, operations: int = MIN_KEPT) -> None:
        self.found, self.operations, self.calls = found, operations, 0

    def __call__(self, on_gradient: OnGradient) -> SimulatedStart | None:
        self.calls += 1
        on_gradient(0, self.operations)
        return self.found


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(tmp_path))
    return tmp_path / "simulations"


def test_a_long_search_is_made_once_for_each_request() -> None:
    search = Search()
    starts = [find_simulated(request, search, 2) for request in ("a", "a", "b")]
    assert search.calls == 2
    for start in starts:
        assert start is not None
        assert start.point.tolist() == FOUND.point.tolist()
        assert (start.gain, start.searches, start.spread, start.operations) == (0.25, 9, 1e-3, MIN_KEPT)


def test_a_search_without_a_minimum_is_not_repeated_either() -> None:
    search = Search(None)
    assert [find_simulated("a", search, 2) for _ in range(2)] == [None, None]
    assert search.calls == 1


def test_a_short_search_is_not_kept(folder: Path) -> None:
    find_simulated("a", Search(operations=MIN_KEPT - 1), 2)
    assert not folder.exists()


@pytest.mark.parametrize("value", [[], 1, {}, {"start": {}}, {"start": {"point": ["x", 1]}}, {"start": 3}])
def test_what_another_program_kept_is_searched_again_and_replaced(folder: Path, value: object) -> None:
    find_simulated("a", Search(), 2)
    (path,) = folder.iterdir()
    before = path.read_text()
    path.write_text(json.dumps(value))
    search = Search()
    assert find_simulated("a", search, 2) is FOUND
    assert search.calls == 1
    assert path.read_text() == before


def test_another_number_of_angles_is_searched_again() -> None:
    find_simulated("a", Search(), 2)
    search = Search()
    find_simulated("a", search, 3)
    assert search.calls == 1


def test_a_simulation_that_takes_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initial_point, "FIRST_SHOWN_S", 0.0)
    seen: list[RunEvent] = []
    with observed_by(seen.append):
        find_simulated("a", Search(), 2)
    assert [(event.kind, event.facts["searches"]) for event in seen] == [("simulation.running", 0)]
