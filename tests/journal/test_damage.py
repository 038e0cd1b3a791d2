"""Damaged values are never used: after any bit flip, what is read is correct or refused."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hybridloop.errors import HybridloopError, JournalDamaged, JournalError
from hybridloop.journal import DamagedRun, Journal, journal_url
from hybridloop.journal.backup import back_up, restore
from hybridloop.journal.storage.schema import metadata
from tests.journal.journal_helpers import (
    PROGRAM,
    TARGET,
    add_claimed_run,
    execute,
    intents,
    measure,
    ping,
    pub,
    round_values,
    session,
)
from tests.long_form import long_form, short_or_long

# uses of programs, and spans for plots: a lost row of these is not noticed
UNREAD = {"program_uses", "spans"}
CHECKED = [table.name for table in metadata.sorted_tables if table.name not in UNREAD]


def fill(path: Path) -> None:
    """Write a journal with rows in every table."""
    with Journal(journal_url(path), now=lambda: 1000.5) as journal:
        lease = add_claimed_run(journal)
        for sequence in range(3):
            measure(journal, lease, sequence, points=3)
        journal.begin_round(lease, "other", 0, TARGET, [pub(points=2)], intents(points=2), {})
        for ordinal in range(2):
            journal.add_session(lease, session(ordinal))
            sent = ping(ordinal)
            journal.add_ping(lease, sent)
            journal.end_ping(lease, sent.id, "submitted")
            journal.add_event(lease, "renewal", {"ordinal": ordinal})
        journal.end_session(lease, lease.run_uid, 0, "TimedOut", 700.0)
        journal.set_status(lease, "stopped", "by its cap", {"value": -1.137})
    assert not path.with_name("journal.db-wal").exists()


def readers(uid: str) -> dict[str, Callable[[Journal], object]]:
    """Return a function for each thing that can be read, by the tables that it reads."""
    return {
        "runs states": lambda journal: (journal.run("h2-night"), journal.runs(), journal.run(uid)),
        "rounds jobs": lambda journal: (
            [round_values(round_) for round_ in journal.rounds(uid)],
            [round_values(round_) for n in range(4) if (round_ := journal.round(uid, "main", n))],
        ),
        "jobs pings": lambda journal: journal.charges(uid),
        "programs": lambda journal: journal.program(PROGRAM),
        "sessions": lambda journal: journal.sessions(uid),
        "pings": lambda journal: journal.pings(uid),
        "events": lambda journal: journal.events(uid),
    }


def listed(path: Path) -> list[object]:
    """Return the lists that leave damaged runs out; [] if the journal can't be opened or read."""
    try:
        with Journal(journal_url(path)) as journal:
            return [*journal.runs(), *journal.runs_by_status({"stopped"}), *journal.open_sessions()]
    except JournalError:
        return []


def read_all(path: Path, uid: str) -> dict[str, object]:
    """Return each reader's value or HybridloopError; other exceptions are raised."""
    values: dict[str, object] = {}
    try:
        journal = Journal(journal_url(path))
    except HybridloopError as error:
        return dict.fromkeys(readers(uid), error)
    with journal:
        for tables, read in readers(uid).items():
            try:
                values[tables] = read(journal)
            except HybridloopError as error:
                values[tables] = error
    return values


def rows(path: Path) -> dict[str, object]:
    """Return the tables' rows as SQLite reads them without indices, or the text of its error."""
    found: dict[str, object] = {}
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        for table in CHECKED:
            try:
                found[table] = connection.execute(f"SELECT * FROM {table} NOT INDEXED").fetchall()
            except (sqlite3.Error, UnicodeDecodeError) as error:
                found[table] = str(error)
    return found


def value_positions(path: Path) -> list[range]:
    """Return the positions in the file of values of rows."""
    stored = path.read_bytes()
    found = []
    for table_rows in rows(path).values():
        assert isinstance(table_rows, list)
        for value in (value for row in table_rows for value in row if isinstance(value, bytes) and len(value) > 3):
            at = stored.find(value)
            while at >= 0:
                found.append(range(at, at + len(value)))
                at = stored.find(value, at + 1)
    return found


