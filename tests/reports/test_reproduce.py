"""Verdicts on a repetition: identical, within or outside error bars."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hybridloop.errors import InputError
from hybridloop.reports.reproduce import OTHER, OUTSIDE, SAME, SIGMAS, WITHIN, check_repeatable, compare_runs
from hybridloop.runs.stored_run import StoredRun


def with_result(run: StoredRun, **changed: Any) -> StoredRun:
    return replace(run, record=replace(run.record, key="again", result={**(run.record.result or {}), **changed}))


@pytest.mark.parametrize("kept", ["vqe", "scan", "qaoa"], indirect=True)
def test_a_run_is_identical_to_itself(kept: StoredRun) -> None:
    found = compare_runs(kept, kept)
    assert (found.identical, found.agrees) == (True, True)
    assert {each.verdict for each in found.compared} == {SAME}
    assert found.in_words == "identical to the last bit"


@pytest.mark.parametrize(("sigmas", "verdict"), [(0.9, WITHIN), (1.1, OUTSIDE)])
def test_a_value_agrees_within_three_standard_errors_of_both(sigmas: float, verdict: str, vqe_run: StoredRun) -> None:
    result = vqe_run.result
    assert result is not None
    assert result.value is not None
    assert result.standard_error is not None
    moved = result.value + sigmas * SIGMAS * 2**0.5 * result.standard_error  # of the difference of two such
    found = compare_runs(vqe_run, with_result(vqe_run, value=moved))
    assert found.compared[0].verdict == verdict
    assert (found.identical, found.agrees) == (False, verdict == WITHIN)


@pytest.mark.parametrize("kept", ["scan"], indirect=True)
def test_every_point_of_a_scan_is_compared(kept: StoredRun) -> None:
    assert kept.record.result is not None
    table = [dict(row) for row in kept.record.result["table"]]
    table[1]["energy"] += 1.0
    found = compare_runs(kept, with_result(kept, table=table))
    assert [each.name for each in found.compared if each.verdict == OUTSIDE] == ["energy of h2"]
    assert not found.agrees


@pytest.mark.parametrize("kept", ["unbatched"], indirect=True)
def test_different_counts_are_reported(kept: StoredRun) -> None:
    vqe_run = kept
    first, *rest = vqe_run.rounds()
    job, *others = first.jobs
    fewer = replace(first, jobs=(replace(job, counts=others[0].counts), *others))
    found = compare_runs(vqe_run, replace(vqe_run, rounds=lambda: iter([fewer, *rest])))
    counts = found.compared[-1]
    assert (counts.name, counts.verdict) == ("counts", OTHER)
    jobs = int(counts.before.removesuffix(" jobs"))
    assert counts.again == f"{jobs - 1} with the same counts"


@pytest.mark.parametrize(
    ("kept", "complaint"),
    [("stopped", "has no result to compare with"), ("idled-ping", "is a script's")],
    indirect=["kept"],
)
def test_a_run_without_a_result_can_not_be_repeated(kept: StoredRun, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        check_repeatable(kept)
