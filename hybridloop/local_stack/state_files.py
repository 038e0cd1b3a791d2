"""State files of the local stack: one JSON file per running component, by which later processes find it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hybridloop.errors import StackError
from hybridloop.runtime.paths import make_folder


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A running component: the leader of its process group, its address and its keys. The JSON has the same names.

    `part` is the component's name, `url` its origin without a trailing slash, `started` the leader's start in seconds
    since the epoch, `release` the version of its code. The keys are the emulator's; Prefect has one,
    its auth string.
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
        """The TCP port on which the component listens."""
        return int(self.url.rpartition(":")[2])


def private_folder(path: Path) -> Path:
    """Return the folder, created if it is missing, readable by its owner only."""
    try:
        make_folder(path)
        path.chmod(0o700)
    except OSError as exc:
        raise StackError(
            f"the folder {path} for the local stack can't be used: {exc.strerror}",
            "Set HYBRIDLOOP_HOME to a folder that you can write to.",
        ) from exc
    return path


def write_record(path: Path, record: ProcessRecord) -> None:
    """Replace the state file atomically, readable by its owner only, because it has keys."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # created with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(record), file, indent=1)
        os.replace(temporary, path)
    except BaseException:  # KeyboardInterrupt too must not leave a file with keys
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def read_record(path: Path) -> ProcessRecord | None:
    """Return the record in a state file; None if it is missing or can't be read.

    The process of an unreadable record is found by its mark.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return ProcessRecord(
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
