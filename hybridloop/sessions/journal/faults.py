"""What a database's errors mean for a run, and what to do about them."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from hybridloop.errors import JournalDamaged, JournalError
from hybridloop.sessions.journal.location import Location

# also true of a commit whose answer was lost on the way
_UNHARMED = "What was written before is unharmed, and this step was written whole or not at all."
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_UNWRITABLE = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})
_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_NOMEM})
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's SQLSTATEs, of which the first two characters are the class
_FULL_CLASS = "53"
_DAMAGE_CLASS = "XX"


def in_words(error: SQLAlchemyError, location: Location, waited_s: float) -> JournalError:
    """The error as a user meets it: what happened to the journal, what it means for the run, what to do.

    `waited_s` is for how long others have kept the journal locked.
    """
    origin = error.orig if isinstance(error, DBAPIError) else error
    said = location.without_secrets(str(origin).strip().partition("\n")[0])
    code = getattr(origin, "sqlite_errorcode", 0) & 0xFF
    state = getattr(origin, "sqlstate", None) or ""
    if code in _BROKEN or state.startswith(_DAMAGE_CLASS):
        return JournalDamaged("the database", str(location), said)
    if code in _LOCKED or state == _LOCK_NOT_AVAILABLE:
        return JournalError(
            f"the journal {location} was locked by another process for {waited_s:g} s",
            _UNHARMED,
            "Resume the run once that process has ended; hybridloop runs list shows who holds a run.",
        )
    if code in _FULL or state.startswith(_FULL_CLASS):
        return JournalError(
            f"the journal {location} can't be written: {said}",
            _UNHARMED,
            "Make room on its disk (or lift the limit on the size of files), then resume the run.",
        )
    if code in _UNWRITABLE:
        return JournalError(
            f"the journal {location} can't be written: {said}",
            _UNHARMED,
            "Make its file and folder writable, or set HYBRIDLOOP_HOME or HYBRIDLOOP_JOURNAL; then resume the run.",
        )
    return JournalError(
        f"the journal {location} can't be used: {said}",
        _UNHARMED,
        "See whether the database answers and HYBRIDLOOP_JOURNAL names it, then resume the run.",
    )
