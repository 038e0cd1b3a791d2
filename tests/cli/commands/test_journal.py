"""`hybridloop journal backup | restore`, beside runs, and what they refuse; journals that can only be read."""

from __future__ import annotations

import json
import math
import os
import pty
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hybridloop as hl
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.backup import back_up, restore
from hybridloop.journal.limits import RunLimit
from tests.circuit_helpers import bell
from tests.cli.shell_helpers import CommandResult, Shell, WorkspaceShell
from tests.conftest import Emulator
from tests.journal.journal_helpers import BODY, PROGRAM, TARGET, add_claimed_run, intents, pub
from tests.waiting import PATIENCE_S

Hybridloop = Callable[..., CommandResult]
MEASURED = ("--ansatz", "uccsd", "--search", "measured", "--seed", "7", "--precision", "0.01", "--quiet")
VQE = ("run", "vqe", "h2", "--target", "ionq.qpu.forte-1", *MEASURED)
RESUME = ("runs", "resume", "night", "--quiet")
EXTENDED = (*RESUME, "--precision", "0.004")
ENDS = (0, 4)  # the target's noise may keep it from convergence
SAME = ("value", "standard_error", "parameters", "rounds", "shots", "jobs", "history")


@pytest.fixture
def at(run_command: Hybridloop, tmp_path: Path) -> Hybridloop:
    """Return the command, on a journal of the test's own."""
    url = journal_url(tmp_path / "journal.db")
    return lambda *arguments, **variables: run_command(
        "journal", *arguments, **{"HYBRIDLOOP_JOURNAL": url, **variables}
    )


def test_a_backup_restores_what_a_journal_had(at: Hybridloop, tmp_path: Path) -> None:
    path, backup = tmp_path / "journal.db", tmp_path / "backup.db"
    with Journal(journal_url(path)) as journal:
        lease = add_claimed_run(journal)
        before = journal.run(lease.run_uid)
        done = at("backup", str(backup))  # while the journal is open, and a run held
        assert (done.code, done.out) == (0, f"{backup}: 1 run of the journal sqlite:///{path}\n")
        assert backup.stat().st_mode & 0o777 == 0o600
        held = at("restore", str(backup))
        assert held.code == 2
        assert f"run {before.key!r} is held by" in held.err
        journal.set_status(lease, "interrupted", "")
        journal.release(lease)
        assert at("restore", str(backup)).code == 0
        before = replace(before, owner=None, lease_expires_at=None)  # no process holds it
        assert journal.run(lease.run_uid) == before  # also for a process that has it open
    (saved,) = tmp_path.glob("journal-before-*.db")
    with Journal(journal_url(saved)) as journal:
        assert journal.run(lease.run_uid).status == "interrupted"
    path.write_bytes(b"no database any more")
    restored = at("restore", str(backup), "--json")
    assert restored.code == 0, restored.err
    with Journal(journal_url(path)) as journal:
        assert journal.run(lease.run_uid) == before


def test_a_restore_shows_what_it_changes_and_keeps_limits_unless_they_are_to_be_those_of_the_backup(
    run_command: Hybridloop, new_url: str, tmp_path: Path
) -> None:
    def at(*arguments: str) -> CommandResult:
        done = run_command(*arguments, HYBRIDLOOP_JOURNAL=new_url, HYBRIDLOOP_HOME=str(tmp_path / "home"))
        assert done.code == 0, done.err
        return done

    def limits() -> dict[str, tuple[float, float]]:
        return {
            each["name"]: (each["amount"], each["reserved"]) for each in json.loads(at("limit", "list", "--json").out)
        }

    backup = tmp_path / "backup.db"
    with Journal(new_url) as journal:
        old = add_claimed_run(journal, "old")
        at("limit", "set", "team", "100000USD")
        at("limit", "set", "night", "7USD", "--local")
        at("journal", "backup", str(backup))
        at("limit", "set", "team", "40USD")
        at("limit", "set", "night", "7USD", "--per", "day")
        at("limit", "set", "new", "50USD", "--target", TARGET)
        for lease in (old, add_claimed_run(journal, "late")):
            journal.begin_round(lease, "main", 0, TARGET, [pub(points=2)], intents(points=2), {PROGRAM: BODY})
            journal.release(lease)
    before = limits()
    assert before == {"new": (50.0, 2.0), "night": (7.0, 2.0), "team": (40.0, 2.0)}
    shown, new = at("journal", "restore", str(backup), "--dry-run").out, f"50 USD per month of target {TARGET}"
    assert shown.splitlines()[1:] == [
        "1 run not in the backup: late",
        "1 run in an earlier state: old",
        f"limit new: {new} ({new} before, none in the backup)",
        "limit night: 7 USD per day (7 USD per day before, 7 USD per month on the local service, too in the backup)",
        "limit night of the backup: 7 USD per month on the local service, too (none before, none in the backup)",
        "limit team: 40 USD per month (40 USD per month before, 100000 USD per month in the backup)",
        "12.00 HQC of jobs that are not in the backup still counts",
        "2.00 USD of jobs that are not in the backup still counts",
    ]
    assert limits() == before
    restored = at("journal", "restore", str(backup)).out
    assert restored.startswith(shown)
    assert "the journal before it is saved as" in restored.removeprefix(shown)
    kept = {**before, "night of the backup": (7.0, 2.0)}
    assert limits() == kept
    at("journal", "restore", str(backup))  # again: nothing is counted twice, and no limit doubled
    assert limits() == kept
    taken = json.loads(at("journal", "restore", str(backup), "--limits", "of-backup", "--json").out)
    assert (taken["cost"], taken["missing"]) == ({"USD": 2.0, "HQC": 12.0}, [])
    assert limits() == {"night": (7.0, 0.0), "team": (100000.0, 0.0)}


