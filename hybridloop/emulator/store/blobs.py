"""Blob storage: containers and blobs, with their bytes in a folder or in memory and their properties in the database.

A write is atomic: a blob is there as a whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from hybridloop.emulator.clock import Clock
from hybridloop.emulator.model.errors import ApiError
from hybridloop.emulator.store.records import StoredBlob
from hybridloop.emulator.store.store import Store

MAX_BLOB_BYTES = 256 * 2**20  # of a blob that is joined from blocks; programs and results are far smaller


class MemoryBlobs:
    """Bytes of blobs in memory by container and name, until the process ends."""

    def __init__(self) -> None:
        self._data: dict[tuple[str, str], bytes] = {}

    def write(self, container: str, name: str, data: bytes) -> None:
        self._data[container, name] = data

    def read(self, container: str, name: str) -> bytes:
        return self._data[container, name]

    def size(self, container: str, name: str) -> int:
        return len(self._data[container, name])

    def remove(self, container: str, name: str) -> None:
        self._data.pop((container, name), None)


class FolderBlobs:
    """Bytes of blobs as files, a folder for each container; files are written aside and renamed into place."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, exist_ok=True)

    def write(self, container: str, name: str, data: bytes) -> None:
        path = self._path(container, name)
        temporary = f"{path}.part"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb", buffering=0) as file:
            file.write(data)
        os.replace(temporary, path)

    def read(self, container: str, name: str) -> bytes:
        with open(self._path(container, name), "rb") as file:
            return file.read()

    def size(self, container: str, name: str) -> int:
        return os.path.getsize(self._path(container, name))

    def remove(self, container: str, name: str) -> None:
        with suppress(FileNotFoundError):
            os.remove(self._path(container, name))

    def _path(self, container: str, name: str) -> str:
        # an escaped name ends in "~" and a temporary file's in ".part", so the two never collide
        return f"{self._root}/{container}/{quote(name, safe='~ ')}~"


BlobBackend = MemoryBlobs | FolderBlobs


class Containers:
    """Containers of blobs behind the storage API; a blob exists once its properties are in the database."""

    def __init__(self, store: Store, contents: BlobBackend, clock: Clock) -> None:
        self._store = store
        self._contents = contents
        self._clock = clock

    def ensure(self, container: str) -> bool:
        """Create the container; False if it existed."""
        with self._store.transaction():
            return self._store.add_container(container, self._clock.now())

    def write(self, container: str, name: str, data: bytes, content_type: str, encoding: str = "") -> StoredBlob:
        """Write a blob's bytes and return its properties, modified now; the blob exists once the caller stores them."""
        self._contents.write(container, name, data)
        etag = f'"0x{hashlib.blake2b(data, digest_size=8).hexdigest().upper()}"'
        return StoredBlob(container, name, len(data), content_type, encoding, etag, self._clock.now())

    def put(self, container: str, name: str, data: bytes, content_type: str, encoding: str) -> StoredBlob:
        record = self.write(container, name, data, content_type, encoding)
        with self._store.transaction():
            self._store.put_blob(record)
        return record

    def put_block(self, container: str, name: str, block: str, data: bytes) -> None:
        """Store a block: a part of a blob whose upload is not complete."""
        self._contents.write(container, _block_name(name, block), data)

    def join_blocks(self, container: str, name: str, blocks: Sequence[str]) -> bytes:
        """Return the content of the blocks, concatenated in their order.

        A block may be named several times. Raises ApiError (400) for a missing block, and for a blob that would be too
        large, before any block is read.
        """
        names = {block: _block_name(name, block) for block in blocks}
        try:
            sizes = {block: self._contents.size(container, stored) for block, stored in names.items()}
            if sum(map(sizes.__getitem__, blocks)) > MAX_BLOB_BYTES:
                raise ApiError(400, "BlockListTooLong", f"The blob would exceed {MAX_BLOB_BYTES} bytes.")
            return b"".join(self._contents.read(container, names[block]) for block in blocks)
        except (KeyError, FileNotFoundError):
            raise ApiError(400, "InvalidBlockList", "The list names a block that is not there.") from None

    def remove_blocks(self, container: str, name: str, blocks: Sequence[str]) -> None:
        for block in dict.fromkeys(blocks):
            self._contents.remove(container, _block_name(name, block))

    def read(self, record: StoredBlob) -> bytes:
        return self._contents.read(record.container, record.name)


def _block_name(name: str, block: str) -> str:
    """Return the name under which a block is stored.

    It is short for any length of the two names. It begins with a newline, which no blob's name contains.
    """
    return "\n" + hashlib.blake2b(f"{name}\n{block}".encode(), digest_size=16).hexdigest()
