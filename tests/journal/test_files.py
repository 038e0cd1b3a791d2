"""Files of a journal: their access rights, and the errors when they can't be written."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import signal
import sqlite3
import stat
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from hybridloop.errors import HybridloopError, InputError, JournalError
from hybridloop.journal import Journal, journal_url, open_journal
from hybridloop.journal.storage.database import Database
from hybridloop.journal.storage.location import Location
from tests.journal.journal_helpers import add_claimed_run, measure, new_run, round_values

FORK = multiprocessing.get_context("fork")
NOBODY = 65534


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Set a umask of 0 for the test."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("open_umask")
def test_all_files_are_private_with_any_umask(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    with open_journal({"HYBRIDLOOP_HOME": str(home)}) as journal:
        measure(journal, add_claimed_run(journal), 0)
        assert {path.name for path in home.iterdir()} >= {"journal.db", "journal.db-wal", "journal.db-shm"}
        assert {path.name: oct(mode(path)) for path in home.iterdir() if mode(path) != 0o600} == {}
        assert [oct(mode(path)) for path in (home, home.parent)] == ["0o700", "0o700"]


def test_the_state_folder_is_made_private_and_another_folder_is_not(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    open_journal({"HYBRIDLOOP_JOURNAL": journal_url(tmp_path / "j.db"), "HYBRIDLOOP_HOME": "/nowhere"}).close()
    assert mode(tmp_path) == 0o755
    open_journal({"HYBRIDLOOP_HOME": str(tmp_path)}).close()
    assert mode(tmp_path) == 0o700


def test_a_readable_file_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.touch(0o644)
    path.chmod(0o644)
    Journal(journal_url(path)).close()
    assert mode(path) == 0o600


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal", ".lock"])
def test_a_link_at_the_journals_path_is_refused_and_its_target_is_not_changed(tmp_path: Path, suffix: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    victim.chmod(0o644)
    (tmp_path / f"journal.db{suffix}").symlink_to(victim)
    with pytest.raises(JournalError, match="is a link"):
        Journal(journal_url(tmp_path / "journal.db"))
    assert (victim.read_text(), mode(victim)) == ("mine", 0o644)


def test_a_dangling_link_is_refused_and_its_target_is_not_created(tmp_path: Path) -> None:
    (tmp_path / "journal.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(JournalError, match="is a link"):
        Journal(journal_url(tmp_path / "journal.db"))
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_folder_at_the_journals_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="not a file"):
        Journal(journal_url(tmp_path))


@pytest.mark.parametrize(
    "url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "sqlite:///x.db?mode=ro", "mysql://host/db", "file:x"]
)
def test_an_invalid_url_is_refused_by_the_settings_name(url: str) -> None:
    with pytest.raises(InputError, match="journal"):
        Journal(url)


def test_commits_are_synchronous_and_the_journal_mode_is_wal(tmp_path: Path) -> None:
    url = journal_url(tmp_path / "journal.db")
    Journal(url).close()
    with Database(Location.parse(url), busy_s=1.0).read_transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_relative_url_is_resolved_when_the_journal_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Journal("sqlite:///here.db") as journal:
        monkeypatch.chdir("/")
        journal.add_run(new_run())
    assert (tmp_path / "here.db").stat().st_size > 0


def in_a_child(task: Callable[[], object]) -> object:
    """Run a task in a child process, whose rights may be limited; return its value or HybridloopError."""
    receiver, sender = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_send_result, args=(task, sender))
    child.start()
    sender.close()
    result = receiver.recv()
    child.join()
    return result


def _send_result(task: Callable[[], object], sender: Connection) -> None:
    try:
        sender.send(task())
    except HybridloopError as error:
        try:
            sender.send(error)
        except Exception:
            sender.send(traceback.format_exc()[-1000:])


def _as_nobody() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def test_an_error_names_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "sealed"
    folder.mkdir(0o555)

    def task() -> object:
        _as_nobody()
        return Journal(journal_url(folder / "journal.db"))

    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    error = in_a_child(task)
    assert isinstance(error, JournalError), error
    assert f"{folder}/journal.db can't be used: Permission denied" in str(error)
    assert "HYBRIDLOOP_HOME" in str(error)


def test_an_error_can_be_sent_to_another_process_with_its_causes(tmp_path: Path) -> None:
    url = journal_url(tmp_path / "journal.db")
    with Journal(url) as journal:
        lease = add_claimed_run(journal)
        with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
            database.execute("CREATE TRIGGER no BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END")
            database.commit()
        with pytest.raises(JournalError) as raised:
            journal.add_event(lease, "x", {})
    error: BaseException | None = raised.value
    while error is not None:  # some libraries pickle the causes, too
        pickle.dumps((error.args, vars(error)))
        error = error.__cause__


def test_a_read_only_journal_is_an_error_and_stays_unchanged(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    url = journal_url(folder / "journal.db")
    with Journal(url) as journal:
        lease = add_claimed_run(journal)
        before = journal.run("h2-night")
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    (folder / "journal.db").chmod(0o400)
    os.chown(folder / "journal.db", NOBODY if os.geteuid() == 0 else -1, -1)
    folder.chmod(0o555)

    def task() -> object:
        _as_nobody()
        with Journal(url) as journal:
            journal.add_event(lease, "x", {})
        return None

    error = in_a_child(task)
    folder.chmod(0o755)
    assert isinstance(error, JournalError), error
    assert "can't be" in str(error)
    with Journal(url) as journal:
        assert journal.run("h2-night") == before


@pytest.mark.parametrize("sealed", ["file", "folder"])
def test_a_journal_that_can_only_be_read_shows_its_runs(sealed: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "journal.db"
    with Journal(journal_url(path)) as journal:
        lease = add_claimed_run(journal)
        measure(journal, lease, 0)
        journal.release(lease)
        before, rounds = journal.run("h2-night"), repr(list(journal.rounds(lease.run_uid)))
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(0o755)
    path.chmod(0o444 if sealed == "file" else 0o666)
    folder.chmod(0o555)
    shown = {each.name: each.read_bytes() for each in folder.iterdir()}

    def task() -> object:
        _as_nobody()
        with open_journal({"HYBRIDLOOP_HOME": str(folder)}) as journal:
            (record,) = journal.runs(limit=5)
            return record, repr(list(journal.rounds(record.uid)))

    assert in_a_child(task) == (before, rounds)
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == shown
    folder.chmod(0o755)


@pytest.mark.claim("the journal can't be written")
def test_a_full_disk_is_an_error_and_loses_nothing_that_was_written(tmp_path: Path) -> None:
    url = journal_url(tmp_path / "journal.db")
    with Journal(url) as journal:
        lease = add_claimed_run(journal)
        measure(journal, lease, 0)

    def task() -> object:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = (tmp_path / "journal.db").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 4096, size + 4096))
        with Journal(url) as journal:
            sequence = 1
            while True:
                measure(journal, lease, sequence)
                sequence += 1

    error = in_a_child(task)
    assert isinstance(error, JournalError), error
    assert "can't be written" in str(error)
    assert "Make room" in str(error)
    with Journal(url) as journal:
        rounds = list(journal.rounds(lease.run_uid))
        assert [round_.sequence for round_ in rounds] == list(range(len(rounds)))
        assert all(round_.complete for round_ in rounds[:-1])
        sequence = len(rounds)
        lease = journal.take_lease(lease.run_uid, now=1e12)
        measure(journal, lease, sequence)
        assert round_values(next(journal.rounds(lease.run_uid))) == round_values(rounds[0])


@pytest.mark.parametrize("room", [0, 4096, 40_000])
def test_a_disk_that_is_full_from_the_start_is_an_error_and_leaves_no_partial_journal(
    tmp_path: Path, room: int
) -> None:
    def task() -> object:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        return Journal(journal_url(tmp_path / "journal.db"))

    error = in_a_child(task)
    assert isinstance(error, JournalError), error
    assert "can't be written" in str(error)
    with Journal(journal_url(tmp_path / "journal.db")) as journal:
        measure(journal, add_claimed_run(journal), 0)


def test_a_write_waits_for_a_lock_that_is_released_in_time(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal(journal_url(path)) as journal:
        lease = add_claimed_run(journal)
        with closing(sqlite3.connect(path, check_same_thread=False, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            threading.Timer(0.3, other.execute, ["ROLLBACK"]).start()
            journal.add_event(lease, "x", {})
        assert len(journal.events(lease.run_uid)) == 1
