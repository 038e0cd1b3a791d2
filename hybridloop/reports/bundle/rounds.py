"""Pack the rounds of a bundle: circuits and jobs as JSON, numbers as plain arrays, both in the order of rounds."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, TypeAdapter

from hybridloop.algorithms.rounds import Counts
from hybridloop.errors import BundleDamaged
from hybridloop.journal import Job, PubRecord, RoundRecord, Slice
from hybridloop.reports.bundle.files import MAX_ARRAYS_BYTES, UNREADABLE, check_size, open_zip, read_member
from hybridloop.reports.export import circuit_fields, job_fields, round_fields
from hybridloop.runs.stored_run import StoredRun
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey

# points, angles: radians; outcomes: packed bits, row by row; counts: one for each outcome
_ARRAYS: Mapping[str, str] = {"points": "<f8", "angles": "<f8", "outcomes": "|u1", "counts": "<i8"}
# the header of a one-dimensional array (format NPY, version 1.0) as NumPy writes it
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<kind>[<|][fiu][18])', 'fortran_order': False, "
    rb"'shape': \((?P<length>\d{1,12}),\), \} *\n",
    re.DOTALL,
)
_MAX_HEADER_BYTES = 128
MAX_ROWS = 10_000_000  # points or outcomes of a bundle; each may be empty, so that no array bounds them
MAX_WIDTH = 100_000  # parameters, angles, bits or qubits


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


def unpack_rounds(packed: object, npz: bytes, run_uid: str, source: str) -> list[RoundRecord]:
    """Return the rounds. Raises BundleDamaged if the arrays do not fit, or a job's id does not belong to its key.

    The rounds state the length of each array, which is compared before the array is read.
    """
    stated = _ROUNDS.validate_python(packed)
    arrays = {name: _ArrayReader(array) for name, array in _read(npz, _lengths(stated), source).items()}
    rounds = [_unpack(round_, arrays) for round_ in stated]
    for round_ in rounds:
        place = RoundKey(run_uid, round_.stream, round_.sequence)
        for job in round_.jobs:
            if JobKey(place, job.pub, job.point, job.part).job_id(job.attempt) != job.id:
                raise BundleDamaged(source, f"job {job.id} belongs to another run, or to another job key in it")
    return rounds


_Number = Annotated[int, Field(ge=0, lt=2**53, strict=True)]
_Rows = Annotated[int, Field(ge=0, le=MAX_ROWS, strict=True)]
_Width = Annotated[int, Field(ge=0, le=MAX_WIDTH, strict=True)]
_Amounts = dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]


class _Circuit(BaseModel):
    """A circuit of `rounds.json`, with the shapes of its points and angles."""

    fingerprint: str
    program: str | None
    shots: _Number
    points: tuple[_Rows, _Width]
    angles: tuple[_Rows, _Width]
    measured: tuple[_Width, ...]
    num_clbits: _Width


class _Layout(BaseModel):
    """The shape of a job's counts in `rounds.json`."""

    bits: _Width
    outcomes: _Rows
    exact: bool

    @property
    def row_bytes(self) -> int:
        return (self.bits + 7) // 8


class _Job(BaseModel):
    """A job of `rounds.json`; one of many points has `slices`, and a layout for each."""

    id: str
    circuit: _Number
    point: _Number
    part: _Number
    attempt: _Number
    shots: _Number
    program: str | None
    session: _Number
    reserved: _Amounts
    state: str
    counts: _Layout | tuple[_Layout, ...] | None
    reason: str
    billed: _Amounts | None
    slices: tuple[tuple[_Number, _Number, _Number, _Number], ...] = ()

    @property
    def layouts(self) -> tuple[_Layout, ...]:
        """The layouts of its counts, one for each slice. Raises ValueError for another number of them."""
        layouts = self.counts if isinstance(self.counts, tuple) else () if self.counts is None else (self.counts,)
        if self.counts is not None and len(layouts) != max(1, len(self.slices)):
            raise ValueError(f"job {self.id} has {len(layouts)} layouts for {len(self.slices)} slices")
        return layouts


class _Round(BaseModel):
    """A round of `rounds.json`."""

    stream: str
    sequence: _Number
    target: str
    circuits: tuple[_Circuit, ...]
    jobs: tuple[_Job, ...]
    complete: bool


_ROUNDS = TypeAdapter(list[_Round])


