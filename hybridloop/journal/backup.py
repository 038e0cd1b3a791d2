"""Backups of a journal in an SQLite file: copies of one moment, made and restored beside processes that use it."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hybridloop.data.states import State
from hybridloop.errors import InputError, JournalDamaged
from hybridloop.journal.journal import journal_url, open_journal
from hybridloop.journal.storage.location import Location, beside, unusable_path_error
from hybridloop.journal.storage.migrate import location_of, version_at

_ACTIVE = frozenset({State.NEW, State.PREPARING, State.RUNNING})
_NO_RUN = "Nothing was submitted, and no run was changed."


@dataclass(frozen=True, slots=True)
class Copied:
    """Numbers of a backup or a restored journal; `replaced` is the file to which the journal before it was saved."""

    file: str
    journal: str
    runs: int
    replaced: str | None = None


def back_up(file: Path, environ: Mapping[str, str] = os.environ) -> Copied:
    """Copy the journal, as it is at this moment, to a new file that its owner alone may read.

    Raises InputError for a file that exists, and for a journal on a server, with the command that copies that;
    JournalError if the file can't be written.
    """
    _file_of(location_of(environ), f"pg_dump --format=custom --schema=hybridloop --file={file} DATABASE")
    with open_journal(environ) as journal:
        try:
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # SQLite fills an empty file
        except FileExistsError:
            raise InputError("file", f"{file} exists", "Give the name of a new file.", _NO_RUN) from None
        except OSError as error:
            raise unusable_path_error(file, error) from error
        try:
            runs = journal.copy_to(file)
        except BaseException:  # an interruption, too, must not leave half a copy
            file.unlink(missing_ok=True)
            raise
        return Copied(str(file), str(journal.location), runs)


def restore(file: Path, environ: Mapping[str, str] = os.environ) -> Copied:
    """Put a backup in the journal's place; the journal that was there is saved beside it.

    Raises InputError for a file that is no journal or is damaged, for a journal on a server, and while a process holds
    a run; JournalTooNew for a backup of a later version.
    """
    location = location_of(environ)
    path = _file_of(location, f"pg_restore --clean --if-exists --dbname=DATABASE {file}")
    is_itself = file.is_file() and path.exists() and path.samefile(file)
    if is_itself or not _is_journal(file):
        what = f"{file} is {'the journal itself' if is_itself else 'no journal'}"
        raise InputError("file", what, "Give a file of `hybridloop journal backup`.", _NO_RUN)
    saved = _save_present(path, environ) if path.exists() and path.stat().st_size else None
    if saved is None:
        path.unlink(missing_ok=True)  # an empty one, which is refused
    with open_journal(environ) as journal:
        journal.replace_by(file)
        return Copied(str(file), str(location), journal.num_runs, None if saved is None else str(saved))


def _is_journal(file: Path) -> bool:
    """Return True for a whole journal. Raises InputError for a damaged one, JournalTooNew."""
    if not file.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as backup:
            found = [str(row[0]) for row in backup.execute("PRAGMA quick_check")]
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            return False
        found = [str(error)]
    if found != ["ok"]:
        raise InputError("file", f"{file} is damaged: {found[0]}", "Give another backup.", _NO_RUN)
    return version_at(Location.parse(journal_url(file.absolute()))) is not None


def _save_present(path: Path, environ: Mapping[str, str]) -> Path:
    """Copy the journal that a backup is to replace beside it, a damaged one by its files; return the copy's path.

    Raises InputError while a process holds a run.
    """
    saved = path.with_name(f"{path.stem}-before-{time.strftime('%Y%m%d-%H%M%S')}.db")
    try:
        with open_journal(environ) as journal:
            held = [each for each in journal.runs_by_status(_ACTIVE) if each.is_held(time.time())]
        if not held:
            back_up(saved, environ)
    except JournalDamaged:
        for suffix in ("", "-wal", "-shm"):
            if (part := beside(path, suffix)).exists():
                part.rename(beside(saved, suffix))
        return saved
    if held:
        what = f"run {held[0].key!r} is held by {held[0].owner}, and would lose what it measures"
        raise InputError("journal", what, f"Stop it first: hybridloop runs stop {held[0].key}", _NO_RUN)
    return saved


def _file_of(location: Location, command: str) -> Path:
    if location.path is None:
        what = f"{location} is a PostgreSQL database, which its own tools copy"
        raise InputError("journal", what, f"Beside running processes, too: {command}", _NO_RUN)
    return location.path
