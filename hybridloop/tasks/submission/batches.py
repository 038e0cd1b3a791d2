"""Jobs of many points: those of a round that one program takes are rows of parameters of one job, parted by size only.

All rows of a job have the same number of shots. A point that needs more takes several rows, which are independent
draws. The rows of all points are in random order, so that a drift of the machine is no difference between points.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import json
import operator
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.compiler.programs import PubDescription
from hybridloop.compiler.quil import NoQuil, QuilCompiler, QuilPub
from hybridloop.journal import Slice
from hybridloop.targets import Target
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey

MAX_RESULT_BYTES = 8_000_000  # of a job
MAX_ROWS_BYTES = 256_000  # of a job; they travel in the submission, and come back with every document of the job
MAX_ROWS = 500  # as many as `hybridloop doctor --live` tries, of as many bytes
MAX_WASTE = 0.05  # of the shots, by rounding up to whole rows
_DIVISORS = np.arange(1, 65)  # a row may have the shots of a point, or such a part of them

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ParameterRows:
    """The rows of a job of many points: the slice that each measures, and the values of each memory region by row."""

    shots: int
    slice_of: tuple[int, ...]
    values: Mapping[str, Sequence[Sequence[float]]]

    @property
    def input_params(self) -> dict[str, Any]:
        """The job's inputParams, as `azure.quantum.target.rigetti.InputParams` of the SDK describes them."""
        return {"shots": self.shots, "skipQuilc": False, "substitutions": self.values}

    @property
    def key(self) -> str:
        """The key under which the rows are stored."""
        return f"rows:{hashlib.blake2b(self.to_bytes(), digest_size=16).hexdigest()}"

    def to_bytes(self) -> bytes:
        """Serialize to JSON; the numbers are exact."""
        return json.dumps({"shots": self.shots, "slice_of": self.slice_of, "values": self.values}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> ParameterRows:
        """Read rows that `to_bytes` wrote."""
        parts = json.loads(data)
        return cls(parts["shots"], tuple(parts["slice_of"]), parts["values"])


@dataclass(frozen=True, slots=True)
class JobBatch:
    """A job of many points, numbered by the first of its slices."""

    key: JobKey
    slices: tuple[Slice, ...]
    rows: ParameterRows


@dataclass(frozen=True, slots=True, eq=False)
class _Slices:
    """Slices with the length of a row of each as JSON, and the bits of each shot."""

    slices: tuple[Slice, ...]
    row_bytes: tuple[int, ...]
    bits: int

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, where: slice) -> _Slices:
        return _Slices(self.slices[where], self.row_bytes[where], self.bits)

    @property
    def shots(self) -> tuple[int, ...]:
        return tuple(part.shots for part in self.slices)

    def rows(self, max_shots: int) -> tuple[int, list[int]]:
        """Return the shots of a row, and the number of rows of each slice."""
        row_shots = shots_of_rows(self.shots, max_shots)
        return row_shots, [-(-shots // row_shots) for shots in self.shots]

    def rounded_up(self, max_shots: int) -> int:
        """Return the shots of all their rows."""
        row_shots, rows = self.rows(max_shots)
        return sum(rows) * row_shots

    def fits(self, max_shots: int) -> bool:
        """Return whether one job takes them all."""
        row_shots, rows = self.rows(max_shots)
        result = sum(rows) * row_shots * result_bytes(self.bits)
        fits = sum(rows) <= MAX_ROWS and result <= MAX_RESULT_BYTES
        return fits and sum(map(operator.mul, rows, self.row_bytes)) <= MAX_ROWS_BYTES


def result_bytes(bits: int) -> int:
    """Return the length of one shot's bits in a result."""
    return 3 * bits + 2


@functools.lru_cache(maxsize=64)  # the points of most rounds have the same shots
def shots_of_rows(shots: tuple[int, ...], max_shots: int) -> int:
    """Return the most shots that all rows may have, if at most a share of `MAX_WASTE` is rounded up.

    >>> shots_of_rows((1000, 1000), 10_000), shots_of_rows((1000, 300), 10_000)
    (1000, 334)
    """
    distinct, times = np.unique(shots, return_counts=True)
    least = max(1, min(max_shots, int(MAX_WASTE * distinct[0])))  # which wastes less
    candidates = np.unique(np.append(-(-distinct[:, None] // _DIVISORS), least))
    candidates = candidates[candidates <= max_shots]
    taken = (-(-distinct[:, None] // candidates) * candidates * times[:, None]).sum(axis=0)
    return int(candidates[taken <= (1 + MAX_WASTE) * sum(shots)].max())


_NUMBER = len("-1.2345678901234567e-300, ")  # no number is longer


def batched_program(compiler: QuilCompiler, description: PubDescription) -> QuilPub:
    """Compile a PUB whose points share jobs. Raises NoQuil."""
    program = compiler.compile(description)
    cells = program.theta.shape[1] + program.basis.shape[1]
    if _NUMBER * cells > MAX_ROWS_BYTES and max(program.row_bytes) > MAX_ROWS_BYTES:
        raise NoQuil("its angles at one point are more than a job takes")
    return program


def plan_batches(
    round_: RoundKey, pubs: Mapping[int, QuilPub], shots: Sequence[int], target: Target, seed: int
) -> list[JobBatch]:
    """Put the points of these PUBs, by number, into as few jobs as the bounds allow; `shots` are those of all PUBs."""
    sizes = {i: pub.row_bytes for i, pub in pubs.items()}
    jobs = _jobs(pubs, {i: pub.program for i, pub in pubs.items()}, sizes, shots, target.max_shots)
    return [_batch(round_, pubs, slices, target.max_shots, seed) for slices in jobs]


def shots_of_jobs(
    pubs: Sequence[QuilPub], programs: Sequence[Hashable], points: Sequence[int], shots: Sequence[int], target: Target
) -> list[int]:
    """Return the shots of each job of a round whose PUBs, of these programs, have so many points.

    `pubs` are PUBs of their circuits, from whose first point all have their size.
    """
    sizes = {i: pub.row_bytes[:1] * points[i] for i, pub in enumerate(pubs)}
    jobs = _jobs(dict(enumerate(pubs)), dict(enumerate(programs)), sizes, shots, target.max_shots)
    return [slices.rounded_up(target.max_shots) for slices in jobs]


def _jobs(
    pubs: Mapping[int, QuilPub],
    programs: Mapping[int, Hashable],
    sizes: Mapping[int, Sequence[int]],
    shots: Sequence[int],
    max_shots: int,
) -> Iterator[_Slices]:
    """Yield the slices of each job; `programs`, and `sizes`, the bytes of each point's row, are by PUB."""
    together: dict[Hashable, list[int]] = {}
    for number, program in programs.items():
        together.setdefault(program, []).append(number)
    for numbers in together.values():
        points = [(Slice(i, j, 0, shots[i]), size) for i in numbers for j, size in enumerate(sizes[i])]
        yield from _parted(points, pubs[numbers[0]].bits, max_shots)


def _parted(points: Sequence[tuple[Slice, int]], bits: int, max_shots: int) -> Iterator[_Slices]:
    """Yield the slices of each job; points with similar shots are together, so that few are rounded up."""
    parts = [(part, size) for point, size in points for part in _split(point, size, bits, max_shots)]
    parts.sort(key=lambda sized: (-sized[0].shots, sized[0]))
    rest = _Slices(tuple(part for part, _ in parts), tuple(size for _, size in parts), bits)
    while rest and not rest.fits(max_shots):
        end = bisect.bisect_left(range(1, len(rest) + 1), 1, key=lambda end: int(not rest[:end].fits(max_shots)))
        yield rest[:end]
        rest = rest[end:]
    if rest:
        yield rest


def _split(point: Slice, size: int, bits: int, max_shots: int) -> list[Slice]:
    """Split a point into as few slices as one job takes each; they differ by one shot at most."""
    if size <= MAX_ROWS_BYTES and point.shots <= min(max_shots, MAX_RESULT_BYTES // result_bytes(bits)):
        return [point]
    number = -(-point.shots * result_bytes(bits) // MAX_RESULT_BYTES)
    while True:
        base, rest = divmod(point.shots, number)
        slices = [point._replace(part=part, shots=base + (part < rest)) for part in range(number)]
        if _Slices((slices[0],), (size,), bits).fits(max_shots):
            return slices
        number += 1


def _batch(round_: RoundKey, pubs: Mapping[int, QuilPub], parts: _Slices, max_shots: int, seed: int) -> JobBatch:
    slices = tuple(sorted(parts.slices))
    key = JobKey(round_, *slices[0][:3])
    row_shots, rows = replace(parts, slices=slices).rows(max_shots)
    slice_of = np.repeat(np.arange(len(slices)), rows)
    slice_of = np.random.default_rng(int(key.sampling_value(seed), 16)).permutation(slice_of)
    theta = [pubs[part.pub].theta[part.point].tolist() for part in slices]
    basis = [pubs[part.pub].basis[part.point].tolist() for part in slices]
    values = {"basis": [basis[i] for i in slice_of]} | ({"theta": [theta[i] for i in slice_of]} if theta[0] else {})
    return JobBatch(key, slices, ParameterRows(row_shots, tuple(slice_of.tolist()), values))
