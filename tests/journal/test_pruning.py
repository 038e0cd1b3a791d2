"""Pruning: old runs or only their measurements are deleted, and the file shrinks."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridloop.journal import Journal, journal_url
from tests.journal.journal_helpers import (
    BODY,
    PROGRAM,
    add_claimed_run,
    measure,
    new_run,
    owner_elsewhere,
    ping,
    session,
)


def add_converged_run(journal: Journal, key: str, *, points: int = 8) -> str:
    """Add a run of two rounds with a result, and return its uid."""
    lease = add_claimed_run(journal, key)
    for sequence in range(2):
        measure(journal, lease, sequence, points=points)
    journal.add_session(lease, session())
    journal.add_ping(lease, ping())
    journal.add_event(lease, "retry", {"job": "one"})
    journal.end_session(lease, lease.run_uid, 0, "Succeeded", 1.0)
    journal.set_status(lease, "converged", "", {"value": -1.137})
    journal.release(lease)
    return lease.run_uid


def test_a_run_without_measurements_keeps_its_result_its_sessions_and_their_numbers(journal: Journal) -> None:
    uid, other = add_converged_run(journal, "pruned-run"), add_converged_run(journal, "whole")
    assert journal.delete_measurements([uid]) == 1
    assert journal.delete_measurements([uid]) == 0
    record = journal.run("pruned-run")
    assert (record.status, record.result) == ("converged", {"value": -1.137})
    assert [row.status for row in journal.sessions(uid)] == ["Succeeded"]
    assert (list(journal.rounds(uid)), list(journal.pings(uid))) == ([], [])
    (event,) = journal.events(uid)
    assert (event.kind, event.facts) == ("pruned", {"rounds": 2, "jobs": 16, "pings": 1})
    assert journal.progress(uid).rounds_complete == 0
    assert journal.program(PROGRAM) == BODY  # the other run uses it
    assert len(list(journal.rounds(other))) == 2
    assert journal.delete_measurements([other]) == 1
    assert journal.program(PROGRAM) is None
    journal.release(journal.take_lease(uid))  # nothing is missing in it


def test_a_held_run_is_not_pruned(new_url: str) -> None:
    with Journal(new_url, now=lambda: 10.0) as journal:
        uid = add_converged_run(journal, "held")
        journal.take_lease(uid, owner=owner_elsewhere())
        assert (journal.delete_measurements([uid]), journal.delete_runs([uid])) == (0, 0)
        assert len(list(journal.rounds(uid))) == 2


def test_runs_are_found_by_status_and_by_request_to_resume(journal: Journal) -> None:
    for key, status in (("a", "parked"), ("b", "failed"), ("c", "converged"), ("d", "parked")):
        lease = add_claimed_run(journal, key)
        journal.set_status(lease, status, "")
        journal.release(lease)
    assert {run.key for run in journal.runs_by_status({"parked"})} == {"a", "d"}
    assert {run.key for run in journal.runs_by_status({"parked", "failed"})} == {"a", "b", "d"}
    assert journal.runs_by_status(()) == []
    journal.request_resume(journal.run("b").uid)
    assert [run.key for run in journal.runs_to_resume()] == ["b"]


def test_the_file_shrinks_after_deletions_once_no_process_holds_a_run(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal(journal_url(path)) as journal:
        uids = [add_converged_run(journal, f"run-{number}", points=400) for number in range(4)]
        assert journal.compact() == 0
        before = path.stat().st_size
        assert journal.delete_runs(uids) == 4
        held = add_claimed_run(journal, "at-work")
        assert journal.compact() == 0
        journal.release(held)
        assert journal.compact() > 0.7 * before
        assert path.stat().st_size < 0.3 * before
        assert journal.run("at-work").status == "new"
        assert journal.compact() == 0
        journal.add_run(new_run("after"))


@pytest.mark.parametrize("number", [45])
def test_more_runs_than_fit_one_transaction_are_all_deleted(journal: Journal, number: int) -> None:
    uids = [journal.add_run(new_run(f"run-{n}")).uid for n in range(number)]
    assert journal.delete_runs(uids) == number
    assert journal.runs() == []
