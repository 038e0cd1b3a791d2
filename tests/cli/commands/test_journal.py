"""`hybridloop journal backup | restore`, beside runs, and what they refuse; journals that can only be read."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridloop.journal import Journal, journal_url
from tests.cli.shell_helpers import CommandResult, WorkspaceShell
from tests.journal.journal_helpers import add_claimed_run

Hybridloop = Callable[..., CommandResult]
VQE = ("run", "vqe", "h2", "--ansatz", "uccsd", "--search", "measured", "--seed", "7", "--precision", "0.01", "--quiet")
RESUME = ("runs", "resume", "night", "--quiet")
EXTENDED = (*RESUME, "--precision", "0.004")
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
        assert journal.run(lease.run_uid) == before  # also for a process that has it open
    (saved,) = tmp_path.glob("journal-before-*.db")
    with Journal(journal_url(saved)) as journal:
        assert journal.run(lease.run_uid).status == "interrupted"
    path.write_bytes(b"no database any more")
    restored = at("restore", str(backup), "--json")
    assert restored.code == 0, restored.err
    with Journal(journal_url(path)) as journal:
        assert journal.run(lease.run_uid) == before


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
    for command, tool in (("backup", "pg_dump"), ("restore", "pg_restore")):
        on_a_server = at(command, str(tmp_path / "x.db"), HYBRIDLOOP_JOURNAL="postgresql://me:pass@host/runs")
        assert on_a_server.code == 2
        assert tool in on_a_server.err
        assert ":pass" not in on_a_server.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("until", "crash_at", "then"),
    [
        (VQE, "result.after:2", RESUME),  # in a round of the search
        (VQE, "commit.before:2", RESUME),  # in the final measurement
        (VQE, "", RESUME),  # after the end
        (EXTENDED, "put.after:1", EXTENDED),  # in an extension
    ],
    ids=("search", "final", "ended", "extension"),
)
def test_a_run_is_resumed_from_a_backup_to_the_same_digits_and_nothing_is_paid_twice(
    until: tuple[str, ...], crash_at: str, then: tuple[str, ...], at_workspace: WorkspaceShell, tmp_path: Path
) -> None:
    shell = at_workspace.shell.with_variables(HYBRIDLOOP_JOURNAL=journal_url(tmp_path / "journal.db"))
    if until == EXTENDED:
        shell.json(*VQE, "--run-key", "night")
    key = ("--run-key", "night") if until == VQE else ()
    died = shell.with_variables(**({"HYBRIDLOOP_CRASH_AT": crash_at} if crash_at else {})).run(*until, *key)
    assert died.returncode == (-signal.SIGKILL if crash_at else 0), died.stderr
    backup = tmp_path / "backup.db"
    shell.json("journal", "backup", str(backup))
    undisturbed = shell.json(*then)
    if then == RESUME:
        undisturbed = shell.json(*EXTENDED)
    restored: dict[str, Any] = shell.json("journal", "restore", str(backup))
    assert restored["runs"] == 1
    again = shell.json(*RESUME if crash_at or until == EXTENDED else EXTENDED)
    if then == RESUME and crash_at:
        again = shell.json(*EXTENDED)
    assert {name: again[name] for name in SAME} == {name: undisturbed[name] for name in SAME}
    assert set(at_workspace.session_statuses()) == {"Succeeded"}
    workspace = at_workspace.workspace
    jobs = [job for each in workspace.list_sessions() for job in workspace.list_session_jobs(each.id)]
    assert len(jobs) == undisturbed["jobs"]["total"]
