"""The bytes of blobs, in a folder or in memory; a blob is whole or not there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import quote


class Bytes(Protocol):
    """Where blobs' bytes are kept, by container and name; whether a blob counts as there is the store's to say."""

    def write(self, container: str, name: str, data: bytes) -> None: ...

    def read(self, container: str, name: str) -> bytes: ...

    def remove(self, container: str, name: str) -> None: ...


class MemoryBytes:
    """Blobs that end with the process."""

    def __init__(self) -> None:
        self._data: dict[tuple[str, str], bytes] = {}

    def write(self, container: str, name: str, data: bytes) -> None:
        self._data[container, name] = data

    def read(self, container: str, name: str) -> bytes:
        return self._data[container, name]

    def remove(self, container: str, name: str) -> None:
        self._data.pop((container, name), None)


class FolderBytes:
    """Blobs as files: a folder for each container, names escaped, written aside and moved into place."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, exist_ok=True)

    def write(self, container: str, name: str, data: bytes) -> None:
        path = self._path(container, name)
        aside = f"{path}.part"
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb", buffering=0) as file:
            file.write(data)
        os.replace(aside, path)

    def read(self, container: str, name: str) -> bytes:
        with open(self._path(container, name), "rb") as file:
            return file.read()

    def remove(self, container: str, name: str) -> None:
        with suppress(FileNotFoundError):
            os.remove(self._path(container, name))

    def _path(self, container: str, name: str) -> str:
        # "~" goes between name and suffix of nothing else, so no escaped name can be another's unfinished file
        return f"{self._root}/{container}/{quote(name, safe='~ ')}~"