def _lengths(rounds: Sequence[_Round]) -> dict[str, int]:
    """Return the length of each array. Raises ValueError for more rows than a run has, which may be empty."""
    circuits = [circuit for round_ in rounds for circuit in round_.circuits]
    layouts = [layout for round_ in rounds for job in round_.jobs for layout in job.layouts]
    shapes = {
        "points": [circuit.points for circuit in circuits],
        "angles": [circuit.angles for circuit in circuits],
        "outcomes": [(layout.outcomes, layout.row_bytes) for layout in layouts],
        "counts": [(layout.outcomes, 1) for layout in layouts],
    }
    if any(sum(rows for rows, _ in pairs) > MAX_ROWS for pairs in shapes.values()):
        raise ValueError(f"it has more than {MAX_ROWS:,} points or outcomes")
    return {name: sum(map(math.prod, pairs)) for name, pairs in shapes.items()}


class _ArrayReader:
    """Sequential reader of an array's parts."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._rest = array

    def take(self, *shape: int) -> NDArray[Any]:
        part, self._rest = np.split(self._rest, [math.prod(shape)])
        return part.reshape(shape)


def _pack(round_: RoundRecord, parts: dict[str, list[NDArray[Any]]]) -> dict[str, Any]:
    for pub in round_.pubs:
        parts["points"].append(pub.points)
        parts["angles"].append(pub.slots)
    for job in round_.jobs:
        for counts in job.counts or ():
            parts["outcomes"].append(counts.outcomes)
            parts["counts"].append(counts.counts)
    return {
        **round_fields(round_),
        "circuits": [
            {**circuit_fields(pub), "points": list(pub.points.shape), "angles": list(pub.slots.shape)}
            for pub in round_.pubs
        ],
        "jobs": [_job(job) for job in round_.jobs],
    }


def _job(job: Job) -> dict[str, Any]:
    layouts = [
        {"bits": counts.num_bits, "outcomes": len(counts.counts), "exact": counts.exact} for counts in job.counts or ()
    ]
    packed = layouts if job.slices else layouts[0] if layouts else None
    return {**job_fields(job), "program": job.program, "counts": None if job.counts is None else packed}


def _unpack(packed: _Round, arrays: Mapping[str, _ArrayReader]) -> RoundRecord:
    return RoundRecord(
        stream=packed.stream,
        sequence=packed.sequence,
        target=packed.target,
        pubs=tuple(
            PubRecord(
                fingerprint=pub.fingerprint,
                program=pub.program,
                shots=pub.shots,
                points=arrays["points"].take(*pub.points),
                slots=arrays["angles"].take(*pub.angles),
                measured=pub.measured,
                num_clbits=pub.num_clbits,
            )
            for pub in packed.circuits
        ),
        jobs=tuple(_unpack_job(job, arrays) for job in packed.jobs),
        complete=packed.complete,
    )


def _unpack_job(job: _Job, arrays: Mapping[str, _ArrayReader]) -> Job:
    counts = []
    for layout in job.layouts:
        outcomes = arrays["outcomes"].take(layout.outcomes, layout.row_bytes)
        counts.append(Counts(layout.bits, outcomes, arrays["counts"].take(layout.outcomes), layout.exact))
    return Job(
        id=job.id,
        pub=job.circuit,
        point=job.point,
        part=job.part,
        attempt=job.attempt,
        shots=job.shots,
        program=job.program,
        session=job.session,
        reserved=job.reserved,
        state=job.state,
        counts=None if job.counts is None else tuple(counts),
        reason=job.reason,
        billed=job.billed,
        slices=tuple(Slice(*part) for part in job.slices),
    )


def _read(npz: bytes, lengths: Mapping[str, int], source: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of an npz file. Each must have its type and length; nothing else is unpacked."""
    arrays = {}
    try:
        with open_zip(io.BytesIO(npz)) as archive:
            left = MAX_ARRAYS_BYTES
            for name, kind in _ARRAYS.items():
                size = lengths[name] * np.dtype(kind).itemsize
                check_size(size, left)
                left -= size
                if archive.getinfo(f"{name}.npy").file_size > size + _MAX_HEADER_BYTES:
                    raise ValueError(f"{name} holds more than the rounds")
                file = read_member(archive, f"{name}.npy", size + _MAX_HEADER_BYTES, ratio=None)
                header, data = _HEADER.match(file), file[len(file) - size :]
                if header is None or header.end() + size != len(file):
                    raise ValueError(f"{name} is not an array of {kind}, or its length is wrong")
                if (header["kind"].decode(), int(header["length"])) != (kind, lengths[name]):
                    raise ValueError(f"{name} is not an array of {lengths[name]:,} {kind}")
                arrays[name] = np.frombuffer(data, kind).astype(np.dtype(kind).newbyteorder("="), copy=False)
    except UNREADABLE as error:
        raise BundleDamaged(source, f"its arrays can't be read: {error}") from error
    return arrays
