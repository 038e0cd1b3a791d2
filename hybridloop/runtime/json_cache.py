"""Cache of small JSON values in the state folder; without a folder that can be written, nothing is kept."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from hybridloop.runtime.paths import home, make_folder

SIMULATIONS = "simulations"  # cache of the minima of simulated circuits
_used: ContextVar[tuple[str, dict[str, Any]] | None] = ContextVar("used values", default=None)
MAX_ENTRIES, MAX_BYTES = 200, 4_000_000  # the oldest entries are removed above either


def read_cached(name: str, key: str) -> Any:
    """Return the value kept for a key, a digest in hexadecimal; None if there is none, or if its file is damaged."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        value = json.loads((home() / name / f"{key}.json").read_text(encoding="utf-8"))
        _note_use(name, key, value)
        return value
    return None


def keep(name: str, key: str, value: Any) -> None:
    """Keep a value for a key in the cache of that name, for later processes too; its file is replaced as a whole."""
    folder = home() / name
    _note_use(name, key, value)
    with contextlib.suppress(OSError):
        make_folder(folder)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".new")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(value, file)
            os.replace(temporary, folder / f"{key}.json")
        except BaseException:  # Ctrl-C too
            Path(temporary).unlink(missing_ok=True)
            raise
        _remove_oldest(folder)


def restore_values(name: str, values: Mapping[str, Any]) -> None:
    """Keep values by key that the cache of that name lacks, such as those of another machine."""
    for key, value in values.items():
        if read_cached(name, key) is None:
            keep(name, key, value)


@contextlib.contextmanager
def used_values(name: str) -> Iterator[dict[str, Any]]:
    """Collect by key what the block reads from the cache of that name, or keeps there."""
    used = dict[str, Any]()
    token = _used.set((name, used))
    try:
        yield used
    finally:
        _used.reset(token)


def _note_use(name: str, key: str, value: Any) -> None:
    if (collected := _used.get()) is not None and collected[0] == name:
        collected[1][key] = value


def _remove_oldest(folder: Path) -> None:
    files = [(path, path.stat()) for path in folder.iterdir()]
    files.sort(key=lambda file: file[1].st_mtime_ns, reverse=True)
    size = 0
    for number, (path, stat) in enumerate(files):
        size += stat.st_size
        if number >= MAX_ENTRIES or size > MAX_BYTES:
            path.unlink(missing_ok=True)
