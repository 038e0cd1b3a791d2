"""Containers and blobs: their bytes, and their properties in the books."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hybridloop.emulator.blobs import Bytes
from hybridloop.emulator.clock import Clock
from hybridloop.emulator.faults import ServiceFault
from hybridloop.emulator.records import BlobRecord
from hybridloop.emulator.store import Store


class Containers:
    """Blob storage behind its HTTP face. A blob is there once its properties are in the books."""

    def __init__(self, store: Store, contents: Bytes, clock: Clock) -> None:
        self._store = store
        self._contents = contents
        self._clock = clock

    def write(self, container: str, name: str, data: bytes) -> BlobRecord:
        """Keep a result's bytes; its properties go into the books together with its job's end, by the caller."""
        self._contents.write(container, name, data)
        return self.record(container, name, data, "application/json", "")

    def find(self, container: str, name: str) -> BlobRecord | None:
        """The blob's properties, None where it is not there."""
        return self._store.blob(container, name)

    def exists(self, container: str) -> bool:
        """Whether the container is there."""
        return self._store.has_container(container)

    def blobs(self, container: str, prefix: str) -> list[BlobRecord]:
        """The container's blobs whose names begin with `prefix`, by name."""
        return self._store.blobs(container, prefix)

    def ensure(self, container: str) -> bool:
        """Make the container; False where it was there."""
        with self._store.transaction():
            return self._store.add_container(container, self._clock.now())

    def put(self, container: str, name: str, data: bytes, content_type: str, encoding: str) -> BlobRecord:
        """Keep a blob's bytes and properties, in place of what was under that name."""
        self._contents.write(container, name, data)
        record = self.record(container, name, data, content_type, encoding)
        with self._store.transaction():
            self._store.put_blob(record)
        return record

    def put_block(self, container: str, name: str, block: str, data: bytes) -> None:
        """Keep a part of a blob that is not whole yet."""
        self._contents.write(container, _part(name, block), data)

    def joined_blocks(self, container: str, name: str, blocks: Sequence[str]) -> bytes:
        """The blocks as one content, in the order given."""
        try:
            return b"".join(self._contents.read(container, _part(name, block)) for block in blocks)
        except (KeyError, FileNotFoundError):
            raise ServiceFault(400, "InvalidBlockList", "The list names a block that is not there.") from None

    def remove_blocks(self, container: str, name: str, blocks: Sequence[str]) -> None:
        """Forget blocks that have become a blob."""
        for block in dict.fromkeys(blocks):
            self._contents.remove(container, _part(name, block))

    def read(self, record: BlobRecord) -> bytes:
        """The blob's content."""
        return self._contents.read(record.container, record.name)

    def record(self, container: str, name: str, data: bytes, kind: str, encoding: str) -> BlobRecord:
        """The properties of a blob with these bytes, as of now; writing them is the caller's."""
        etag = f'"0x{hashlib.blake2b(data, digest_size=8).hexdigest().upper()}"'
        return BlobRecord(container, name, len(data), kind, encoding, etag, self._clock.now())


def _part(name: str, block: str) -> str:
    """The name of a block's bytes: short however long the two are, and no blob's, since those are printable."""
    return "\n" + hashlib.blake2b(f"{name}\n{block}".encode(), digest_size=16).hexdigest()
