"""Values as the journal stores them: bytes for counts and arrays, text for mappings, and the checksum of a row.

All of it is fixed: what one version wrote, every later one must read.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridloop.sessions.journal.records import PubRecord

if TYPE_CHECKING:
    from hybridloop.algorithms.rounds import Counts

Stored = str | bytes | int | float | None

_COUNTS = struct.Struct("<BBII")  # layout, exact, number of bits, number of outcomes
_COUNTS_LAYOUT = 1
_LENGTH = struct.Struct("<I")
_DOUBLE = struct.Struct("<d")


def encode_counts(counts: Counts) -> bytes:
    """A header, the packed outcomes row by row, and the counts as little-endian 64-bit integers."""
    outcomes = np.ascontiguousarray(counts.outcomes, dtype=np.uint8)
    header = _COUNTS.pack(_COUNTS_LAYOUT, counts.exact, counts.num_bits, len(outcomes))
    return header + outcomes.tobytes() + np.ascontiguousarray(counts.counts, dtype="<i8").tobytes()


def decode_counts(stored: bytes) -> Counts:
    """The counts of `encode_counts`; ValueError if it is of another layout or length."""
    from hybridloop.algorithms.rounds import Counts  # brings Qiskit, which listing runs does without

    if len(stored) < _COUNTS.size or stored[0] != _COUNTS_LAYOUT or stored[1] > 1:
        raise ValueError("counts of an unknown layout")
    _, exact, num_bits, rows = _COUNTS.unpack_from(stored)
    width = (num_bits + 7) // 8
    split = _COUNTS.size + rows * width
    outcomes = np.frombuffer(stored, np.uint8, rows * width, _COUNTS.size).reshape(rows, width)
    counts = np.frombuffer(stored[split:], "<i8").astype(np.int64, copy=False)
    if len(counts) != rows:
        raise ValueError(f"{rows} outcomes, and {len(counts)} counts")
    return Counts(num_bits, outcomes, counts, bool(exact))


def encode_pubs(pubs: Sequence[PubRecord]) -> bytes:
    """The length of a JSON header, the header, and the PUBs' points and slots as little-endian doubles in turn."""
    header = [
        {
            "fingerprint": pub.fingerprint,
            "program": pub.program,
            "shots": pub.shots,
            "measured": list(pub.measured),
            "num_clbits": pub.num_clbits,
            "points": list(pub.points.shape),
            "slots": list(pub.slots.shape),
        }
        for pub in pubs
    ]
    text = encode_json(header).encode("ascii")
    arrays = (np.ascontiguousarray(array, dtype="<f8").tobytes() for pub in pubs for array in (pub.points, pub.slots))
    return b"".join((_LENGTH.pack(len(text)), text, *arrays))


def decode_pubs(stored: bytes) -> tuple[PubRecord, ...]:
    """The PUBs of `encode_pubs`; ValueError or KeyError if it is something else."""
    (length,) = _LENGTH.unpack_from(stored)
    at = _LENGTH.size + length
    pubs = []
    for head in json.loads(stored[_LENGTH.size : at]):
        arrays = []
        for rows, columns in (head.pop("points"), head.pop("slots")):
            values = np.frombuffer(stored, "<f8", rows * columns, at).astype(np.float64, copy=False)
            arrays.append(values.reshape(rows, columns))
            at += values.nbytes
        pubs.append(PubRecord(points=arrays[0], slots=arrays[1], measured=tuple(head.pop("measured")), **head))
    return tuple(pubs)


def encode_json(value: object) -> str:
    """The value as JSON in ASCII with sorted keys; ValueError for NaN and infinities, TypeError for foreign types."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def decode_json(text: str) -> Any:
    """The value of `encode_json`."""
    return json.loads(text)


def _plain(value: object) -> object:
    match value:
        case Mapping():
            return dict(value)
        case np.generic():
            return value.item()
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")


def storable(text: str) -> str:
    """The text without what no database takes: NUL and halves of surrogate pairs are replaced."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def checksum(table: str, values: Iterable[Stored]) -> bytes:
    """16 bytes over a table's name and a row's values in the order of its columns, types and lengths included."""
    digest = hashlib.blake2b(digest_size=16, key=table.encode("ascii"))
    parts: list[bytes] = []
    for value in values:
        match value:
            case None:
                parts.append(b"n")
            case str():
                text = value.encode("utf-8", "surrogateescape")
                parts.append(b"s%d:%b" % (len(text), text))
            case int():
                parts.append(b"i%d:" % value)
            case float():
                parts.append(b"f" + _DOUBLE.pack(value))
            case _:
                parts.append(b"b%d:%b" % (len(value), value))
    digest.update(b"".join(parts))
    return digest.digest()
