"""Backups of a journal: copies of one moment in an SQLite file, made and restored beside processes that use it."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path

from hybridloop.data.states import State
from hybridloop.errors import InputError, JournalDamaged
from hybridloop.journal.journal import Journal, journal_url, open_journal
from hybridloop.journal.records import DamagedRun
from hybridloop.journal.storage.location import Location, beside, make_private_folder, unusable_path_error
from hybridloop.journal.storage.migrate import location_of, version_at
from hybridloop.runtime.paths import home

_ACTIVE = frozenset({State.NEW, State.PREPARING, State.RUNNING})
_NO_DATABASE = "it is no database"
_NO_RUN = "Nothing was submitted, and no run was changed."


@dataclass(frozen=True, slots=True)
class Copied:
    """A backup and the journal of which it is one, and the number of runs in it."""

    file: str
    journal: str
    runs: int


@dataclass(frozen=True, slots=True)
class Restored:
    """The changes that a restored backup makes.

    `runs` is the number of runs in it; runs of the journal before it are `missing` in it or of an `earlier` state there
    (their keys). `limits` has a sentence for each limit that differs. `cost` is what jobs cost that are not in the
    backup, by unit: it goes on counting with the stricter limits, and not with those of the backup. `unknown` says what
    of the journal before it can't be read, and `replaced` is the file to which that journal was saved.
    """

    file: str
    journal: str
    runs: int
    missing: list[str] = field(default_factory=list)
    earlier: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    cost: Mapping[str, float] = field(default_factory=dict)
    unknown: str | None = None
    replaced: str | None = None


def back_up(file: Path, environ: Mapping[str, str] = os.environ) -> Copied:
    """Copy the journal, as it is at this moment, to a new file that its owner alone may read.

    Raises InputError for a file that exists; JournalError if the file can't be written.
    """
    with open_journal(environ) as journal:
        return Copied(str(file), str(journal.location), _save(journal, file))


def restore(
    file: Path, environ: Mapping[str, str] = os.environ, *, limits_of_backup: bool = False, dry_run: bool = False
) -> Restored:
    """Put a backup in the journal's place; the journal that was there is saved beside it, or in the state folder.

    Of two limits the stricter one stays, and what jobs cost that are not in the backup goes on counting, unless
    `limits_of_backup` takes both as they are in it. `dry_run` changes nothing. Raises InputError for a file that is no
    journal or is damaged, and while a process holds a run; JournalTooNew for a backup of a later version.
    """
    location = location_of(environ)
    path = location.path
    _check_backup(file, path)
    problem = None if path is None else _problem_of(path, environ)
    with _copy_of(file) as copy:
        has_sums = _has_sums(copy, file, limits_of_backup=limits_of_backup)  # else refused before a file is moved
        if problem is not None and dry_run:
            return Restored(str(file), str(location), copy.num_runs, unknown=problem)
        saved = None if path is None or problem is None else _move_aside(path)
        with open_journal(environ) as journal, journal.replacing() as put:
            _check_not_held(journal)
            done = _compare(journal, copy, file)
            if has_sums:
                done = _take_over(done, journal, copy, limits_of_backup=limits_of_backup)
            if dry_run:
                return done
            if problem is None:
                saved = _name_of_saved(path or make_private_folder(home(environ)) / "journal.db")
                _save(journal, saved)
            put(copy)
    return replace(done, unknown=problem or done.unknown, replaced=None if saved is None else str(saved))


def _has_sums(copy: Journal, file: Path, *, limits_of_backup: bool) -> bool:
    """Return whether all sums of a backup hold. Raises InputError where they do not, unless it is taken as it is."""
    try:
        copy.check_sums()
    except JournalDamaged as error:
        if limits_of_backup:
            return False
        raise _damaged(file, f"{error}; --limits of-backup takes it as it is") from error
    return True


def _compare(journal: Journal, copy: Journal, file: Path) -> Restored:
    """Return which runs a backup changes."""
    present, earlier = _states(journal), _states(copy)
    return Restored(
        str(file),
        str(journal.location),
        copy.num_runs,
        missing=[key for (uid, key) in present if (uid, key) not in earlier],
        earlier=[key for (uid, key), state in present.items() if earlier.get((uid, key), state) != state],
    )


def _take_over(done: Restored, journal: Journal, copy: Journal, *, limits_of_backup: bool) -> Restored:
    """Let the copy of a backup take over limits and costs of the journal; return what changes."""
    try:
        journal.check_sums()
    except JournalDamaged as error:
        done = replace(done, unknown=error.problem)
    limits, cost = copy.take_over(journal, keeps=not limits_of_backup)
    return replace(done, limits=limits, cost=cost)


def _states(journal: Journal) -> dict[tuple[str, str], object]:
    """Return what has happened in each run that is not damaged, by its uid and key."""
    runs = [each for each in journal.overview(limit=journal.num_runs) if not isinstance(each, DamagedRun)]
    return {(run.uid, run.key): (run.status, run.reason, run.result, run.settings, totals) for run, totals in runs}


def _save(journal: Journal, file: Path) -> int:
    """Copy the journal to a new file; return the number of runs in it."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # SQLite fills an empty file
    except FileExistsError:
        raise InputError("file", f"{file} exists", "Give the name of a new file.", _NO_RUN) from None
    except OSError as error:
        raise unusable_path_error(file, error) from error
    try:
        return journal.copy_to(file)
    except BaseException:  # an interruption, too, must not leave half a copy
        file.unlink(missing_ok=True)
        raise


