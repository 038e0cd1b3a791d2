"""Migrations: the schema is created once, also if several processes open the journal, and never downgraded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock

from hybridloop.errors import JournalDamaged, JournalError, JournalTooNew
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.storage.location import Location
from hybridloop.journal.storage.migrate import MIGRATIONS
from hybridloop.journal.storage.schema import VERSION, VERSION_TABLE, metadata
from tests.forked_processes import context
from tests.journal.journal_helpers import execute, new_run
from tests.long_form import long_form, short_or_long
from tests.waiting import PATIENCE_S


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
def test_of_eight_processes_that_open_a_journal_at_once_exactly_one_creates_it(new_url: str) -> None:
    is_file = Location.parse(new_url).is_file
    urls = [f"{new_url}-{n}" for n in range(short_or_long(5, 100))] if is_file else [new_url]
    processes = context()
    start, upgrades = partial(processes.Barrier(8).wait, PATIENCE_S), processes.Value("i", 0)
    children = [processes.Process(target=_open_and_add, args=(urls, number, start, upgrades)) for number in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join(PATIENCE_S)
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
