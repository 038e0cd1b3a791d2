"""Conversion of database errors to JournalErrors, and the timeout of writes that wait for other processes' locks."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from hybridloop.errors import JournalDamaged, JournalError
from hybridloop.journal.storage.location import Location
from hybridloop.runtime.waits import SHORT_TIMEOUT_S

# also true of a commit whose reply was lost
_UNHARMED = "What was written before is unharmed, and this step was written whole or not at all."
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_UNWRITABLE = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})
_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_NOMEM})
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's SQLSTATEs, of which the first two characters are the class
_FULL_CLASS = "53"
_AWAY_CLASSES = frozenset({"08", "57"})  # the connection, and what an operator does
_DAMAGED = frozenset({"XX001", "XX002"})  # XX000 is any internal error


def to_journal_error(error: SQLAlchemyError, location: Location, locked_s: float) -> JournalError:
    """Return the JournalError of a driver's error: what happened, what it means for the run, what to do.

    `locked_s` is the time for which other processes have kept the journal locked.
    """
    # SQLite has error codes, PostgreSQL has SQLSTATEs
    origin = error.orig if isinstance(error, DBAPIError) else error
    message = location.redact(str(origin).strip().partition("\n")[0])
    code = getattr(origin, "sqlite_errorcode", 0) & 0xFF
    state = getattr(origin, "sqlstate", None) or ""
    if code in _BROKEN or state in _DAMAGED:
        return JournalDamaged("the database", str(location), message)
    if code in _LOCKED or state == _LOCK_NOT_AVAILABLE:
        return JournalError(
            f"the journal {location} was locked by another process for {locked_s:g} s",
            _UNHARMED,
            "Resume the run once that process has ended; hybridloop runs list shows which process holds a run.",
        )
    if code in _FULL or state.startswith(_FULL_CLASS):
        return JournalError(
            f"the journal {location} can't be written: {message}",
            _UNHARMED,
            "Make room on its disk (or raise the limit on file sizes) and check that it works, then resume the run.",
        )
    if code in _UNWRITABLE:
        return JournalError(
            f"the journal {location} can't be written: {message}",
            _UNHARMED,
            "Make its file and folder writable, or set HYBRIDLOOP_HOME or HYBRIDLOOP_JOURNAL; then resume the run.",
        )
    found = JournalError(
        f"the journal {location} can't be used: {message}",
        _UNHARMED,
        "Check that the database answers and that HYBRIDLOOP_JOURNAL names it, then resume the run.",
    )
    found.is_outage = not location.is_file and is_away(error)
    return found


def is_away(error: SQLAlchemyError) -> bool:
    """Return True if a server did not answer, is starting or ending, or ended the connection; not if it refused."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""  # of a failed connection there is none
    is_refusal = "FATAL" in str(error) and "the database system is" not in str(error)
    return isinstance(error, OperationalError) and (state[:2] in _AWAY_CLASSES or not (state or is_refusal))


class LockTimeout:
    """Timeout of writes that wait for a journal's lock: `busy_s`, and `SHORT_TIMEOUT_S` after a write timed out.

    It is short until a write succeeds, or none has failed for `busy_s`. A run that ends because its journal is locked
    still has a dozen writes to make, such as its session's end and its status. They must not all wait as long as the
    first. `now` is a monotonic clock. Safe for several threads.
    """

    def __init__(self, busy_s: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self.busy_s = busy_s
        self._now = now
        self._lock = threading.Lock()
        self._locked_since: float | None = None
        self._failed_at = 0.0

    @property
    def is_shortened(self) -> bool:
        """True if a write timed out less than `busy_s` ago and none has succeeded since."""
        with self._lock:
            return self._locked_since is not None and self._now() < self._failed_at + self.busy_s

    @property
    def timeout_s(self) -> float:
        """The longest time that a write may wait if it begins now."""
        return min(SHORT_TIMEOUT_S, self.busy_s) if self.is_shortened else self.busy_s

    @property
    def locked_s(self) -> float:
        """The time for which the journal has been locked, as of the last timeout; `busy_s` if there was none."""
        with self._lock:
            return self.busy_s if self._locked_since is None else round(self._failed_at - self._locked_since, 1)

    def record_timeout(self) -> None:
        """Record that a write waited for its whole timeout and failed."""
        is_first = not self.is_shortened
        with self._lock:
            self._failed_at = self._now()
            if is_first:
                self._locked_since = self._failed_at - self.busy_s

    def record_success(self) -> None:
        """Record that a write succeeded."""
        with self._lock:
            self._locked_since = None