def test_a_backup_whose_sums_are_damaged_is_refused_before_a_damaged_journal_is_moved(
    at: Hybridloop, tmp_path: Path
) -> None:
    path, backup = tmp_path / "journal.db", tmp_path / "backup.db"
    with Journal(journal_url(path)) as journal:
        journal.put_limit(RunLimit("team", "USD", 9.0))
        journal.release(add_claimed_run(journal))
    assert at("backup", str(backup)).code == 0
    with closing(sqlite3.connect(backup)) as opened, opened:
        opened.execute("UPDATE limits SET amount = 1e6")
    path.write_bytes(b"no database any more")
    refused = at("restore", str(backup))
    assert (refused.code, "--limits of-backup takes it as it is" in refused.err) == (2, True)
    assert path.read_bytes() == b"no database any more"
    assert not list(tmp_path.glob("journal-before-*"))
    assert at("restore", str(backup), "--limits", "of-backup").code == 0


def test_at_a_terminal_it_shows_what_changes_and_asks(at_workspace: WorkspaceShell, tmp_path: Path) -> None:
    shell = at_workspace.shell.with_variables(HYBRIDLOOP_JOURNAL=journal_url(tmp_path / "journal.db"))
    backup = str(tmp_path / "backup.db")
    shell.json("limit", "set", "team", "9USD")
    shell.json("journal", "backup", backup)
    shell.json("limit", "set", "team", "4USD")
    for answer, code, amount in (("n", 1, 4.0), ("y", 0, 9.0)):
        terminal, end = pty.openpty()
        with os.fdopen(terminal, "wb"), os.fdopen(end, "rb") as stdin:
            os.write(terminal, f"{answer}\n".encode())
            done = subprocess.run(
                [sys.executable, "-m", "hybridloop", "journal", "restore", backup, "--limits", "of-backup"],
                env=dict(shell.environ),
                stdin=stdin,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
            )
        assert done.returncode == code, done.stderr
        assert "limit team: 9 USD per month (4 USD per month before, 9 USD per month in the backup)" in done.stderr
        assert shell.json("limit", "show", "team")["amount"] == amount


@pytest.mark.parametrize("is_open", [False, True], ids=("before-the-session", "in-the-session"))
def test_jobs_that_only_the_service_knows_count_once_they_are_found(
    is_open: bool,  # noqa: FBT001  # a parameter
    emulator: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(tmp_path))
    workspace = emulator.workspace()
    hl.set_limit("all", "1000USD", per="ever", local=True)

    def opened() -> hl.Session:
        return hl.open_session("ionq.qpu.forte-1", workspace=workspace, run_key="night", debias=False)

    def spent() -> float:
        return float(hl.limits()[0].spent)

    def measure(session: hl.Session, name: str) -> None:
        assert session.run(bell(), shots=100, name=name).counts

    with opened() as session:
        if is_open:
            measure(session, "first")
        back_up(tmp_path / "backup.db")
        measure(session, "first")
        measure(session, "lost")
    whole = spent()
    (tmp_path / "journal.db").write_bytes(b"no database any more")
    assert restore(tmp_path / "backup.db", limits_of_backup=True).unknown == "it is no database"
    at_backup = spent()
    assert at_backup < whole
    with opened() as session:
        measure(session, "other")
        assert spent() == pytest.approx(whole * (4 / 3 if is_open else 3 / 2))
        measure(session, "first")  # found by its place, no longer as one of the service alone
        assert spent() == pytest.approx(whole * (4 / 3 if is_open else 3 / 2))
    assert sum(1 for each in workspace.list_sessions() for _ in workspace.list_session_jobs(each.id)) == 3 + is_open


