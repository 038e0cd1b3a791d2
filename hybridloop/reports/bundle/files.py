"""Bounded reading of a bundle's files: sizes are known, and found acceptable, before anything is read or allocated."""

from __future__ import annotations

import json
import math
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from hybridloop.errors import BundleDamaged, InputError

# a run of 100,000 jobs takes 50 MB of JSON, 2 million values and 100 MB of arrays
MAX_JSON_BYTES = 64 << 20  # of all JSON files together
MAX_VALUES = 4_000_000  # of all JSON files together: a short text can hold many, and each takes 100 bytes of memory
MAX_ARRAYS_BYTES = 256 << 20  # of all arrays together, packed and unpacked
MAX_MEMBERS = 64  # of a zip file
MAX_RATIO = 100  # unpacked to packed, above RATIO_FREE_BYTES; JSON of runs has 15 to 30
RATIO_FREE_BYTES = 1 << 20
_MAX_DIRECTORY_BYTES = 64 << 10
_END = struct.Struct("<4s6xHLLH")  # end of the directory: signature, members, directory's bytes and start, comment
_ZIP64_BYTES = 20  # before the end, if the file has a directory of the format zip64
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

# exceptions raised by reading a damaged or malicious zip file
UNREADABLE = (
    *(OSError, EOFError, KeyError, ValueError, RuntimeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


class BundleFiles:
    """The files of a bundle by name. No other name is read, and nothing is unpacked to the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: dict[str, bytes] = {}
        self._json_bytes_left = MAX_JSON_BYTES
        self._values_left = MAX_VALUES
        if not path.exists():
            raise InputError("run", f"there is no bundle {path}", "Give a folder or zip file of `runs export`.")

    def data(self, name: str) -> bytes:
        """Read a file once."""
        if name not in self._read:
            is_json = name.endswith(".json")
            limit = self._json_bytes_left if is_json else MAX_ARRAYS_BYTES
            try:
                data = self._from_folder(name, limit) if self._path.is_dir() else self._from_zip(name, limit)
            except UNREADABLE as error:
                raise BundleDamaged(str(self._path), f"{name} can't be read: {error}") from error
            self._json_bytes_left -= len(data) if is_json else 0
            self._read[name] = data
        return self._read[name]

    def json(self, name: str) -> Any:
        """Parse a JSON file of finite numbers and valid text."""
        data = self.data(name)
        self._values_left -= data.count(b",") + data.count(b"[") + data.count(b"{")  # at least as many as values
        if self._values_left < 0:
            raise BundleDamaged(str(self._path), f"{name} has more values than any run's")
        try:
            document = json.loads(data.decode(), parse_constant=_finite, parse_float=_finite)
            if _SURROGATE.search(data):
                json.dumps(document, ensure_ascii=False).encode()  # raises for half a surrogate pair
            return document
        except (ValueError, RecursionError) as error:
            raise BundleDamaged(str(self._path), f"{name} is not JSON: {error}") from error

    def _from_folder(self, name: str, limit: int) -> bytes:
        path = self._path / name
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("it is not a file")
        with path.open("rb") as file:
            data = file.read(limit + 1)
        check_size(len(data), limit)
        return data

    def _from_zip(self, name: str, limit: int) -> bytes:
        if not self._path.is_file():  # a pipe would block
            raise ValueError("the bundle is neither a folder nor a file")
        with self._path.open("rb") as file, open_zip(file) as archive:
            return read_member(archive, name, limit)


@contextmanager
def open_zip(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Open a zip file of few members. Raises ValueError for another, before its directory is read."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END.size - _ZIP64_BYTES))
    tail = file.read()
    signature, members, directory, _, comment = _END.unpack(tail[-_END.size :])
    if signature != b"PK\5\6" or comment:
        raise ValueError("it does not end as a zip file of `runs export` does")
    if members > MAX_MEMBERS or directory > _MAX_DIRECTORY_BYTES or tail.startswith(b"PK\6\7"):
        raise ValueError(f"it has more than {MAX_MEMBERS} members")
    with zipfile.ZipFile(file) as archive:
        if len(archive.infolist()) > MAX_MEMBERS:
            raise ValueError(f"it has more than {MAX_MEMBERS} members")
        yield archive


def read_member(archive: zipfile.ZipFile, name: str, limit: int, *, ratio: int | None = MAX_RATIO) -> bytes:
    """Return a member's content. Raises ValueError, before it is unpacked, if it has more than `limit` bytes.

    So it does for a higher `ratio` of its unpacked to its packed size; None: for none, because equal numbers pack well.
    """
    info = archive.getinfo(name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is compressed in another way than `runs export` does")
    check_size(info.file_size, limit)
    if ratio is not None and info.file_size > max(RATIO_FREE_BYTES, ratio * info.compress_size):
        raise ValueError(f"its {info.file_size:,} bytes are packed in {info.compress_size:,}, as no run's are")
    with archive.open(info) as file:
        return file.read(info.file_size)


def check_size(size: int, limit: int) -> None:
    """Raise ValueError for a size above the limit."""
    if size > limit:
        raise ValueError(f"it has more than {limit:,} bytes, as no run's has")


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word[:40]} is not a finite number")
    return value