def check_flips(path: Path, positions: list[int], bit_of: random.Random) -> int:
    """Flip a bit at each position in turn and read everything; return the number of flips that changed a row."""
    with Journal(journal_url(path)) as journal:
        uid = journal.run("h2-night").uid
    sound, correct, in_lists, stored = rows(path), read_all(path, uid), listed(path), path.read_bytes()
    assert not any(isinstance(value, Exception) for value in correct.values())
    assert len(in_lists) == 3
    changed = 0
    for position in positions:
        damaged = bytearray(stored)
        damaged[position] ^= 1 << bit_of.randrange(8)
        path.write_bytes(damaged)
        differing = {table for table, found in rows(path).items() if found != sound[table]}
        changed += bool(differing)
        for tables, value in read_all(path, uid).items():
            if isinstance(value, HybridloopError):
                continue
            assert value == correct[tables], (position, tables)
            assert not differing & set(tables.split()), (position, tables, differing)
        assert all(entry in in_lists for entry in listed(path)), position
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(stored)
    return changed


@pytest.mark.slow
@long_form
def test_each_of_200_bit_flips_in_rows_that_changes_a_value_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path)
    chance = random.Random(4)
    places = value_positions(path)
    flips = short_or_long(200, 2000)
    positions = [chance.choice(span) for span in chance.choices(places, weights=list(map(len, places)), k=flips)]
    assert check_flips(path, positions, chance) > flips // 2


@pytest.mark.slow
@long_form
def test_after_a_bit_flip_anywhere_in_the_file_what_is_read_is_correct_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path)
    chance = random.Random(5)
    size = path.stat().st_size
    header_and_schema = [chance.randrange(8192) for _ in range(short_or_long(60, 500))]
    anywhere = [chance.randrange(size) for _ in range(short_or_long(60, 1000))]
    check_flips(path, header_and_schema + anywhere, chance)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path)
    with Journal(journal_url(path)) as journal:
        uid = journal.run("h2-night").uid
    correct, stored = read_all(path, uid), path.read_bytes()
    for pages in range(len(stored) // 4096):
        path.write_bytes(stored[: 4096 * pages])
        for tables, value in read_all(path, uid).items():
            assert isinstance(value, JournalError) or value == correct[tables]


def test_a_journal_that_was_cut_to_nothing_is_no_new_one_and_a_backup_takes_its_place(tmp_path: Path) -> None:
    path, environ = tmp_path / "journal.db", {"HYBRIDLOOP_JOURNAL": journal_url(tmp_path / "journal.db")}
    fill(path)
    back_up(tmp_path / "backup.db", environ)
    for part in tmp_path.glob("journal.db-*"):
        part.unlink()
    path.write_bytes(b"")
    with pytest.raises(JournalError, match=r"is empty, and was set up before.*hybridloop journal restore FILE"):
        Journal(journal_url(path))
    assert path.read_bytes() == b""
    assert restore(tmp_path / "backup.db", environ).runs == 1
    path.unlink()
    with Journal(journal_url(path)) as journal:  # a file that was deleted: a new one, as its user wants
        assert journal.num_runs == 0
    empty = tmp_path / "empty.db"
    empty.write_bytes(b"")  # as a program makes a file for a journal
    with Journal(journal_url(empty)) as journal:
        assert journal.num_runs == 0


def test_a_file_that_is_not_a_database_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"my notes, which are long enough to be taken for the header of a database, if one does not look")
    before = path.read_bytes()
    with pytest.raises(JournalDamaged, match="not a database"):
        Journal(journal_url(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("jobs", "shots = 7 WHERE point = 1"),
        ("jobs", "state = 'lost' WHERE point = 1"),
        ("jobs", "billed = NULL WHERE point = 1"),
        ("jobs", "counts = NULL WHERE point = 1"),
        ("jobs", "attempt = 5 WHERE point = 1"),
        ("rounds", "complete = 0"),
        ("rounds", "target = 'ionq.simulator'"),
        ("rounds", "jobs = jobs + 1"),
    ],
)
def test_an_error_names_the_row_that_was_changed_past_the_journal(
    journal: Journal, new_url: str, table: str, change: str
) -> None:
    lease = add_claimed_run(journal)
    measure(journal, lease, 0, points=2)
    execute(new_url, f"UPDATE {table} SET {change}")
    with pytest.raises(JournalDamaged, match=f"{table}, row {lease.run_uid}/main/0") as caught:
        journal.round(lease.run_uid, "main", 0)
    assert caught.value.table == table


