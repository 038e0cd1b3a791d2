"""Fixtures of the journal's tests, which run on SQLite and, if it is installed, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hybridloop.journal import Journal, journal_url
from tests.journal.postgresql_helpers import Server, new_database, running_server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """Hold one PostgreSQL server for the whole test run."""
    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a journal that does not exist yet."""
    if request.param == "sqlite":
        return journal_url(tmp_path / "journal.db")
    return new_database(request.getfixturevalue("postgresql"))


@pytest.fixture
def journal(new_url: str) -> Iterator[Journal]:
    """Hold an open, empty journal at `new_url`."""
    with Journal(new_url) as opened:
        yield opened
