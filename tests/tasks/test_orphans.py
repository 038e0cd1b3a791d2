"""Orphaned sessions: those that dead runs of this journal left open are closed, and no others."""

from __future__ import annotations

import multiprocessing
import sqlite3
import uuid
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from azure.quantum import Workspace

from hybridloop.azure.listing import list_sessions
from hybridloop.azure.workspace import identity_of
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import HeldRun, hold_run, new_run
from hybridloop.tasks.orphans import close_orphaned_sessions, close_sessions_of_run
from tests.conftest import Died, Emulator
from tests.session_helpers import open_run_session
from tests.tasks.conftest import die
from tests.tasks.test_session_closing import ones
from tests.waiting import PATIENCE_S

TARGET = "rigetti.sim.qvm"
FORK = multiprocessing.get_context("fork")


def claim(url: str, uid: str) -> None:
    """Claim a run, which the end of the process does not release."""
    Journal(url).take_lease(uid)


def begin(journal: Journal, key: str, settings: dict[str, Any]) -> str:
    run = new_run(str(uuid.uuid4()), key=key, algorithm="vqe", problem="h2", target=TARGET, seed=1, settings=settings)
    return journal.add_run(run).uid


def leave_open(
    journal: Journal, key: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> str:
    """Make a run whose process died with a session open; return the session's id."""

    uid = begin(journal, key, settings)
    with monkeypatch.context() as dying, suppress(Died), hold_run(journal, uid) as run:
        dying.setattr("hybridloop.tasks.session_renewal.SessionRenewal.close", die)
        journal.set_status(run.lease, "running", "")
        with open_run_session(workspace, TARGET, run=run) as session:
            pass
    return session.id


def statuses(workspace: Workspace) -> dict[str, str]:
    return {row["id"]: row["status"] for row in list_sessions(workspace, 20)}


@pytest.mark.claim("The sessions of a flow run that has ended are closed")
def test_the_session_of_a_dead_run_is_closed_and_the_run_marked(
    journal: Journal, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = leave_open(journal, "dead", workspace, monkeypatch, {"workspace": identity_of(workspace)})
    assert statuses(workspace) == {session: "Waiting"}
    journal.request_resume(journal.run("dead").uid)
    (closed,) = close_orphaned_sessions(journal, workspace)
    assert (closed.run_key, closed.session, closed.done) == ("dead", session, "closed: Succeeded")
    assert statuses(workspace) == {session: "Succeeded"}
    record = journal.run("dead")
    assert (record.status, record.owner, record.resume_requested) == ("interrupted", None, True)
    assert close_orphaned_sessions(journal, workspace) == []


def test_the_hook_of_a_crash_tries_to_close_a_session_twice_and_housekeeping_more_often(
    journal: Journal, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = emulator.workspace()
    session = leave_open(journal, "dead", workspace, monkeypatch, {"workspace": identity_of(workspace)})
    rule = {"fault": "error", "status": 503, "code": "ServiceUnavailable", "operation": "close", "times": 2}
    emulator.admin("faults", {"rules": [rule]})
    (left,) = close_sessions_of_run(journal, journal.run("dead"), workspace)
    assert left.done.startswith("left: closing the session")
    emulator.admin("faults", {"rules": [rule]})
    assert [closed.done for closed in close_orphaned_sessions(journal, workspace)] == ["closed: Succeeded"]
    assert statuses(workspace)[session] == "Succeeded"


def test_a_damaged_run_does_not_block_the_closing_of_others(
    journal: Journal, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = ("damaged-run", "damaged-state", "damaged-session", "dead")
    here = {"workspace": identity_of(workspace)}
    sessions = {key: leave_open(journal, key, workspace, monkeypatch, here) for key in keys}
    of = {key: journal.run(key).uid for key in keys}
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database, database:
        database.execute("UPDATE runs SET problem = 'x' WHERE uid = ?", (of["damaged-run"],))
        database.execute("UPDATE states SET reason = 'x' WHERE run_uid = ?", (of["damaged-state"],))
        database.execute("UPDATE sessions SET reason = 'x' WHERE run_uid = ?", (of["damaged-session"],))
    (closed,) = close_orphaned_sessions(journal, workspace)
    assert (closed.session, closed.done) == (sessions["dead"], "closed: Succeeded")
    assert [status for status in statuses(workspace).values() if status != "Waiting"] == ["Succeeded"]
    assert {journal.run(key).status for key in ("dead", "damaged-session")} == {"interrupted"}


def test_a_run_that_died_before_its_session_is_marked_and_one_never_held_is_not(
    journal: Journal, workspace: Workspace, tmp_path: Path
) -> None:
    settings = {"workspace": identity_of(workspace)}
    begin(journal, "waiting", settings)
    uid, held = begin(journal, "died", settings), begin(journal, "held", settings)
    process = FORK.Process(target=claim, args=[journal_url(tmp_path / "journal.db"), uid])
    process.start()
    process.join(PATIENCE_S)
    assert process.exitcode == 0
    with hold_run(journal, held):
        assert close_orphaned_sessions(journal, workspace) == []
        statuses = {key: journal.run(key).status for key in ("waiting", "died", "held")}
    assert statuses == {"waiting": "new", "died": "interrupted", "held": "new"}
    assert journal.run(uid).owner is None


def test_the_session_of_a_live_run_stays_open(journal: Journal, workspace: Workspace) -> None:
    uid = begin(journal, "alive", {"workspace": identity_of(workspace)})
    with ExitStack() as held:
        run: HeldRun = held.enter_context(hold_run(journal, uid))
        journal.set_status(run.lease, "running", "")
        session = held.enter_context(open_run_session(workspace, TARGET, run=run))
        (closed,) = close_orphaned_sessions(journal, workspace)
        assert closed.done.startswith("left: its run is held by process")
        assert statuses(workspace) == {session.id: "Waiting"}
        assert journal.run(uid).status == "running"


def test_a_session_in_another_workspace_stays_open(
    journal: Journal, workspace: Workspace, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = leave_open(journal, "there", workspace, monkeypatch, {"workspace": identity_of(workspace)})
    (closed,) = close_orphaned_sessions(journal, emulator.workspace("elsewhere"))
    assert closed.done == "left: it is in another workspace"
    assert statuses(workspace) == {session: "Waiting"}


def test_users_of_one_workspace_do_not_touch_each_others_sessions_even_under_the_same_run_key(
    journal: Journal, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"workspace": identity_of(workspace)}
    with Journal(journal_url(tmp_path / "theirs.db")) as theirs:
        uid = begin(journal, "night", settings)
        with hold_run(journal, uid) as run, open_run_session(workspace, TARGET, run=run) as ours:
            dead = leave_open(theirs, "night", workspace, monkeypatch, settings)
            assert ours.id != dead
            assert [each.session for each in close_orphaned_sessions(theirs, workspace)] == [dead]
            assert statuses(workspace) == {ours.id: "Waiting", dead: "Succeeded"}
            ours.run_round([ones()])
        dead = leave_open(theirs, "evening", workspace, monkeypatch, settings)
        assert close_orphaned_sessions(journal, workspace) == []
        assert statuses(workspace)[dead] == "Waiting"
        assert [row.id for row in theirs.sessions(theirs.run("evening").uid)] == [dead]
        assert journal.run("night").uid != theirs.run("night").uid