def test_an_error_names_the_span_that_was_changed_past_the_journal(journal: Journal, new_url: str) -> None:
    lease = add_claimed_run(journal)
    measure(journal, lease, 0, points=2)
    execute(new_url, "UPDATE spans SET begun_at = 7.0")
    with pytest.raises(JournalDamaged, match=f"spans, row {lease.run_uid}/round/main/0"):
        journal.spans(lease.run_uid)


def test_lists_of_all_runs_leave_damaged_ones_out_and_warn_once(new_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with Journal(new_url, now=lambda: 0.0) as journal:
        uids = {
            key: add_claimed_run(journal, key).run_uid
            for key in ("sound", "run-row", "state", "session-row", "round-row")
        }
        for uid in uids.values():
            lease = journal.take_lease(uid, now=100.0)
            journal.add_session(lease, session())
            journal.begin_round(lease, "main", 0, TARGET, [pub(points=2)], intents(points=2), {})
            journal.set_status(lease, "stopped", "by its cap")
            journal.release(lease)
            journal.request_resume(uid)
    execute(new_url, f"UPDATE runs SET target = 'x' WHERE uid = '{uids['run-row']}'")
    execute(new_url, f"UPDATE states SET reason = 'x' WHERE run_uid = '{uids['state']}'")
    execute(new_url, f"UPDATE sessions SET id = 'x' WHERE run_uid = '{uids['session-row']}'")
    execute(new_url, f"UPDATE rounds SET target = 'x' WHERE run_uid = '{uids['round-row']}'")
    readable = {"sound", "session-row", "round-row"}
    with Journal(new_url) as journal:
        assert {run.key for run in journal.runs()} == readable
        for _ in range(2):
            assert {run.key for run in journal.runs_by_status({"stopped"})} == readable
            assert {run.key for run in journal.runs_to_resume()} == readable
            assert {run.key for run, _ in journal.open_sessions()} == {"sound", "round-row"}
        warnings = sorted(
            message.partition(" is skipped: the journal is damaged: ")[::2] for message in caplog.messages
        )
        assert [(name, row.partition(",")[0]) for name, row in warnings] == [
            ("run run-row", "runs"),
            ("run session-row", "sessions"),
            ("run state", "states"),
        ]
        is_damaged = {
            entry.key if isinstance(entry, DamagedRun) else entry[0].key: isinstance(entry, DamagedRun)
            for entry in journal.overview(limit=10)
        }
        assert is_damaged == {key: key not in {"sound", "session-row"} for key in uids}
        for key in ("run-row", "state"):
            with pytest.raises(JournalDamaged):
                journal.run(key)
        with pytest.raises(JournalDamaged):
            journal.sessions(uids["session-row"])


def test_pruning_skips_damaged_runs_and_prunes_the_others(new_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with Journal(new_url, now=lambda: 0.0) as journal:
        leases = {
            key: add_claimed_run(journal, key) for key in ("stripped", "damaged", "forgotten", "held-and-damaged")
        }
        for lease in leases.values():
            measure(journal, lease, 0, points=2)
            journal.set_status(lease, "converged", "")
        for key in ("stripped", "damaged", "forgotten"):
            journal.release(leases[key])
        for key in ("damaged", "held-and-damaged"):
            execute(new_url, f"UPDATE states SET reason = 'x' WHERE run_uid = '{leases[key].run_uid}'")
        uids = {key: lease.run_uid for key, lease in leases.items()}
        assert journal.delete_measurements([uids["damaged"], uids["stripped"]]) == 1
        assert journal.delete_runs([uids["damaged"], uids["forgotten"]]) == 1
        assert journal.compact() == 0  # too little to compact
        assert [run.key for run in journal.runs()] == ["stripped"]
    (warning,) = caplog.messages
    assert warning.startswith("run damaged is skipped: the journal is damaged: states")
