"""Migrations: the schema is upgraded once, also if several processes open the journal, and never downgraded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock

from hybridloop.errors import JournalDamaged, JournalError, JournalTooNew
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.storage.location import Location
from hybridloop.journal.storage.migrate import MIGRATIONS
from hybridloop.journal.storage.schema import VERSION, VERSION_TABLE, metadata
from tests.forked_processes import context
from tests.journal.journal_helpers import execute, measure, new_run, ping, round_values
from tests.long_form import long_form, short_or_long
from tests.paths import DATA


def test_the_migrations_lead_to_the_tables_of_the_code(new_url: str) -> None:
    Journal(new_url).close()
    location = Location.parse(new_url)
    engine = sqlalchemy.create_engine(location.url)
    with engine.connect() as connection:
        if not location.is_file:
            connection.exec_driver_sql(f"SET search_path TO {location.schema}")
        migrated = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(migrated, metadata) == []
        assert migrated.get_current_revision() == VERSION
    engine.dispose()


def test_the_last_migration_is_the_version_of_the_code() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == VERSION


def make_first_version(url: str) -> None:
    """Create an empty journal with the first version of the schema."""
    location = Location.parse(url)
    engine = sqlalchemy.create_engine(location.url)
    with engine.begin() as connection:
        if not location.is_file:
            connection.exec_driver_sql(f"CREATE SCHEMA {location.schema}")
            connection.exec_driver_sql(f"SET search_path TO {location.schema}")
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()


def _open_and_add(urls: list[str], number: int, start: Callable[[], object], upgrades: Any) -> None:
    upgrade = command.upgrade

    def counted(*arguments: Any) -> None:
        with upgrades.get_lock():
            upgrades.value += 1
        upgrade(*arguments)

    vars(command)["upgrade"] = counted
    for url in urls:
        start()
        with Journal(url) as journal:
            journal.add_run(new_run(f"run-{number}"))


@pytest.mark.slow
@long_form
@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])
def test_of_eight_processes_that_open_a_journal_at_once_exactly_one_upgrades_it(
    is_old: bool,  # noqa: FBT001
    new_url: str,
) -> None:
    is_file = Location.parse(new_url).is_file
    urls = [f"{new_url}-{n}" for n in range(short_or_long(5, 100))] if is_file else [new_url]
    for url in urls if is_old else ():
        make_first_version(url)
    processes = context()
    start, upgrades = partial(processes.Barrier(8).wait, 30), processes.Value("i", 0)
    children = [processes.Process(target=_open_and_add, args=(urls, number, start, upgrades)) for number in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 8
    assert upgrades.value == len(urls)
    for url in urls:
        with Journal(url) as journal:
            assert {run.key for run in journal.runs()} == {f"run-{number}" for number in range(8)}


def test_a_set_up_that_takes_another_process_too_long_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with FileLock(f"{path}.lock"), pytest.raises(JournalError, match=r"being set up by another process after 0\.1 s"):
        Journal(journal_url(path), busy_s=0.1)
    Journal(journal_url(path)).close()


def test_a_journal_of_a_later_version_is_refused_and_not_changed(new_url: str) -> None:
    Journal(new_url).close()
    execute(new_url, f"UPDATE {VERSION_TABLE} SET version_num = '0999'")
    with pytest.raises(JournalTooNew, match=f"0999.*{VERSION}"):
        Journal(new_url)
    execute(new_url, f"UPDATE {VERSION_TABLE} SET version_num = 'mine'")
    with pytest.raises(JournalDamaged, match="mine"):
        Journal(new_url)
    execute(new_url, f"UPDATE {VERSION_TABLE} SET version_num = '{VERSION}'")
    Journal(new_url).close()


def test_a_set_up_that_fails_leaves_nothing_and_the_next_one_succeeds(
    new_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Exception):
        pass

    def fail(*_: object) -> None:
        raise Broken

    with monkeypatch.context() as patched:
        patched.setattr("alembic.operations.Operations.create_index", fail)
        with pytest.raises(Broken):
            Journal(new_url)
    with Journal(new_url) as journal:
        journal.add_run(new_run())


def test_a_journal_of_the_first_version_can_be_read_and_written(tmp_path: Path) -> None:
    """The file was written when version 0001 was current, by `fill` of test_damage with a clock at 1000.5."""
    path = tmp_path / "journal.db"
    shutil.copy(DATA / "journal-0001.db", path)
    with Journal(journal_url(path)) as journal:
        run = journal.run("h2-night")
        assert (run.seed, run.status, run.reason, run.result) == (2**70 + 1, "stopped", "by its cap", {"value": -1.137})
        rounds = list(journal.rounds(run.uid))
        assert [(round_.stream, round_.sequence, round_.complete) for round_ in rounds] == [
            ("main", 0, True),
            ("main", 1, True),
            ("main", 2, True),
            ("other", 0, False),
        ]
        before = [round_values(round_) for round_ in rounds]
        stored = rounds[0].jobs[0].counts
        assert stored is not None
        (counts,) = stored
        assert counts.shots == sum(counts.bitstrings().values()) > 0
        assert [row.status for row in journal.sessions(run.uid)] == ["TimedOut", "Open"]
        lease = journal.claim(run.uid)
        measure(journal, lease, 3)
        journal.add_ping(lease, ping(2))
        assert [round_values(round_) for round_ in journal.rounds(run.uid)][:3] == before[:3]
