"""Pack the rounds of a bundle: circuits and jobs as JSON, numbers as plain arrays, both in the order of rounds."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.rounds import Counts
from hybridloop.errors import BundleDamaged
from hybridloop.journal import JobRecord, PubRecord, RoundRecord
from hybridloop.reports.export import circuit_fields, job_fields, round_fields
from hybridloop.runs.stored_run import StoredRun
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey

# exceptions raised by reading a damaged or malicious zip file
UNREADABLE = (
    *(OSError, EOFError, KeyError, ValueError, RuntimeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)

# points, angles: radians; outcomes: packed bits, row by row; counts: one for each outcome
_ARRAYS: Mapping[str, str] = {"points": "<f8", "angles": "<f8", "outcomes": "|u1", "counts": "<i8"}


def pack_rounds(run: StoredRun) -> tuple[list[dict[str, Any]], bytes, dict[str, str]]:
    """Return the rounds as JSON, their arrays as an npz file, and the programs of their jobs by key."""
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _ARRAYS}
    rounds, keys = [], dict[str, None]()
    for round_ in run.rounds():
        rounds.append(_pack(round_, parts))
        keys |= dict.fromkeys(pub.program for pub in round_.pubs if pub.program is not None)
        keys |= dict.fromkeys(job.program for job in round_.jobs if job.program is not None)
    file = io.BytesIO()
    arrays = {
        name: np.concatenate([np.zeros(0, kind), *(part.astype(kind).reshape(-1) for part in parts[name])])
        for name, kind in _ARRAYS.items()
    }
    np.savez_compressed(file, allow_pickle=False, **arrays)
    programs = {key: body.decode() for key in keys if (body := run.program(key)) is not None}
    return rounds, file.getvalue(), programs


def unpack_rounds(packed: Sequence[Any], npz: bytes, run_uid: str, source: str) -> list[RoundRecord]:
    """Return the rounds. Raises BundleDamaged if the arrays do not fit, or a job's id does not belong to its key."""
    arrays = {name: _ArrayReader(array) for name, array in _read(npz, source).items()}
    rounds = [_unpack(round_, arrays) for round_ in packed]
    if any(reader.left for reader in arrays.values()):
        raise BundleDamaged(source, "its arrays hold more than its rounds")
    for round_ in rounds:
        place = RoundKey(run_uid, round_.stream, round_.sequence)
        for job in round_.jobs:
            if JobKey(place, job.pub, job.point, job.part).job_id(job.attempt) != job.id:
                raise BundleDamaged(source, f"job {job.id} belongs to another run, or to another job key in it")
    return rounds


class _ArrayReader:
    """Sequential reader of an array's parts."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._rest = array

    @property
    def left(self) -> int:
        return len(self._rest)

    def take(self, *shape: int) -> NDArray[Any]:
        number = math.prod(shape)
        if min(shape) < 0 or number > self.left:
            raise ValueError(f"{number} values are needed, {self.left} are left")
        part, self._rest = self._rest[:number], self._rest[number:]
        return part.reshape(shape)


def _pack(round_: RoundRecord, parts: dict[str, list[NDArray[Any]]]) -> dict[str, Any]:
    for pub in round_.pubs:
        parts["points"].append(pub.points)
        parts["angles"].append(pub.slots)
    for job in round_.jobs:
        if job.counts is not None:
            parts["outcomes"].append(job.counts.outcomes)
            parts["counts"].append(job.counts.counts)
    return {
        **round_fields(round_),
        "circuits": [
            {**circuit_fields(pub), "points": list(pub.points.shape), "angles": list(pub.slots.shape)}
            for pub in round_.pubs
        ],
        "jobs": [_job(job) for job in round_.jobs],
    }


def _job(job: JobRecord) -> dict[str, Any]:
    counts, layout = job.counts, None
    if counts is not None:
        layout = {"bits": counts.num_bits, "outcomes": len(counts.counts), "exact": counts.exact}
    return {**job_fields(job), "program": job.program, "counts": layout}


def _unpack(packed: Mapping[str, Any], arrays: Mapping[str, _ArrayReader]) -> RoundRecord:
    return RoundRecord(
        stream=str(packed["stream"]),
        sequence=int(packed["sequence"]),
        target=str(packed["target"]),
        pubs=tuple(
            PubRecord(
                fingerprint=pub["fingerprint"],
                program=pub["program"],
                shots=int(pub["shots"]),
                points=arrays["points"].take(*map(int, pub["points"])),
                slots=arrays["angles"].take(*map(int, pub["angles"])),
                measured=tuple(map(int, pub["measured"])),
                num_clbits=int(pub["num_clbits"]),
            )
            for pub in packed["circuits"]
        ),
        jobs=tuple(_unpack_job(job, arrays) for job in packed["jobs"]),
        complete=bool(packed["complete"]),
    )


def _unpack_job(job: Mapping[str, Any], arrays: Mapping[str, _ArrayReader]) -> JobRecord:
    layout, counts = job["counts"], None
    if layout is not None:
        rows, bits = int(layout["outcomes"]), int(layout["bits"])
        outcomes = arrays["outcomes"].take(rows, (bits + 7) // 8)
        counts = Counts(bits, outcomes, arrays["counts"].take(rows), bool(layout["exact"]))
    return JobRecord(
        id=str(job["id"]),
        pub=int(job["circuit"]),
        point=int(job["point"]),
        part=int(job["part"]),
        attempt=int(job["attempt"]),
        shots=int(job["shots"]),
        program=job["program"],
        session=int(job["session"]),
        reserved=job["reserved"],
        state=str(job["state"]),
        counts=counts,
        reason=str(job["reason"]),
        billed=job["billed"],
    )


def _read(npz: bytes, source: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of an npz file. Each must have its type and the length of its file; nothing else is unpacked."""
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(npz)) as archive:
            for name, kind in _ARRAYS.items():
                with archive.open(f"{name}.npy") as file:
                    size = archive.getinfo(f"{name}.npy").file_size
                    if np.lib.format.read_magic(file) != (1, 0):
                        raise ValueError(f"{name} has another format")
                    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                    header = file.tell()
                    if dtype != np.dtype(kind) or len(shape) != 1 or header + shape[0] * dtype.itemsize != size:
                        raise ValueError(f"{name} is not an array of {kind}, or its length is wrong")
                    data = file.read(shape[0] * dtype.itemsize)
                arrays[name] = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))
    except UNREADABLE as error:
        raise BundleDamaged(source, f"its arrays can't be read: {error}") from error
    return arrays
