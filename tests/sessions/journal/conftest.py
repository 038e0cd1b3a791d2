"""Journals for tests: the same tests run on SQLite and, where it is installed, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hybridloop.sessions.journal import Journal, journal_url
from tests.sessions.journal.postgresql import Server, new_database, running_server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """One server for the whole run."""
    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a journal can be, and none is yet."""
    if request.param == "sqlite":
        return journal_url(tmp_path / "journal.db")
    return new_database(request.getfixturevalue("postgresql"))


@pytest.fixture
def journal(new_url: str) -> Iterator[Journal]:
    """A journal that is open and empty, at `new_url`."""
    with Journal(new_url) as opened:
        yield opened