@contextmanager
def _copy_of(file: Path) -> Iterator[Journal]:
    """Hold a copy of a backup, of this version, in which no process holds a run: none does when it is restored."""
    with tempfile.TemporaryDirectory(prefix="hybridloop-") as folder:
        copy = Path(folder) / "journal.db"
        with closing(_open_to_read(file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        with Journal(journal_url(copy)) as journal:
            journal.forget_owners()
            yield journal


def _open_to_read(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)


def _check_not_held(journal: Journal) -> None:
    """Raise InputError while a process holds a run."""
    for run in journal.runs_by_status(_ACTIVE):
        if run.is_held(time.time()):
            what = f"run {run.key!r} is held by {run.owner}, and would lose what it measures"
            raise InputError("journal", what, f"Stop it first: hybridloop runs stop {run.key}", _NO_RUN)


def _damage_of(file: Path) -> str | None:
    """Return what SQLite finds wrong with a file; None for a whole database."""
    try:
        with closing(_open_to_read(file)) as opened:
            found = [str(row[0]) for row in opened.execute("PRAGMA quick_check")]
    except sqlite3.DatabaseError as error:
        return _NO_DATABASE if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB else str(error)
    return None if found == ["ok"] else found[0]


def _check_backup(file: Path, journal: Path | None) -> None:
    """Raise InputError for a file that is no journal or is damaged, JournalTooNew for one of a later version."""
    is_itself = journal is not None and file.is_file() and journal.exists() and journal.samefile(file)
    damage = _damage_of(file) if file.is_file() and not is_itself else None
    if is_itself or not file.is_file() or (damage is None and not _has_tables(file)) or damage == _NO_DATABASE:
        what = f"{file} is {'the journal itself' if is_itself else 'no journal'}"
        raise InputError("file", what, "Give a file of `hybridloop journal backup`.", _NO_RUN)
    if damage is not None:
        raise _damaged(file, damage)


def _has_tables(file: Path) -> bool:
    return version_at(Location.parse(journal_url(file.absolute()))) is not None


def _damaged(file: Path, problem: str) -> InputError:
    return InputError("file", f"{file} is damaged: {problem}", "Give another backup.", _NO_RUN)


def _problem_of(path: Path, environ: Mapping[str, str]) -> str | None:
    """Return why there is no journal in a file that could be read; None for a journal."""
    if not path.exists() or not path.stat().st_size:
        return "there was none"
    if (damage := _damage_of(path)) is not None:
        return damage
    try:
        with open_journal(environ):
            return None
    except JournalDamaged as error:
        return str(error.problem)


def _move_aside(path: Path) -> Path | None:
    """Rename the files of a journal that can't be read; return the new name. One without content is deleted."""
    if not path.exists() or not path.stat().st_size:
        path.unlink(missing_ok=True)  # an empty one is refused
        return None
    saved = _name_of_saved(path)
    for suffix in ("", "-wal", "-shm"):
        if (part := beside(path, suffix)).exists():
            part.rename(beside(saved, suffix))
    return saved


def _name_of_saved(path: Path) -> Path:
    stem = f"{path.stem}-before-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (path.with_name(f"{stem}{end}.db") for end in chain([""], (f"-{n}" for n in count(2))))
    return next(name for name in names if not name.exists())
