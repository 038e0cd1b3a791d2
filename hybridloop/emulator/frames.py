"""Messages between the service and its workers: a JSON header and raw bytes, each with its length before it."""

from __future__ import annotations

import struct
from typing import BinaryIO

DONE, FAILED = "done", "failed"  # the verdicts in the headers of a worker's answers
NEEDS = "needs"  # the same in its question whether it may take memory, before it answers
GRANTED, REFUSED = "granted", "refused"  # and in what it is told
FREE_BYTES = 16 * 2**20  # a simulation below takes no more than the worker itself, and does not ask

_LENGTHS = struct.Struct(">II")


def packed(header: bytes, body: bytes) -> bytes:
    """One message as bytes."""
    return _LENGTHS.pack(len(header), len(body)) + header + body


def lengths_of(prefix: bytes) -> tuple[int, int]:
    """The lengths of header and body that a message's first `PREFIX_BYTES` announce."""
    header, body = _LENGTHS.unpack(prefix)
    return int(header), int(body)


PREFIX_BYTES = _LENGTHS.size


def read_frame(stream: BinaryIO) -> tuple[bytes, bytes] | None:
    """The next message, or None at the end of the stream (also where it ends inside a message)."""
    prefix = stream.read(PREFIX_BYTES)
    if len(prefix) < PREFIX_BYTES:
        return None
    header, body = lengths_of(prefix)
    message = stream.read(header + body)
    return (message[:header], message[header:]) if len(message) == header + body else None
