"""The file of an open journal is deleted, moved, replaced or unmounted: no write succeeds, and nothing is lost."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hybridloop.errors import JournalError, JournalGone
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import hold_run
from tests.conftest import Emulator
from tests.journal.journal_helpers import add_claimed_run, measure
from tests.session_helpers import open_run_session
from tests.tasks.conftest import add_run
from tests.tasks.test_session_closing import ones

ROUNDS = 3


def delete(path: Path) -> None:
    path.unlink()


def delete_all(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def delete_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def delete_log(path: Path) -> None:
    path.with_name("journal.db-wal").unlink()


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def replace(path: Path) -> None:
    """Put a new, empty journal in its place."""
    Journal(journal_url(path.with_name("new.db"))).close()
    path.with_name("new.db").replace(path)


LOSSES = [delete, delete_all, delete_folder, delete_log, move_folder, replace]


def saved_journal(error: JournalGone) -> str:
    """Return the URL in a message that says where the results are."""
    found = re.search("HYBRIDLOOP_JOURNAL=(sqlite:////[^ ]+) hybridloop runs resume", str(error))
    assert found is not None, str(error)
    return found[1]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_write_after_the_loss_of_the_file_raises_and_all_rounds_are_saved(
    lose: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "disk" / "journal.db"
    path.parent.mkdir()
    with Journal(journal_url(path)) as journal:
        lease = add_claimed_run(journal)
        for sequence in range(ROUNDS):
            measure(journal, lease, sequence)
        lose(path)
        with pytest.raises(JournalGone) as caught:
            measure(journal, lease, ROUNDS)
        with pytest.raises(JournalGone) as again:
            journal.set_status(lease, "converged", "")
    assert path.exists() == (lose in (delete_log, replace))  # it is not created again
    assert str(again.value) == str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args
    copy = Path(saved_journal(caught.value).removeprefix("sqlite:///"))
    assert copy.stat().st_mode & 0o077 == 0
    with Journal(journal_url(copy)) as saved:
        assert len([record for record in saved.rounds(lease.run_uid) if record.complete]) == ROUNDS


@pytest.mark.parametrize("lose", LOSSES)
def test_a_read_after_the_loss_of_the_file_is_not_called_damage(lose: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "disk" / "journal.db"
    path.parent.mkdir()
    with Journal(journal_url(path)) as journal:
        lease = add_claimed_run(journal)
        measure(journal, lease, 0)
        lose(path)
        if lose is delete_log:  # still readable in this process
            assert len(list(journal.rounds(lease.run_uid))) == 1
            return
        with pytest.raises(JournalGone):
            journal.rounds(lease.run_uid).__next__()


def test_a_disk_that_was_unmounted_has_the_results(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; from pathlib import Path; from hybridloop.journal import Journal, journal_url;"
        "from tests.journal.journal_helpers import add_claimed_run, measure\n"
        "disk = Path(sys.argv[1]); subprocess.run(['mount', '-t', 'tmpfs', 'none', disk], check=True)\n"
        "journal = Journal(journal_url(disk / 'a' / 'journal.db')); lease = add_claimed_run(journal)\n"
        "measure(journal, lease, 0); subprocess.run(['umount', '-l', disk], check=True)\n"
        "measure(journal, lease, 1)"
    )
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", tmp_path], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    command = ["unshare", "-rm", sys.executable, "-c", code, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert "JournalGone: the disk with the journal" in ended.stderr
    assert "Mount the disk again" in ended.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.claim("the journal can't be written")
def test_a_run_whose_journal_is_deleted_stops_and_continues_from_the_saved_one(
    emulator: Emulator, tmp_path: Path
) -> None:
    pub, workspace, path = ones(), emulator.workspace(), tmp_path / "journal.db"
    with Journal(journal_url(path)) as journal:
        uid = add_run(journal)
        with hold_run(journal, uid) as run, open_run_session(workspace, run=run) as session:
            session.run_round([pub])
            path.unlink()
            with pytest.raises(JournalGone) as caught:
                session.run_round([pub])
    assert session.status == "Succeeded"
    with (
        Journal(saved_journal(caught.value), now=lambda: time.time() + 61.0) as journal,  # its lease has expired
        hold_run(journal, uid) as run,
        open_run_session(workspace, run=run) as session,
    ):
        for _ in range(2):
            session.run_round([pub])
        assert session.replayed == 1
    assert emulator.admin(f"ledger?run={uid}")["duplicates"]["count"] == 0


def test_a_journal_that_can_not_be_saved_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "disk" / "journal.db"
    path.parent.mkdir()
    with Journal(journal_url(path)) as journal:
        lease = add_claimed_run(journal)
        delete_folder(path)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no-such-folder"))
        with pytest.raises(JournalError, match="could not be saved"):
            measure(journal, lease, 0)
