"""Where a journal is: its URL, checked and without the password in all that is shown."""

from __future__ import annotations

import importlib.util
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from hybridloop.errors import InputError, JournalError

_EXAMPLES = "Use sqlite:////a/folder/journal.db or postgresql://user@host/database."
LOCK = ".lock"
_BESIDE = ("", "-wal", "-shm", "-journal", LOCK)  # what SQLite and we keep beside a database; SQLite copies its mode


@dataclass(frozen=True, slots=True)
class Location:
    """A database's place; `str()` shows it without secrets."""

    url: URL = field(repr=False)
    shown: str
    path: Path | None
    schema: str = "hybridloop"

    @classmethod
    def parse(cls, text: str) -> Location:
        """The place that a URL names; InputError if no journal can be there."""
        try:
            url = make_url(text)
            backend = url.get_backend_name()
        except (ArgumentError, ValueError):
            # the parser's own words quote the URL, password and all
            raise InputError("journal", "its URL can't be read", _EXAMPLES) from None
        match backend:
            case "sqlite":
                return cls._file(url)
            case "postgresql" | "postgres":
                return cls._server(url)
        raise InputError("journal", f"{backend!r} is no database that it can be in", _EXAMPLES)

    @classmethod
    def _file(cls, url: URL) -> Location:
        if not url.database or url.database == ":memory:" or url.query:
            raise InputError("journal", "an SQLite URL names a file, and nothing besides", _EXAMPLES)
        path = Path(os.path.abspath(url.database))  # not resolved: a link is for `prepare` to see
        return cls(URL.create("sqlite+pysqlite", database=str(path)), f"sqlite:///{path}", path)

    @classmethod
    def _server(cls, url: URL) -> Location:
        if importlib.util.find_spec("psycopg") is None:
            raise InputError("journal", "PostgreSQL's driver is not installed", "pip install 'hybridloop[postgres]'")
        bare = URL.create("postgresql", url.username, host=url.host, port=url.port, database=url.database)
        return cls(url.set(drivername="postgresql+psycopg"), bare.render_as_string(), None)

    @property
    def is_file(self) -> bool:
        """Whether the journal is a file of SQLite's."""
        return self.path is not None

    def has_secret_in(self, text: str) -> bool:
        """Whether the text gives away what the URL keeps secret."""
        return any(secret in text for secret in self._secrets())

    def without_secrets(self, text: str) -> str:
        """The text with secrets of the URL struck out."""
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return text

    def _secrets(self) -> list[str]:
        query = [self.url.query.get(name) for name in ("password", "sslpassword", "passfile")]
        return [str(secret) for secret in (self.url.password, *query) if secret]

    def __str__(self) -> str:
        return self.shown


def prepare(path: Path) -> None:
    """See to it that the file is there, is no link, and is its owner's alone; folders that are made are so too."""
    try:
        _make_folder(path.parent)
        for beside in _BESIDE:
            _keep_private(path.with_name(path.name + beside))
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
            path.chmod(0o600)
    except OSError as error:
        raise unusable(path, error) from error


def make_private(folder: Path) -> Path:
    """The folder, made if it is missing, its owner's alone."""
    try:
        _make_folder(folder)
        folder.chmod(0o700)
    except OSError as error:
        raise unusable(folder, error) from error
    return folder


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def _keep_private(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise JournalError(
            f"{path} is {'a link' if stat.S_ISLNK(mode) else 'not a file'}",
            "A journal is not written through what could lead elsewhere; nothing was written or submitted.",
            "Put the file itself there, or set HYBRIDLOOP_JOURNAL to where it is.",
        )
    if mode & 0o077:
        path.chmod(0o600)


def unusable(path: Path, error: OSError) -> JournalError:
    """What a user is told where the file or its folder can't be had."""
    return JournalError(
        f"the journal {path} can't be used: {error.strerror}",
        "Nothing was written or submitted.",
        "Set HYBRIDLOOP_HOME to a folder that you can write to, or HYBRIDLOOP_JOURNAL to another database.",
    )
