"""Statuses of a run: one table for results, errors, exit codes and guides."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from prefect import State

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.final import FinalMeasurement
from hybridloop.algorithms.outcome import Outcome, measured_value
from hybridloop.data.statuses import STATUSES, sweep_exit_code
from hybridloop.errors import CapReached, RunParked, RunStopped, StopRequested
from hybridloop.flows.in_prefect.completion import completed
from hybridloop.results.result_text import heading
from hybridloop.results.statuses import status_after
from tests.paths import ROOT
from tests.result_helpers import a_result
from tests.test_errors import EXAMPLES


def outcome(**ending: Any) -> Outcome:
    value = measured_value(FinalMeasurement(Estimate(-1.1, 1e-6, 1000), is_precise=True), None)
    return Outcome(**{"converged": False, "reason": "a reason", **value, **ending}, parameters=(), rounds=1, history=())


@pytest.mark.parametrize(
    ("ending", "status", "code"),
    [
        ({"converged": True}, "converged", 0),
        ({"is_requested": True}, "measured", 0),
        ({"is_requested": True, "warnings": ("wrong particle number: 3",)}, "finished", 4),
        ({}, "finished", 4),
    ],
)
def test_a_result_has_its_status_and_exit_code_in_text_json_and_prefect(
    ending: dict[str, Any], status: str, code: int
) -> None:
    ended = outcome(**ending)
    result = a_result().with_outcome(ended)
    assert (result.status, result.as_dict()["status"], result.exit_code) == (status, status, code)
    assert heading(result).endswith(f": {status} (a reason)")
    state = cast("State[Any]", completed(result))
    assert state.is_completed()
    assert (state.name, state.message) == ("Finished" if code else "Completed", f"{status}: a reason")


@pytest.mark.parametrize("error", [each for each in EXAMPLES if isinstance(each, (CapReached, RunStopped))], ids=repr)
def test_an_error_that_ends_a_run_early_exits_with_the_code_of_its_status(error: CapReached | RunStopped) -> None:
    status = status_after(error)
    assert (status in {"stopped", "parked"}) == isinstance(error, (CapReached, RunParked, StopRequested))
    assert STATUSES[status].exit_code == error.exit_code
    assert not STATUSES[status].has_result


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["converged", "measured"], 0),
        (["converged", "finished", "measured"], 4),
        (["finished", "parked", "converged"], 3),
        (["finished", "stopped"], 3),
        (["stopped", "failed", "finished"], 1),
        (["interrupted", "stopped"], 1),
        (["not begun", "converged"], 1),
    ],
)
def test_a_sweep_exits_with_the_code_of_its_worst_point(statuses: list[str], code: int) -> None:
    assert sweep_exit_code(statuses) == code
    assert sweep_exit_code(reversed(statuses)) == code


def test_the_guides_have_the_codes_of_all_statuses() -> None:
    rows = re.findall(r"\| `(\w+)`(?:, at the next check)? \| ([\d, ]*) \|", (ROOT / "docs" / "runs.md").read_text())
    assert {status for status, _ in rows} == STATUSES.keys()
    for status, codes in rows:
        assert not codes.strip() or str(STATUSES[status].exit_code) in codes.split(", "), status
