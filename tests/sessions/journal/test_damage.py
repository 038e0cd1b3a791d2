"""No value that rotted on the disk is ever used: whatever bit flips, what is read is right or refused."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hybridloop.errors import HybridloopError, JournalDamaged, JournalError
from hybridloop.sessions.journal import DamagedRun, Journal, journal_url
from hybridloop.sessions.journal.schema import metadata
from tests.long_form import short_or_long
from tests.sessions.journal.examples import (
    PROGRAM,
    TARGET,
    claimed,
    execute,
    image,
    intents,
    measure,
    ping,
    pub,
    session,
)

# what only says what to keep, and what only pictures are drawn from: of the latter a lost row is not noticed
UNREAD = {"program_uses", "spans"}
CHECKED = [table.name for table in metadata.sorted_tables if table.name not in UNREAD]


def fill(path: Path) -> None:
    """A journal with something in every table."""
    with Journal(journal_url(path), now=lambda: 1000.5) as journal:
        lease = claimed(journal)
        for sequence in range(3):
            measure(journal, lease, sequence, points=3)
        journal.begin_round(lease, "other", 0, TARGET, [pub(points=2)], intents(points=2), {})
        for ordinal in range(2):
            journal.add_session(lease, session(ordinal))
            sent = ping(ordinal)
            journal.add_ping(lease, sent)
            journal.end_ping(lease, sent.id, "submitted")
            journal.note(lease, "renewal", {"ordinal": ordinal})
        journal.end_session(lease, lease.run_uid, 0, "TimedOut", 700.0)
        journal.set_status(lease, "stopped", "by its cap", {"value": -1.137})
    assert not path.with_name("journal.db-wal").exists()


def readers(uid: str) -> dict[str, Callable[[Journal], object]]:
    """All that can be read, by the tables that it is read from."""
    return {
        "runs states": lambda journal: (journal.run("h2-night"), journal.runs(), journal.run(uid)),
        "rounds jobs": lambda journal: (
            [image(each) for each in journal.rounds(uid)],
            [image(each) for n in range(4) if (each := journal.round(uid, "main", n))],
        ),
        "jobs pings": lambda journal: journal.charges(uid),
        "programs": lambda journal: journal.program(PROGRAM),
        "sessions": lambda journal: journal.sessions(uid),
        "pings": lambda journal: journal.pings(uid),
        "events": lambda journal: journal.events(uid),
    }


def listed(path: Path) -> list[object]:
    """What the lists say that leave out what is damaged; nothing where the journal can't be opened or read."""
    try:
        with Journal(journal_url(path)) as journal:
            return [*journal.runs(), *journal.in_status({"stopped"}), *journal.open_sessions()]
    except JournalError:
        return []


def answers(path: Path, uid: str) -> dict[str, object]:
    """What each reader says: its answer, or the typed error; anything else is raised."""
    found: dict[str, object] = {}
    try:
        journal = Journal(journal_url(path))
    except HybridloopError as error:
        return dict.fromkeys(readers(uid), error)
    with journal:
        for tables, read in readers(uid).items():
            try:
                found[tables] = read(journal)
            except HybridloopError as error:
                found[tables] = error
    return found


def rows(path: Path) -> dict[str, object]:
    """The tables' rows as SQLite itself gives them, past all indices; an error's text where it gives none."""
    found: dict[str, object] = {}
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        for table in CHECKED:
            try:
                found[table] = connection.execute(f"SELECT * FROM {table} NOT INDEXED").fetchall()
            except (sqlite3.Error, UnicodeDecodeError) as error:
                found[table] = str(error)
    return found


def spans(path: Path) -> list[range]:
    """Where in the file the values of rows are."""
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
    """Flip a bit at each position in turn and read everything; how many flips changed a row."""
    with Journal(journal_url(path)) as journal:
        uid = journal.run("h2-night").uid
    sound, right, in_lists, stored = rows(path), answers(path, uid), listed(path), path.read_bytes()
    assert not any(isinstance(answer, Exception) for answer in right.values())
    assert len(in_lists) == 3
    changed = 0
    for position in positions:
        rotten = bytearray(stored)
        rotten[position] ^= 1 << bit_of.randrange(8)
        path.write_bytes(rotten)
        differing = {table for table, found in rows(path).items() if found != sound[table]}
        changed += bool(differing)
        for tables, answer in answers(path, uid).items():
            if isinstance(answer, HybridloopError):
                continue
            assert answer == right[tables], (position, tables)
            assert not differing & set(tables.split()), (position, tables, differing)
        assert all(each in in_lists for each in listed(path)), position
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
    path.write_bytes(stored)
    return changed


