"""Old runs are forgotten whole, or but for their results, and their room is given back."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridloop.sessions.journal import Journal, journal_url
from tests.sessions.journal.examples import BODY, PROGRAM, claimed, measure, new_run, owner_elsewhere, ping, session


def ended(journal: Journal, key: str, *, rounds: int = 2) -> str:
    """A run that came to a result; its uid."""
    lease = claimed(journal, key)
    for sequence in range(rounds):
        measure(journal, lease, sequence)
    journal.add_session(lease, session())
    journal.add_ping(lease, ping())
    journal.note(lease, "retry", {"job": "one"})
    journal.end_session(lease, lease.run_uid, 0, "Succeeded", 1.0)
    journal.set_status(lease, "converged", "", {"value": -1.137})
    journal.release(lease)
    return lease.run_uid


def test_a_run_of_which_only_the_result_is_kept_has_its_sessions_and_says_what_it_had(journal: Journal) -> None:
    uid, other = ended(journal, "stripped"), ended(journal, "whole")
    assert journal.strip([uid]) == 1
    assert journal.strip([uid]) == 0
    record = journal.run("stripped")
    assert (record.status, record.result) == ("converged", {"value": -1.137})
    assert [row.status for row in journal.sessions(uid)] == ["Succeeded"]
    assert (list(journal.rounds(uid)), list(journal.pings(uid))) == ([], [])
    (event,) = journal.events(uid)
    assert (event.kind, event.facts) == ("pruned", {"rounds": 2, "jobs": 16, "pings": 1})
    assert journal.progress(uid).rounds_complete == 0
    assert journal.program(PROGRAM) == BODY  # the other run needs it
    assert len(list(journal.rounds(other))) == 2
    assert journal.strip([other]) == 1
    assert journal.program(PROGRAM) is None
    journal.release(journal.claim(uid))  # nothing is missing of it


def test_a_run_that_somebody_holds_is_neither_stripped_nor_forgotten(new_url: str) -> None:
    with Journal(new_url, now=lambda: 10.0) as journal:
        uid = ended(journal, "held")
        journal.claim(uid, owner=owner_elsewhere())
        assert (journal.strip([uid]), journal.forget([uid])) == (0, 0)
        assert len(list(journal.rounds(uid))) == 2


def test_runs_are_found_by_their_status_and_by_the_wish_that_they_go_on(journal: Journal) -> None:
    for key, status in (("a", "parked"), ("b", "failed"), ("c", "converged"), ("d", "parked")):
        lease = claimed(journal, key)
        journal.set_status(lease, status, "")
        journal.release(lease)
    assert {run.key for run in journal.in_status({"parked"})} == {"a", "d"}
    assert {run.key for run in journal.in_status({"parked", "failed"})} == {"a", "b", "d"}
    assert journal.in_status(()) == []
    journal.request_resume(journal.run("b").uid)
    assert [run.key for run in journal.asked_for()] == ["b"]


def test_the_room_of_what_was_forgotten_is_given_back_once_nobody_is_at_work(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal(journal_url(path)) as journal:
        uids = [ended(journal, f"run-{number}", rounds=40) for number in range(10)]
        assert journal.compact() == 0
        before = path.stat().st_size
        assert journal.forget(uids) == 10
        held = claimed(journal, "at-work")
        assert journal.compact() == 0
        journal.release(held)
        assert journal.compact() > 0.7 * before
        assert path.stat().st_size < 0.3 * before
        assert journal.run("at-work").status == "created"
        assert journal.compact() == 0
        journal.add_run(new_run("after"))


@pytest.mark.parametrize("number", [45])
def test_more_runs_than_fit_one_transaction_are_forgotten_all(journal: Journal, number: int) -> None:
    uids = [journal.add_run(new_run(f"run-{each}")).uid for each in range(number)]
    assert journal.forget(uids) == number
    assert journal.runs() == []
