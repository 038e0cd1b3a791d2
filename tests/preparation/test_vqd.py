"""VQD: each level starts at the minimum of its simulation, and claims no more than that expects."""

from __future__ import annotations

import pytest

from hybridloop.preparation import prepare
from hybridloop.preparation.vqd import PreparedVqd
from hybridloop.settings import VqdSettings
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.preparation.test_spin_and_stability import problem


def prepared(name: str, settings: VqdSettings) -> PreparedVqd:
    run = prepare("vqd", problem(name), settings, 0).algorithm
    assert isinstance(run, PreparedVqd)
    return run


def test_levels_start_at_the_minima_of_the_simulation() -> None:
    run = prepared("H2_1.4", VqdSettings(levels=3))
    outcome = run.measure(shot_rounds(0), lambda _: None)
    assert outcome.converged
    assert outcome.rounds <= 15
    for row in outcome.table:
        assert abs(row["energy"] - row["exact"]) < 1.6e-3 + 4.0 * row["standard_error"]
        low, high = row["interval95"]
        assert low <= row["energy"] <= high
    assert [row["spin_squared"] for row in outcome.table] == pytest.approx([0.0, 2.0, 0.0], abs=0.1)


def test_levels_that_the_circuit_cannot_hold_are_named() -> None:
    outcome = prepared("H4_1.5", VqdSettings(levels=1, layers=1, precision=0.005, max_rounds=2)).measure(
        shot_rounds(0), lambda _: None
    )
    assert not outcome.converged
    assert "level 0 is no eigenstate" in outcome.reason
