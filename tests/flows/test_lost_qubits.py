"""Shots that lost a qubit: estimates use the others, a result says how many, and a job that lost most is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import JobFailed
from hybridloop.journal import open_journal
from hybridloop.reports.content import report_content
from hybridloop.results.result import RunResult
from hybridloop.runs.stored_run import load_run
from hybridloop.settings import ProblemText
from tests.conftest import Emulator, running_emulator
from tests.flow_calls import run_plainly
from tests.long_form import long_only

H2 = ProblemText(name="h2")
NOISE_FREE = {"target": "quantinuum.sim.h2-1e", "provider_options": {"error-model": False}}

pytestmark = pytest.mark.usefixtures("own_journal")


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    """Hold a service for the module, whose shots lose qubits as its last test says."""
    with running_emulator() as running:
        yield running


@pytest.fixture
def losing(service: Emulator) -> Callable[[float], Emulator]:
    """Return a function that makes each shot of the service lose a qubit with this probability."""

    def lose(share: float) -> Emulator:
        service.admin("faults", {"rules": [{"fault": "qubits-lost", "share": share}]})
        return service

    return lose


def run(service: Emulator, key: str, **given: Any) -> RunResult:
    settings = VqeSettings.model_validate({**NOISE_FREE, "precision": 0.01, **given})
    return run_plainly("vqe", service.workspace("losing"), H2, settings, key)


def covers(result: RunResult) -> bool:
    assert result.interval95 is not None
    assert result.exact is not None
    low, high = result.interval95
    return low <= result.exact <= high


def is_near(result: RunResult) -> bool:
    """Return whether a value is within four standard errors, so that no run misses by chance."""
    assert result.value is not None
    assert result.standard_error is not None
    assert result.exact is not None
    return abs(result.value - result.exact) <= 4.0 * result.standard_error


def test_a_run_with_few_lost_shots_has_a_value_and_says_how_many(losing: Callable[[float], Emulator]) -> None:
    result = run(losing(0.03), "few", seed=7, precision=0.0002)
    assert result.shots > 7300, "which makes the bounds below five standard deviations"
    assert 0.02 * result.shots < result.lost_shots < 0.04 * result.shots
    assert any(f"{result.lost_shots:,} of {result.shots:,} shots lost" in text for text in result.choices)
    assert is_near(result)
    with open_journal() as journal:
        rows = dict(report_content(load_run(journal, "few")).effort)
    assert rows["Shots that lost a qubit or failed"] == f"{result.lost_shots:,}"
    again = RunResult.from_dict(result.as_dict())
    assert again.lost_shots == result.lost_shots


def test_a_run_with_many_lost_shots_has_a_warning(losing: Callable[[float], Emulator]) -> None:
    result = run(losing(0.2), "many", seed=7)
    assert result.status == "converged"
    assert [text for text in result.warnings if "a loss that depends on the state biases the value" in text]


@long_only
def test_intervals_hold_where_three_percent_of_the_shots_are_lost(losing: Callable[[float], Emulator]) -> None:
    service = losing(0.03)
    held = [covers(run(service, f"lost-{seed}", seed=seed)) for seed in range(30)]
    assert sum(held) >= 26


def test_a_job_that_lost_more_than_the_policy_allows_ends_the_run_and_is_not_paid_twice(
    losing: Callable[[float], Emulator],
) -> None:
    service, key = losing(0.6), "most"
    with pytest.raises(JobFailed, match=r"shots lost a qubit, above failure\.max_lost_shots \(0\.5\)"):
        run(service, key, seed=7)
    with open_journal() as journal:
        record = journal.run(key)
    books = service.admin(f"ledger?run={record.uid}")
    assert books["duplicates"]["count"] == 0
    assert record.status == "failed"
    allowed = run(service, "allowed", seed=7, failure={"max_lost_shots": 0.9})
    assert 0.5 * allowed.shots < allowed.lost_shots < 0.7 * allowed.shots
    assert is_near(allowed)
