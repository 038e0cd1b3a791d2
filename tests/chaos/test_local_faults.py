"""Local faults: a full disk, a locked or damaged journal, and keys that must not appear in any output."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hybridloop.azure.workspace import connect
from hybridloop.emulator.pytest_plugin import Emulator
from hybridloop.errors import HybridloopError
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import hold_run
from hybridloop.runtime.waits import JOURNAL_BUSY_S, SHORT_TIMEOUT_S
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import Batching
from tests.chaos.process_helpers import KILLED, TARGET, Reference, Trial, ended
from tests.chaos.search_helpers import SEARCHES
from tests.long_form import long_form, long_only, short_or_long
from tests.session_helpers import open_run_session
from tests.waiting import PATIENCE_S, eventually


@long_form
@pytest.mark.slow
@pytest.mark.parametrize("more", short_or_long([40_000], [0, 4_000, 20_000, 40_000, 100_000, 200_000]))
def test_a_full_disk_ends_the_run_with_an_error_and_it_resumes_once_there_is_room(
    service: Emulator, tmp_path: Path, undisturbed: Callable[[str], Reference], more: int, form: str
) -> None:
    search = f"cobyla{form}"
    trial = Trial.of(service, tmp_path, search)
    assert trial.resume(crash_at="commit.after:5") == KILLED
    largest = max(file.stat().st_size for file in trial.order.journal.parent.iterdir())
    assert trial.resume(room=largest + more) == 0
    assert trial.outcome().error == "JournalError"
    assert "Make room on its disk" in trial.outcome().text
    assert trial.resume() == 0
    trial.check(undisturbed(search))


@contextmanager
def locked(trial: Trial) -> Iterator[None]:
    """Hold the journal's write lock in another connection."""
    with closing(sqlite3.connect(trial.order.journal, timeout=PATIENCE_S, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@long_form
@pytest.mark.slow
@long_only  # tests of the journal wait as well
def test_a_run_waits_for_a_journal_that_is_locked_for_a_while(
    service: Emulator, tmp_path: Path, undisturbed: Callable[[str], Reference]
) -> None:
    trial = Trial.of(service, tmp_path, "cobyla")
    process = trial.start()
    eventually(lambda: trial.ledger()["jobs"] >= 20)
    with locked(trial):
        time.sleep(5.0)  # the duration under test
    process.join(120)
    assert process.exitcode == 0
    trial.check(undisturbed("cobyla"))


@long_form
@pytest.mark.slow
def test_a_journal_that_stays_locked_ends_the_run_after_one_full_wait_and_it_resumes_later(
    service: Emulator, tmp_path: Path, undisturbed: Callable[[str], Reference]
) -> None:
    trial = Trial.of(service, tmp_path, "cobyla")
    log, busy_s = trial.order.journal.with_name("debug.log"), short_or_long(3.0, JOURNAL_BUSY_S)
    process = trial.start(busy_s=busy_s, log=log)
    eventually(lambda: trial.ledger()["jobs"] >= 20)
    with locked(trial), ended(process, 120):
        assert process.exitcode == 0, "it did not end while the journal was locked"
        assert trial.open_sessions() == []
    waits = [float(wait) for wait in re.findall(r"with a lock timeout of ([0-9.]+) s failed", log.read_text())]
    assert len(waits) >= 3  # writes of the run while it ends
    assert waits == [busy_s] + [SHORT_TIMEOUT_S] * (len(waits) - 1)
    assert trial.outcome().error == "JournalError"
    assert "locked" in trial.outcome().text
    assert trial.resume() == 0
    trial.check(undisturbed("cobyla"))


@pytest.fixture(scope="module")
def finished(service: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Return a complete run with its journal in one file."""
    trial = Trial.of(service, tmp_path_factory.mktemp("ended"), "spsa")
    assert trial.resume(closed_underfoot=(10,)) == 0
    with closing(sqlite3.connect(trial.order.journal)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return trial


def replay(trial: Trial, journal: Path) -> str | object:
    """Replay the run from a journal; return its answer, or the name of a HybridloopError."""
    try:
        with Journal(journal_url(journal)) as kept, hold_run(kept, trial.order.uid) as run:
            with open_run_session(
                connect(trial.order.connection), TARGET, SessionOptions(batching=Batching.OFF), run=run
            ) as session:
                return SEARCHES["spsa"](session)
    except HybridloopError as error:
        return type(error).__name__


def flip_in_a_row(journal: Path, draws: random.Random) -> str:
    """Flip a bit of a value of a random row; return the place, or "" if the database refused the value."""
    with closing(sqlite3.connect(journal)) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = []
        for table in tables:
            if not table.startswith(("sqlite_", "alembic")):
                keys = [row[1] for row in database.execute(f"PRAGMA table_info({table})") if row[5]]
                for key in database.execute(f"SELECT {', '.join(keys)} FROM {table}"):
                    rows.append((table, " AND ".join(f"{name} = ?" for name in keys), key))
        table, where, key = draws.choice(rows)
        column = draws.choice([row[1] for row in database.execute(f"PRAGMA table_info({table})")])
        (value,) = database.execute(f"SELECT {column} FROM {table} WHERE {where}", key).fetchone()
        flipped = _flipped(value, draws)
        try:
            database.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", [flipped, *key])
            database.commit()
        except sqlite3.IntegrityError:
            return ""  # the database refuses the value
        return f"{table}.{column} of {key}: {value!r} became {flipped!r}"


def _flipped(value: object, draws: random.Random) -> object:
    if value is None:
        return b"\x01"
    if isinstance(value, int):
        return value ^ (1 << draws.randrange(max(1, value.bit_length())))
    if isinstance(value, float):
        raw = bytearray(value.hex().encode())
        at = draws.randrange(4, len(raw) - 3)
        raw[at] = ord("7" if raw[at] != ord("7") else "3") if chr(raw[at]) in "0123456789abcdef" else raw[at]
        return float.fromhex(raw.decode())
    raw = bytearray(value if isinstance(value, bytes) else str(value).encode())
    if not raw:
        return b"\x01"
    raw[draws.randrange(len(raw))] ^= 1 << draws.randrange(7)
    return bytes(raw) if isinstance(value, bytes) else raw.decode(errors="replace")


@long_form
@pytest.mark.slow
def test_a_bit_flip_in_a_real_journal_is_detected_or_has_no_effect(finished: Trial, tmp_path: Path) -> None:
    answer = finished.outcome().answer
    jobs = finished.ledger()["entries"]
    assert replay(finished, Path(shutil.copy(finished.order.journal, tmp_path / "whole.db"))) == answer
    noticed = used = 0
    for draw in range(short_or_long(25, 250)):
        copy = Path(shutil.copy(finished.order.journal, tmp_path / f"{draw}.db"))
        if where := flip_in_a_row(copy, random.Random(draw)):
            found = replay(finished, copy)
            assert found in (answer, "JournalDamaged", "InputError"), (where, found)  # InputError: no run of that id
            noticed += found != answer
            used += not where.startswith("spans.")  # these times are shown, and no replay reads them
    assert used >= short_or_long(15, 150)
    assert noticed >= 0.8 * used
    assert finished.ledger()["entries"] == jobs


SECRET = r"canary-of-a-key|(?i:sig(nature)?)=(?!REDACTED)[^&\s]"


@pytest.mark.slow
def test_no_key_and_no_signature_is_in_any_log_journal_or_traceback(service: Emulator, tmp_path: Path) -> None:
    trial = Trial.of(service, tmp_path, "trigonometric")
    folder = trial.order.journal.parent
    log = folder / "debug.log"
    assert trial.resume(crash_at="put.after:30", log=log) == KILLED
    during = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert trial.resume(log=log, closed_underfoot=(7,)) == 0
    before = trial.outcome()
    wrong_key = trial.order.connection.replace(service.api_key, "canary-of-a-key")
    fresh = Trial.of(service, tmp_path, "trigonometric")
    assert fresh.resume(connection=wrong_key, log=log) == 0
    refused = fresh.outcome()
    assert (before.error, refused.error) == ("", "AccessDenied")
    texts = list(during.values()) + [file.read_bytes() for file in folder.iterdir()]
    texts += [repr(refused).encode(), refused.trace.encode(), refused.text.encode()]
    with Journal(journal_url(trial.order.journal)) as journal, hold_run(journal, trial.order.uid) as run:
        with open_run_session(
            connect(trial.order.connection), TARGET, SessionOptions(batching=Batching.OFF), run=run
        ) as session:
            texts += [repr(item).encode() for item in (session, run, journal, session.sessions, run.record, run.lease)]
    assert log.stat().st_size > 10_000, "nothing was logged, so that nothing was checked"
    for text in texts:
        assert service.api_key.encode() not in text
        assert (found := re.search(SECRET.encode(), text)) is None, text[found.start() - 60 : found.end() + 20]