def test_what_is_no_backup_is_refused_and_changes_nothing(at: Hybridloop, tmp_path: Path) -> None:
    path, backup = tmp_path / "journal.db", tmp_path / "backup.db"
    with Journal(journal_url(path)) as journal:
        add_claimed_run(journal)
    assert at("backup", str(backup)).code == 0
    other = tmp_path / "notes.txt"
    other.write_text("no database")
    (tmp_path / "empty.db").touch()
    damaged = bytearray(backup.read_bytes())
    damaged[4096 * 2 : 4096 * 4] = os.urandom(4096 * 2)
    (tmp_path / "damaged.db").write_bytes(damaged)
    for arguments, said in (
        (("backup", str(backup)), "exists"),
        (("backup", str(tmp_path / "no" / "folder.db")), "No such file"),
        (("restore", str(other)), "is no journal"),
        (("restore", str(tmp_path / "empty.db")), "is no journal"),
        (("restore", str(tmp_path / "none.db")), "is no journal"),
        (("restore", str(tmp_path / "damaged.db")), "is damaged"),
        (("restore", str(path)), "is the journal itself"),
    ):
        refused = at(*arguments)
        assert refused.code in (1, 2), arguments
        assert said in refused.err, refused.err
    assert not list(tmp_path.glob("journal-before-*"))


def result_of(shell: Shell, *arguments: str) -> dict[str, Any]:
    """Return the result that a command prints."""
    done = shell.run(*arguments, "--json")
    assert done.returncode in ENDS, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.slow
@pytest.mark.parametrize(
    ("until", "crash_at", "then"),
    [
        (VQE, "open.before:1", RESUME),  # before its session
        (VQE, "result.after:2", RESUME),  # in a round of the search
        (VQE, "commit.before:2", RESUME),  # in the final measurement
        (VQE, "", RESUME),  # after the end
        (EXTENDED, "put.after:1", EXTENDED),  # in an extension
    ],
    ids=("begun", "search", "final", "ended", "extension"),
)
def test_a_run_is_resumed_from_a_backup_to_the_same_digits_and_nothing_is_paid_or_counted_twice(
    until: tuple[str, ...],
    crash_at: str,
    then: tuple[str, ...],
    at_workspace: WorkspaceShell,
    tmp_path: Path,
    new_url: str,
) -> None:
    shell = at_workspace.shell.with_variables(HYBRIDLOOP_JOURNAL=new_url)
    limit = ("limit", "set", "team", "--per", "ever", "--local")
    shell.json(*limit, "100000USD")
    if until == EXTENDED:
        result_of(shell, *VQE, "--run-key", "night")
    key = ("--run-key", "night") if until == VQE else ()
    died = shell.with_variables(**({"HYBRIDLOOP_CRASH_AT": crash_at} if crash_at else {})).run(*until, *key)
    assert died.returncode in ((-signal.SIGKILL,) if crash_at else ENDS), died.stderr
    backup = tmp_path / "backup.db"
    shell.json("journal", "backup", str(backup))
    undisturbed = result_of(shell, *then)
    if then == RESUME:
        undisturbed = result_of(shell, *EXTENDED)
    (before,) = shell.json("limit", "list")
    assert before["reserved"] == 0.0
    stricter = shell.json(*limit, f"{math.ceil(before['spent'])}USD")
    restored: dict[str, Any] = shell.json("journal", "restore", str(backup))
    assert (restored["runs"], len(restored["limits"])) == (1, 1)
    (after,) = shell.json("limit", "list")
    assert after["amount"] == stricter["amount"]
    assert after["spent"] + after["reserved"] >= before["spent"] * (1.0 - 1e-9)
    again = result_of(shell, *RESUME if crash_at or until == EXTENDED else EXTENDED)
    if then == RESUME and crash_at:
        again = result_of(shell, *EXTENDED)
    assert {name: again[name] for name in SAME} == {name: undisturbed[name] for name in SAME}
    assert set(at_workspace.session_statuses()) == {"Succeeded"}
    workspace = at_workspace.workspace
    jobs = [job for each in workspace.list_sessions() for job in workspace.list_session_jobs(each.id)]
    assert len(jobs) == undisturbed["jobs"]["total"]
    (ended,) = shell.json("limit", "list")
    assert (ended["spent"], ended["reserved"]) == (pytest.approx(before["spent"]), 0.0)
