"""Cache of small JSON values in the state folder; without a folder that can be written, nothing is kept."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from hybridloop.runtime.paths import home, make_folder

MAX_ENTRIES, MAX_BYTES = 200, 4_000_000  # the oldest entries are removed above either


def read_cached(name: str, key: str) -> Any:
    """Return the value kept for a key, a digest in hexadecimal; None if there is none, or if its file is damaged."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return json.loads((home() / name / f"{key}.json").read_text(encoding="utf-8"))
    return None


def keep(name: str, key: str, value: Any) -> None:
    """Keep a value for a key in the cache of that name, for later processes too; its file is replaced as a whole."""
    folder = home() / name
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


def _remove_oldest(folder: Path) -> None:
    files = [(path, path.stat()) for path in folder.iterdir()]
    files.sort(key=lambda file: file[1].st_mtime_ns, reverse=True)
    size = 0
    for number, (path, stat) in enumerate(files):
        size += stat.st_size
        if number >= MAX_ENTRIES or size > MAX_BYTES:
            path.unlink(missing_ok=True)
