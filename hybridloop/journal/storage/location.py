"""Location of a journal: its database URL, checked and printed without the password, and private files and folders."""

from __future__ import annotations

import importlib.util
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from hybridloop.errors import NOTHING_SUBMITTED, InputError, JournalError
from hybridloop.runtime.paths import home, make_folder

PASSWORD_FILE = "HYBRIDLOOP_JOURNAL_PASSWORD_FILE"
_EXAMPLES = "Use sqlite:////a/folder/journal.db or postgresql://user@host/database."
LOCK_SUFFIX, QUEUE_SUFFIX = ".lock", ".queue"
# files of a database; SQLite copies the first one's mode
_SUFFIXES = ("", "-wal", "-shm", "-journal", LOCK_SUFFIX, QUEUE_SUFFIX)


def silence(error: BaseException, *, keeps_words: bool = False) -> None:
    """Take the connection, with its password, and the rows from a driver's error and those before it; their words, too.

    An error that is raised in its place still refers to it, and some libraries pickle what is suppressed, too.
    """
    waiting = [error]
    while waiting:
        error = waiting.pop()
        before = {id(each): each for each in (error.__cause__, error.__context__) if each is not None}
        waiting += before.values()
        values = vars(error)
        values.update(dict.fromkeys({"_info", "_pgconn"} & values.keys()))  # psycopg's
        values.update(dict.fromkeys({"params"} & values.keys()))  # SQLAlchemy's: rows, of which some can't be pickled
        if not keeps_words:
            error.args, error.__cause__, error.__context__ = ("",), None, None
            values.update(dict.fromkeys({"orig", "statement"} & values.keys()))


@dataclass(frozen=True, slots=True)
class Location:
    """A database's location; `str()` shows it without secrets. `path` is None for a server."""

    url: URL = field(repr=False)
    display: str
    path: Path | None
    schema: str = "hybridloop"

    @classmethod
    def parse(cls, text: str) -> Location:
        """Parse a database URL. Raises InputError if no journal can be stored there."""
        try:
            url = make_url(text)
            backend = url.get_backend_name()
        except (ArgumentError, ValueError) as error:
            silence(error)  # the parser's message quotes the URL with its password
            raise InputError("journal", "its URL is invalid", _EXAMPLES) from None
        match backend:
            case "sqlite":
                return cls._file(url)
            case "postgresql" | "postgres":
                return cls._server(url)
        raise InputError("journal", f"a journal can't be stored in {backend!r}", _EXAMPLES)

    @classmethod
    def _file(cls, url: URL) -> Location:
        if not url.database or url.database == ":memory:" or url.query:
            raise InputError("journal", "an SQLite URL must name a file, and have no options", _EXAMPLES)
        path = Path(os.path.abspath(url.database))  # not resolved, so that `prepare_file` sees a link
        return cls(URL.create("sqlite+pysqlite", database=str(path)), f"sqlite:///{path}", path)

    @classmethod
    def _server(cls, url: URL) -> Location:
        if importlib.util.find_spec("psycopg") is None:
            raise InputError("journal", "PostgreSQL's driver is not installed", "pip install 'hybridloop[postgres]'")
        bare = URL.create("postgresql", url.username, host=url.host, port=url.port, database=url.database)
        return cls(url.set(drivername="postgresql+psycopg"), bare.render_as_string(), None)

    @property
    def is_read_only(self) -> bool:
        """True for an SQLite file that this process may read, and not write or write beside."""
        if self.path is None or not os.path.exists(self.path):  # false also where it can't be looked at
            return False
        return not (os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK))

    def url_to_read(self) -> URL:
        """Return the URL by which SQLite opens a file that can't be written.

        Without a write-ahead log it is taken to be unchanged meanwhile: SQLite would want to write beside it.
        """
        assert self.path is not None
        log = beside(self.path, "-wal")
        is_whole = not (log.exists() and log.stat().st_size)
        options = {"mode": "ro", "uri": "true"} | ({"immutable": "1"} if is_whole else {})
        return self.url.set(database=self.path.as_uri(), query=options)

    @property
    def is_file(self) -> bool:
        """True for an SQLite file, False for a server."""
        return self.path is not None

    def contains_secret(self, text: str) -> bool:
        """Return True if the text contains a secret of the URL."""
        return any(secret in text for secret in self._secrets())

    def redact(self, text: str) -> str:
        """Replace the URL's secrets in a text by asterisks."""
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return text

    def _secrets(self) -> list[str]:
        query = [self.url.query.get(name) for name in ("password", "sslpassword", "passfile")]
        return [str(secret) for secret in (self.url.password, *query) if secret]

    def __str__(self) -> str:
        return self.display


def journal_url_of(environ: Mapping[str, str]) -> str | None:
    """Return the URL in HYBRIDLOOP_JOURNAL, None without one; its password may be in a file of its own.

    HYBRIDLOOP_JOURNAL_PASSWORD_FILE names that file. Raises InputError if the file can't be read.
    """
    url, file = environ.get("HYBRIDLOOP_JOURNAL") or None, environ.get(PASSWORD_FILE)
    if url is None or not file:
        return url
    try:
        password = Path(file).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        what = f"{file} can't be read: {getattr(error, 'strerror', None) or 'it is no text'}"
        raise InputError(PASSWORD_FILE, what, "Name a file with the password alone.", NOTHING_SUBMITTED) from None
    location = Location.parse(url)
    return url if location.is_file else location.url.set(password=password).render_as_string(hide_password=False)


def prepare_file(path: Path) -> None:
    """Create the file if it is missing; make it, its companions and new folders accessible to the owner only.

    Raises JournalError if one of them is a link or no regular file.
    """
    try:
        make_folder(path.parent)
        for suffix in _SUFFIXES:
            _restrict_to_owner(beside(path, suffix))
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
            path.chmod(0o600)
    except OSError as error:
        raise unusable_path_error(path, error) from error


def own_file(environ: Mapping[str, str]) -> Path:
    """Return the path of the journal in the state folder, which need not exist."""
    return home(environ) / "journal.db"


def make_private_folder(folder: Path) -> Path:
    """Return the folder, created if it is missing and accessible to its owner only, unless it can only be read."""
    try:
        make_folder(folder)
        if os.access(folder, os.W_OK):
            folder.chmod(0o700)
    except OSError as error:
        raise unusable_path_error(folder, error) from error
    return folder


def _restrict_to_owner(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise JournalError(
            f"{path} is {'a link' if stat.S_ISLNK(mode) else 'not a file'}",
            "A journal is only written to a regular file at that path; nothing was written or submitted.",
            "Put the file itself there, or set HYBRIDLOOP_JOURNAL to its real path.",
        )
    if mode & 0o077:
        path.chmod(0o600)


def unusable_path_error(path: Path, error: OSError) -> JournalError:
    """Return the error for a file or folder that can't be created or opened."""
    return JournalError(
        f"the journal {path} can't be used: {error.strerror}",
        "Nothing was written or submitted.",
        "Set HYBRIDLOOP_HOME to a folder that you can write to, or HYBRIDLOOP_JOURNAL to another database.",
    )


def beside(path: Path, suffix: str) -> Path:
    """Return the file of a database with this suffix."""
    return path.with_name(path.name + suffix)
