"""What is kept on disk about a running part of the local stack, so that the next process finds it again."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hybridloop.errors import StackError


@dataclass(frozen=True, slots=True)
class Record:
    """One running part: the process that leads its group, and where and how it answers.

    `url` is its origin without a trailing slash; `started` the leader's start in seconds since 1970, as the
    system reports it; `release` says which code it runs. The keys are the emulator's ("" for Prefect).
    """

    part: str
    url: str
    pid: int
    started: float
    release: str
    api_key: str = field(default="", repr=False)
    admin_key: str = field(default="", repr=False)

    @property
    def port(self) -> int:
        """The TCP port that the part listens on."""
        return int(self.url.rpartition(":")[2])


def private_folder(path: Path) -> Path:
    """The folder, made if it is missing, readable by its owner only."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as exc:
        raise StackError(
            f"the folder {path} for the local stack can't be used: {exc.strerror}",
            "Set HYBRIDLOOP_HOME to a folder that you can write to.",
        ) from exc
    return path


def write_record(path: Path, record: Record) -> None:
    """Replace the record at once: a reader sees the old one or the new one, and no one else sees the keys."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # 0600 by its contract
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(record), file, indent=1)
        os.replace(temporary, path)
    except BaseException:  # a Ctrl-C too must not leave a file with the keys behind
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def read_record(path: Path) -> Record | None:
    """The record, or None where there is none.

    One that can't be read counts as none: its process carries a mark and is found by that.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Record(
            part=str(stored["part"]),
            url=str(stored["url"]),
            pid=int(stored["pid"]),
            started=float(stored["started"]),
            release=str(stored["release"]),
            api_key=str(stored["api_key"]),
            admin_key=str(stored["admin_key"]),
        )
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
