"""A run that takes above twice the effort of its plan is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.runs.planned import PlannedEffort, planned_effort, store_plan
from hybridloop.settings import ProblemText

PLANNED = PlannedEffort(jobs=10, shots=1_000_000)


def test_only_above_twice_its_plan_a_run_is_warned_of() -> None:
    assert PLANNED.warn(20, 2_000_000) is None
    assert "has taken 2,000,001 shots, above twice its plan of 1,000,000" in str(PLANNED.warn(20, 2_000_001))
    assert "has taken 21 jobs" in str(PLANNED.warn(21, 2_000_000))


def test_a_plan_is_found_by_its_request_without_limits_and_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(tmp_path))
    problem = ProblemText(name="h2")
    assert planned_effort("vqe", problem, VqeSettings()) is None
    store_plan("vqe", problem, VqeSettings(seed=7), PLANNED)
    assert planned_effort("vqe", problem, VqeSettings(max_jobs=3)) == PLANNED
    assert planned_effort("vqe", problem, VqeSettings(shots=100)) is None


def test_a_plan_needs_no_folder_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(tmp_path / "file"))
    store_plan("vqe", ProblemText(name="h2"), VqeSettings(), PLANNED)
    assert planned_effort("vqe", ProblemText(name="h2"), VqeSettings()) is None
