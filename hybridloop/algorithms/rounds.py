"""The seam between numerics and the world: one callable that measures a round of circuits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import BaseSamplerV2
from qiskit.primitives.containers.sampler_pub import SamplerPub


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """How often each outcome was seen, over all classical bits of a circuit in the order of `circuit.clbits`.

    `outcomes` has shape (k, ceil(num_bits / 8)): one row of packed bits per distinct outcome, most significant
    bit first as in Qiskit's `BitArray`, rows ascending. `counts` has shape (k,) and sums to `shots`.
    `exact` says that the target does not sample: the counts are its distribution scaled to the shots and rounded.
    """

    num_bits: int
    outcomes: NDArray[np.uint8]
    counts: NDArray[np.int64]
    exact: bool = False

    @property
    def shots(self) -> int:
        """Number of shots, the sum of the counts."""
        return int(self.counts.sum())

    @classmethod
    def from_bitstrings(cls, counts: Mapping[str, int], *, exact: bool = False) -> Counts:
        """Counts from Qiskit's bit strings (rightmost character = bit 0); all of one length, none empty.

        >>> Counts.from_bitstrings({"10": 3, "01": 1}).bitstrings()
        {'01': 1, '10': 3}
        """
        keys = sorted(counts)
        num_bits = len(keys[0])
        width = (num_bits + 7) // 8
        packed = b"".join(int(key, 2).to_bytes(width, "big") for key in keys)
        outcomes = np.frombuffer(packed, dtype=np.uint8).reshape(len(keys), width)
        return cls(num_bits, outcomes, np.array([counts[key] for key in keys], dtype=np.int64), exact)

    def bitstrings(self) -> dict[str, int]:
        """The counts under Qiskit's bit strings, ascending."""
        return {
            format(int.from_bytes(row.tobytes(), "big"), f"0{self.num_bits}b"): int(count)
            for row, count in zip(self.outcomes, self.counts, strict=True)
        }


@dataclass(frozen=True, slots=True)
class Lost:
    """A point without counts: its job was lost for good, for the reason given."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unreadable(Lost):
    """A point whose counts came and say nothing; the same circuit again would say no more."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured(Sequence[Counts | Lost]):
    """A PUB's answer: the points (k, parameters) as they were measured, and one Counts or Lost for each.

    `points` are in radians, columns in the order of `circuit.parameters`. In a replayed round they are the recorded
    ones, which is what an optimizer is to be told, so that it never depends on computing a point again.
    """

    points: NDArray[np.float64]
    counts: tuple[Counts | Lost, ...]

    def __len__(self) -> int:
        return len(self.counts)

    @overload
    def __getitem__(self, index: int) -> Counts | Lost: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Counts | Lost]: ...
    def __getitem__(self, index: int | slice) -> Counts | Lost | Sequence[Counts | Lost]:
        return self.counts[index]


class RunRound(Protocol):
    """Measure a round: all jobs of it are in flight together, none needs another's answer.

    Returns one entry per PUB, with its points in the order asked (parameter values of several dimensions are read in C
    order). One call is one round: ask for all you need at once. Every PUB states its shots.
    """

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[Measured]: ...


@dataclass(slots=True)
class CountedRounds:
    """Runs rounds and counts what they took."""

    run_round: RunRound
    rounds: int = 0
    circuits: int = 0
    shots: int = 0

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[Measured]:
        """Measure a round."""
        self.rounds += 1
        self.circuits += sum(pub.size for pub in pubs)
        self.shots += sum(pub.size * int(pub.shots) for pub in pubs)
        return self.run_round(pubs)


def points_of(pub: SamplerPub) -> NDArray[np.float64]:
    """The PUB's parameter values as (points, parameters), columns in the order of `circuit.parameters`."""
    values: NDArray[np.float64] = pub.parameter_values.as_array(list(pub.circuit.parameters))
    return values.reshape(pub.size, pub.circuit.num_parameters)


def run_round_on(sampler: BaseSamplerV2) -> RunRound:
    """The seam over any `BaseSamplerV2`; the circuits' clbits must be those of its registers, in order."""

    def run_round(pubs: Sequence[SamplerPub], /) -> list[Measured]:
        results = sampler.run(pubs).result()
        return [
            Measured(points_of(pub), tuple(_counts(pub, result.join_data())))
            for pub, result in zip(pubs, results, strict=True)
        ]

    def _counts(pub: SamplerPub, bits: object) -> list[Counts]:
        array = bits.array.reshape(-1, *bits.array.shape[-2:])  # type: ignore[attr-defined]
        return [_tally(point, pub.circuit.num_clbits) for point in array]

    def _tally(shots: NDArray[np.uint8], num_bits: int) -> Counts:
        outcomes, counts = np.unique(shots, axis=0, return_counts=True)
        return Counts(num_bits, outcomes, counts.astype(np.int64))

    return run_round
