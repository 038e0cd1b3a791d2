"""Encoding of stored values: bytes for counts and arrays, JSON for mappings, and the checksum of a row.

The formats are fixed from the first release on: every later version must read what an earlier one wrote.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hybridloop.journal.records import PubRecord, Slice

if TYPE_CHECKING:
    from hybridloop.algorithms.rounds import Counts

StoredValue = str | bytes | int | float | None

_COUNTS = struct.Struct("<BBII")  # layout, exact, number of bits, number of outcomes
_COUNTS_LAYOUT = 1
_COUNTS_OF_SLICES = 2  # this layout has the number of slices, then the length and the counts of each
_LENGTH = struct.Struct("<I")
_DOUBLE = struct.Struct("<d")


def encode_counts(slices: Sequence[Counts]) -> bytes:
    """Encode the counts of a job's slices; a single slice is encoded without a list."""
    encoded = [_encode_counts(counts) for counts in slices]
    if len(encoded) == 1:
        return encoded[0]
    parts = (part for counts in encoded for part in (_LENGTH.pack(len(counts)), counts))
    return b"".join((bytes([_COUNTS_OF_SLICES]), _LENGTH.pack(len(encoded)), *parts))


def _encode_counts(counts: Counts) -> bytes:
    """Encode counts: a header, the packed outcomes row by row, and the counts as little-endian 64-bit integers."""
    outcomes = np.ascontiguousarray(counts.outcomes, dtype=np.uint8)
    header = _COUNTS.pack(_COUNTS_LAYOUT, counts.exact, counts.num_bits, len(outcomes))
    return header + outcomes.tobytes() + np.ascontiguousarray(counts.counts, dtype="<i8").tobytes()


def decode_counts(stored: bytes) -> tuple[Counts, ...]:
    """Decode bytes of `encode_counts`. Raises ValueError for another layout or length."""
    if stored[:1] != bytes([_COUNTS_OF_SLICES]):
        return (_decode_counts(stored),)
    offset = 1 + _LENGTH.size
    decoded = []
    for _ in range(int.from_bytes(stored[1:offset], "little")):
        begin = offset + _LENGTH.size
        offset = begin + int.from_bytes(stored[begin - _LENGTH.size : begin], "little")
        decoded.append(_decode_counts(stored[begin:offset]))
    if len(decoded) < 2 or offset != len(stored):
        raise ValueError(f"the counts of {len(decoded)} slices end at byte {offset} of {len(stored)}")
    return tuple(decoded)


def _decode_counts(stored: bytes) -> Counts:
    from hybridloop.algorithms.rounds import Counts  # imports Qiskit, which a list of runs does not need

    if len(stored) < _COUNTS.size or stored[0] != _COUNTS_LAYOUT or stored[1] > 1:
        raise ValueError("the counts have an unknown layout")
    _, exact, num_bits, rows = _COUNTS.unpack_from(stored)
    width = (num_bits + 7) // 8
    split = _COUNTS.size + rows * width
    outcomes = np.frombuffer(stored, np.uint8, rows * width, _COUNTS.size).reshape(rows, width)
    counts = np.frombuffer(stored[split:], "<i8").astype(np.int64, copy=False)
    if len(counts) != rows:
        raise ValueError(f"there are {rows} outcomes and {len(counts)} counts")
    return Counts(num_bits, outcomes, counts, bool(exact))


class StoredRequest(NamedTuple):
    """The request of a round: its PUBs, the slices of each job of many points, and its shared seed."""

    pubs: tuple[PubRecord, ...]
    slices: tuple[tuple[Slice, ...], ...]
    shared_seed: int | None


def encode_request(
    pubs: Sequence[PubRecord], sliced: Sequence[Sequence[Slice]] = (), shared_seed: int | None = None
) -> bytes:
    """Encode a request: the length of a JSON header, the header, each PUB's points and slots as little-endian doubles.

    `sliced` has the slices of each job of many points.
    """
    heads = [
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
    jobs = [[list(part) for part in slices] for slices in sliced]
    header = {"pubs": heads, "jobs": jobs, "seed": shared_seed}
    text = encode_json(header).encode("ascii")
    arrays = (np.ascontiguousarray(array, dtype="<f8").tobytes() for pub in pubs for array in (pub.points, pub.slots))
    return b"".join((_LENGTH.pack(len(text)), text, *arrays))


def decode_request(stored: bytes) -> StoredRequest:
    """Decode bytes of `encode_request`. Raises ValueError or KeyError for other bytes."""
    (length,) = _LENGTH.unpack_from(stored)
    offset = _LENGTH.size + length
    pubs = []
    header = json.loads(stored[_LENGTH.size : offset])
    for head in header["pubs"]:
        arrays = []
        for rows, columns in (head.pop("points"), head.pop("slots")):
            values = np.frombuffer(stored, "<f8", rows * columns, offset).astype(np.float64, copy=False)
            arrays.append(values.reshape(rows, columns))
            offset += values.nbytes
        pubs.append(PubRecord(points=arrays[0], slots=arrays[1], measured=tuple(head.pop("measured")), **head))
    slices = tuple(tuple(Slice(*part) for part in parts) for parts in header["jobs"])
    return StoredRequest(tuple(pubs), slices, header["seed"])


def encode_json(value: object) -> str:
    """Encode as ASCII JSON with sorted keys. Raises ValueError for NaN and infinities, TypeError for other types."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def decode_json(text: str) -> Any:
    """Decode a value of `encode_json`."""
    return json.loads(text)


def _plain(value: object) -> object:
    match value:
        case Mapping():
            return dict(value)
        case np.generic():
            return value.item()
    raise TypeError(f"{type(value).__name__} can't be stored as JSON")


def replace_unstorable(text: str) -> str:
    """Replace NUL and unpaired surrogates, which databases refuse.

    >>> replace_unstorable("a\\0b")
    'a\ufffdb'
    """
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def checksum(table: str, values: Iterable[StoredValue]) -> bytes:
    """Return 16 bytes over a table's name and a row's values in column order, with their types and lengths."""
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