@pytest.mark.slow
def test_of_200_bits_that_flip_in_rows_every_one_that_changes_a_value_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path)
    chance = random.Random(4)
    places = spans(path)
    flips = short_or_long(200, 2000)
    positions = [chance.choice(span) for span in chance.choices(places, weights=list(map(len, places)), k=flips)]
    assert check_flips(path, positions, chance) > flips // 2


@pytest.mark.slow
def test_wherever_a_bit_flips_in_the_file_what_is_read_is_right_or_refused(tmp_path: Path) -> None:
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
    right, stored = answers(path, uid), path.read_bytes()
    for pages in range(1, len(stored) // 4096):
        path.write_bytes(stored[: 4096 * pages])
        for tables, answer in answers(path, uid).items():
            assert isinstance(answer, JournalError) or answer == right[tables]


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
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
def test_a_row_that_somebody_changed_is_named(journal: Journal, new_url: str, table: str, change: str) -> None:
    lease = claimed(journal)
    measure(journal, lease, 0, points=2)
    execute(new_url, f"UPDATE {table} SET {change}")
    with pytest.raises(JournalDamaged, match=f"{table}, row {lease.run_uid}/main/0") as caught:
        journal.round(lease.run_uid, "main", 0)
    assert caught.value.table == table


def test_a_span_that_somebody_changed_is_named(journal: Journal, new_url: str) -> None:
    lease = claimed(journal)
    measure(journal, lease, 0, points=2)
    execute(new_url, "UPDATE spans SET begun_at = 7.0")
    with pytest.raises(JournalDamaged, match=f"spans, row {lease.run_uid}/round/main/0"):
        journal.spans(lease.run_uid)


def test_a_damaged_run_is_left_out_of_what_is_done_for_all_and_named_once(
    new_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Journal(new_url, now=lambda: 0.0) as journal:
        uids = {key: claimed(journal, key).run_uid for key in ("sound", "run-row", "state", "session-row", "round-row")}
        for uid in uids.values():
            lease = journal.claim(uid, now=100.0)
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
            assert {run.key for run in journal.in_status({"stopped"})} == readable
            assert {run.key for run in journal.asked_for()} == readable
            assert {run.key for run, _ in journal.open_sessions()} == {"sound", "round-row"}
        told = sorted(each.partition(" is left alone: the journal is damaged: ")[::2] for each in caplog.messages)
        assert [(name, said.partition(",")[0]) for name, said in told] == [
            ("run run-row", "runs"),
            ("run session-row", "sessions"),
            ("run state", "states"),
        ]
        shown = {
            each.key if isinstance(each, DamagedRun) else each[0].key: isinstance(each, DamagedRun)
            for each in journal.overview(limit=10)
        }
        assert shown == {key: key not in {"sound", "session-row"} for key in uids}
        for key in ("run-row", "state"):
            with pytest.raises(JournalDamaged):
                journal.run(key)
        with pytest.raises(JournalDamaged):
            journal.sessions(uids["session-row"])


def test_what_is_damaged_is_neither_forgotten_nor_in_the_way_of_what_is(
    new_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Journal(new_url, now=lambda: 0.0) as journal:
        leases = {key: claimed(journal, key) for key in ("stripped", "damaged", "forgotten", "held-and-damaged")}
        for lease in leases.values():
            measure(journal, lease, 0, points=2)
            journal.set_status(lease, "converged", "")
        for key in ("stripped", "damaged", "forgotten"):
            journal.release(leases[key])
        for key in ("damaged", "held-and-damaged"):
            execute(new_url, f"UPDATE states SET reason = 'x' WHERE run_uid = '{leases[key].run_uid}'")
        uids = {key: lease.run_uid for key, lease in leases.items()}
        assert journal.strip([uids["damaged"], uids["stripped"]]) == 1
        assert journal.forget([uids["damaged"], uids["forgotten"]]) == 1
        assert journal.compact() == 0  # too little to be worth it
        assert [run.key for run in journal.runs()] == ["stripped"]
    (said,) = caplog.messages
    assert said.startswith("run damaged is left alone: the journal is damaged: states")
