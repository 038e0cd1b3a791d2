"""File of an open SQLite journal: if the file is lost, an error is raised and the content is saved to another file.

On POSIX SQLite continues to write to a file that was deleted or whose disk was unmounted. The next process would find
no journal, and pay again for what this one has measured.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from hybridloop.errors import JournalError, JournalGone
from hybridloop.journal.storage.location import beside

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO})

Identity = tuple[int, int]  # device and inode


class OpenFile:
    """File of a journal, compared with its path while it is open; thread-safe.

    `save` copies the open journal to an empty file; it raises JournalError if it can't be read any more.
    """

    def __init__(self, path: Path, save: Callable[[Path], None]) -> None:
        self._path = path
        self._log = beside(path, "-wal")
        self._save = save
        self._identity: Identity | None = None
        self._disk = 0
        self._has_log = False
        self._saving = threading.Lock()
        self._copy: Path | None = None

    def note_opened(self) -> None:
        """Record which file was opened."""
        if self._identity is None:
            with suppress(OSError):
                self._disk = _disk_of(self._path)
                self._identity = _identity(self._path)

    def check_log(self) -> None:
        """Raise JournalGone if the write-ahead log, which SQLite keeps while the journal is in use, is gone."""
        has_log = self._log.exists()
        if self._has_log and not has_log:
            raise self._error()
        self._has_log = has_log

    def check(self) -> None:
        """Raise JournalGone if the path does not lead to the open file any more."""
        if self._identity is None:
            return
        try:
            is_gone = _identity(self._path) != self._identity
        except OSError as error:
            is_gone = error.errno in _GONE
        if is_gone:
            raise self._error()

    def _error(self) -> JournalGone:
        """Return the error that says where the results are; the first one saves them."""
        if self._is_unmounted():
            return JournalGone(
                f"the disk with the journal {self._path} was unmounted or removed while a run used it",
                "The run stops. Its results are on that disk, and this step was written whole or not at all.",
                "Mount the disk again, then resume the run; without it, a run of the same key would pay again.",
            )
        happened = f"the journal {self._path} was deleted, moved or replaced while a run used it"
        try:
            copy = self._saved()
        except (OSError, JournalError, sqlite3.Error) as error:
            return JournalGone(
                happened,
                f"The run stops. Its results are in that file only, and could not be saved ({error}).",
                "Move the file back or restore it from a backup, then resume the run; without it, a run of the same "
                "key would pay again.",
            )
        return JournalGone(
            happened,
            f"The run stops. All results were saved to {copy}.",
            f"Resume the run from there: HYBRIDLOOP_JOURNAL=sqlite:///{copy} hybridloop runs resume KEY (hybridloop "
            "runs list shows the key); without it, a run of the same key would pay again.",
        )

    def _is_unmounted(self) -> bool:
        try:
            return _disk_of(self._path) != self._disk
        except OSError:
            return True

    def _saved(self) -> Path:
        """Return a copy of the journal, made at the first call beside the file or with temporary files."""
        with self._saving:
            if self._copy is None:
                folder = self._path.parent
                folder = folder if os.access(folder, os.W_OK) else Path(tempfile.gettempdir())
                # only the owner can read a file of mkstemp
                descriptor, name = tempfile.mkstemp(".db", f"{self._path.stem}-saved-", folder)
                os.close(descriptor)
                copy = Path(name)
                try:
                    self._save(copy)
                    with closing(sqlite3.connect(copy)) as connection:
                        connection.execute("PRAGMA journal_mode=WAL")
                except BaseException:  # an interruption must not leave half a copy either
                    copy.unlink(missing_ok=True)
                    raise
                self._copy = copy
            return self._copy


def _identity(path: Path) -> Identity:
    found = path.stat(follow_symlinks=False)
    return found.st_dev, found.st_ino


def _disk_of(path: Path) -> int:
    """Return the device of the nearest existing folder above; in containers a file may have another device."""
    for folder in path.parents:
        with suppress(FileNotFoundError, NotADirectoryError):
            return folder.stat().st_dev
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
