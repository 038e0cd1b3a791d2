"""Runs are found by key, by the beginning of their uid and by flow run; their state is read back as it was written."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.errors import InputError, RunBusy, RunKeyTaken
from hybridloop.journal import Event, Journal, check_key
from tests.journal.journal_helpers import (
    BODY,
    PROGRAM,
    TARGET,
    add_claimed_run,
    intents,
    measure,
    new_run,
    owner_elsewhere,
    ping,
    pub,
    session,
)


def test_a_run_is_read_back_as_it_was_added(new_url: str) -> None:
    new = new_run(flow_run_id="flow-1")
    with Journal(new_url, now=lambda: 1234.5) as journal:
        added = journal.add_run(new)
    with Journal(new_url) as journal:
        found = journal.run(new.key)
    assert found == added
    assert (found.uid, found.seed, found.settings, found.versions) == (
        new.uid,
        new.seed,
        new.settings,
        new.versions,
    )
    assert (found.status, found.owner, found.epoch, found.created_at, found.updated_at) == (
        "new",
        None,
        0,
        1234.5,
        1234.5,
    )


def test_a_key_can_be_used_once(journal: Journal) -> None:
    first = journal.add_run(new_run())
    with pytest.raises(RunKeyTaken, match="h2-night"):
        journal.add_run(new_run())
    assert [run.uid for run in journal.runs()] == [first.uid]


def test_of_several_threads_that_add_a_key_at_once_one_succeeds(journal: Journal) -> None:
    start = threading.Barrier(8)

    def add(_: int) -> bool:
        start.wait()
        try:
            journal.add_run(new_run())
        except RunKeyTaken:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(add, range(8))) == 1


@given(
    st.text(
        alphabet=st.characters(codec="ascii", categories=["L", "N"], include_characters="._-"), min_size=1, max_size=100
    ).filter(lambda key: key[0] not in ".-")
)
def test_keys_consist_of_letters_digits_dots_hyphens_and_underscores(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", "a" * 101, "a/b", "../x/", "a b", "ä", "a\n", "a\0"])
def test_an_invalid_key_is_refused_by_the_settings_name(journal: Journal, key: str) -> None:
    with pytest.raises(InputError, match="run_key"):
        journal.add_run(new_run(key))
    assert not journal.runs()


def test_a_run_is_found_by_a_unique_beginning_of_its_uid(journal: Journal) -> None:
    twins = [replace(new_run(f"twin-{n}"), uid=f"abcd{n}{str(uuid.uuid4())[5:]}") for n in range(2)]
    for twin in twins:
        journal.add_run(twin)
    assert journal.run("abcd1").key == "twin-1"
    assert journal.run(twins[0].uid).key == "twin-0"
    assert journal.run("ABCD1").key == "twin-1"
    with pytest.raises(InputError, match="several"):
        journal.run("abcd")
    for unknown in ("abc", "%", "____", "no-such", ""):
        with pytest.raises(InputError, match="no run"):
            journal.run(unknown)


def test_a_key_is_preferred_to_the_beginning_of_a_uid(journal: Journal) -> None:
    journal.add_run(replace(new_run("other"), uid=f"abcd{str(uuid.uuid4())[4:]}"))
    journal.add_run(new_run("abcd"))
    assert journal.run("abcd").key == "abcd"


def test_a_flow_run_leads_to_its_latest_run(new_url: str) -> None:
    times = iter(range(10))
    with Journal(new_url, now=lambda: float(next(times))) as journal:
        for key in ("first", "second"):
            journal.add_run(new_run(key, flow_run_id="flow-1"))
        found = journal.run_by_flow_run("flow-1")
        assert found is not None
        assert found.key == "second"
        assert journal.run_by_flow_run("flow-2") is None


def test_runs_are_listed_newest_first_page_by_page(new_url: str) -> None:
    times = iter(range(10))
    with Journal(new_url, now=lambda: float(next(times))) as journal:
        for number in range(5):
            journal.add_run(new_run(f"run-{number}"))
        page = journal.runs(limit=2)
        assert [run.key for run in page] == ["run-4", "run-3"]
        assert [run.key for run in journal.runs(limit=9, before=page[-1].created_at)] == ["run-2", "run-1", "run-0"]


def test_a_new_status_keeps_the_result(journal: Journal) -> None:
    lease = add_claimed_run(journal)
    journal.set_status(lease, "converged", "within 1e-3", {"value": -1.137, "history": [1, 2]})
    journal.set_status(lease, "finished", "again")
    found = journal.run("h2-night")
    assert (found.status, found.reason) == ("finished", "again")
    assert found.result == {"value": -1.137, "history": [1, 2]}


def test_a_request_to_stop_reaches_the_owner_at_its_renewal_and_a_request_to_resume_cancels_it(
    journal: Journal,
) -> None:
    lease = add_claimed_run(journal)
    journal.request_stop(lease.run_uid)
    assert journal.renew(lease).stop_requested
    journal.request_resume(lease.run_uid)
    found = journal.renew(lease)
    assert (found.stop_requested, found.resume_requested) == (False, True)


def test_a_claim_fulfils_a_request_to_resume_and_leaves_one_to_stop(journal: Journal) -> None:
    lease = add_claimed_run(journal)
    journal.release(lease)
    journal.request_resume(lease.run_uid)
    assert not journal.renew(journal.take_lease(lease.run_uid)).resume_requested
    journal.request_stop(lease.run_uid)
    journal.release(lease)
    assert journal.renew(journal.take_lease(lease.run_uid, now=1e12)).stop_requested


def test_sessions_pings_and_events_are_read_in_order(new_url: str) -> None:
    with Journal(new_url, now=lambda: 5.0) as journal:
        lease = add_claimed_run(journal)
        for ordinal in range(2):
            journal.add_session(lease, session(ordinal))
        journal.end_session(lease, lease.run_uid, 0, "TimedOut", 700.0)
        journal.end_session(lease, lease.run_uid, 0, "Succeeded", 800.0)
        assert [(row.status, row.ended_at) for row in journal.sessions(lease.run_uid)] == [
            ("TimedOut", 700.0),
            ("Open", None),
        ]
        assert [(run.key, row.ordinal) for run, row in journal.open_sessions()] == [("h2-night", 1)]
        for status in ("Executing", "Succeeded", "Failed"):  # closed while jobs run, then read again
            journal.end_session(lease, lease.run_uid, 1, status, 900.0)
        assert (journal.sessions(lease.run_uid)[1].status, journal.sessions(lease.run_uid)[1].ended_at) == (
            "Succeeded",
            900.0,
        )
        assert not journal.open_sessions()
        pings = [ping(0), ping(1)]
        for prepared in pings:
            journal.add_ping(lease, prepared)
        journal.end_ping(lease, pings[0].id, "done", {"USD": 0.02})
        assert journal.pings(lease.run_uid) == [replace(pings[0], state="done", billed={"USD": 0.02}), pings[1]]
        journal.add_event(lease, "renewal", {"ordinal": 1})
        journal.add_event(lease, "stop", {})
        assert journal.events(lease.run_uid) == [
            Event(0, 5.0, "renewal", {"ordinal": 1}),
            Event(1, 5.0, "stop", {}),
        ]


def test_old_completed_runs_are_deleted_with_the_programs_that_only_they_used(new_url: str) -> None:
    now = 0.0
    with Journal(new_url, now=lambda: now) as journal:
        leases = {}
        for key in ("old", "held", "open", "failed", "young"):
            now = 500.0 if key == "young" else 0.0
            lease = leases[key] = journal.take_lease(journal.add_run(new_run(key)).uid, owner=owner_elsewhere())
            bodies = {PROGRAM: BODY, f"payload:{key}": b"own"}
            journal.begin_round(lease, "main", 0, TARGET, [pub(points=1)], intents(points=1), bodies)
            journal.add_session(lease, session())
            journal.add_ping(lease, ping())
            journal.add_event(lease, "x", {})
            if key != "open":
                journal.end_session(lease, lease.run_uid, 0, "Succeeded", now)
            journal.set_status(lease, "failed" if key == "failed" else "converged", "")
            if key != "held":
                journal.release(lease)
        now = 30.0
        assert journal.delete_runs(journal.old_runs(older_than=100.0)) == 1
        assert {run.key for run in journal.runs()} == {"held", "open", "failed", "young"}
        assert journal.program("payload:old") is None
        assert journal.program("payload:failed") == b"own"
        assert journal.program(PROGRAM) == BODY
        assert journal.round(leases["old"].run_uid, "main", 0) is None
        assert journal.round(leases["failed"].run_uid, "main", 0) is not None
        now = 1000.0
        assert journal.delete_runs(journal.old_runs(older_than=1000.0, statuses={"converged", "failed"})) == 3
        assert [run.key for run in journal.runs()] == ["open"]
        journal.add_run(new_run("old"))


def test_threads_share_a_journal(journal: Journal) -> None:
    leases = [add_claimed_run(journal, f"run-{number}") for number in range(8)]

    def measure_rounds(number: int) -> list[bool]:
        for sequence in range(3):
            measure(journal, leases[number], sequence, points=2)
            journal.renew(leases[number])
        return [round_.complete for round_ in journal.rounds(leases[number].run_uid)]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(measure_rounds, range(8))) == [[True] * 3] * 8
    with pytest.raises(RunBusy):
        journal.take_lease(leases[0].run_uid)
