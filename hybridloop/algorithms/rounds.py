"""The seam between numerics and the world: one callable that measures a round of circuits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

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


class RunRound(Protocol):
    """Measure a round: all jobs of it are in flight together, none needs another's answer.

    Returns one entry per PUB, each with one Counts or Lost per parameter point, in the order asked (a PUB whose
    parameter values have several dimensions is read in C order). One call is one round: ask for all you need at
    once. Every PUB states its shots.
    """

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[list[Counts | Lost]]: ...


def run_round_on(sampler: BaseSamplerV2) -> RunRound:
    """The seam over any `BaseSamplerV2`; the circuits' clbits must be those of its registers, in order."""

    def run_round(pubs: Sequence[SamplerPub], /) -> list[list[Counts | Lost]]:
        return [_points(pub, result.join_data()) for pub, result in zip(pubs, sampler.run(pubs).result(), strict=True)]

    def _points(pub: SamplerPub, bits: object) -> list[Counts | Lost]:
        array = bits.array.reshape(-1, *bits.array.shape[-2:])  # type: ignore[attr-defined]
        return [_tally(point, pub.circuit.num_clbits) for point in array]

    def _tally(shots: NDArray[np.uint8], num_bits: int) -> Counts:
        outcomes, counts = np.unique(shots, axis=0, return_counts=True)
        return Counts(num_bits, outcomes, counts.astype(np.int64))

    return run_round
