"""`RunRound`: the callable through which algorithms measure one round of circuits.

Algorithms know nothing else of jobs, sessions or the service. A round is a batch of jobs that are in flight together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, overload, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives import BaseSamplerV2
from qiskit.primitives.containers.sampler_pub import SamplerPub

FEW_SHOTS = 0.04  # of those of whole jobs: they change a standard error by half of that, its planning margin's half
_SHARE_DECIMALS = 7  # of a share of a shot
_WORD = 8  # bytes of a number of NumPy


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Measurement counts of one circuit, over all its classical bits in the order of `circuit.clbits`.

    `outcomes` has shape (k, ceil(num_bits / 8)): one row of packed bits per distinct outcome, most significant
    bit first as in Qiskit's `BitArray`, rows ascending. `counts` has shape (k,) and sums to `shots`.
    `exact` is true for a target that does not sample: the counts are its distribution, scaled to the shots and rounded.
    """

    num_bits: int
    outcomes: NDArray[np.uint8]
    counts: NDArray[np.int64]
    exact: bool = False

    @property
    def shots(self) -> int:
        return int(self.counts.sum())

    @property
    def bits(self) -> NDArray[np.uint8]:
        """The bits of each outcome, lowest bit first: (k, num_bits)."""
        return np.unpackbits(self.outcomes, axis=1)[:, ::-1][:, : self.num_bits]

    @classmethod
    def from_bitstrings(cls, counts: Mapping[str, int], *, exact: bool = False) -> Counts:
        """Build counts from Qiskit's bit strings (rightmost character = bit 0), all of one length, none empty.

        >>> Counts.from_bitstrings({"10": 3, "01": 1}).bitstrings()
        {'01': 1, '10': 3}
        """
        keys = sorted(counts)
        num_bits = len(keys[0])
        width = (num_bits + 7) // 8
        packed = b"".join(int(key, 2).to_bytes(width, "big") for key in keys)
        outcomes = np.frombuffer(packed, dtype=np.uint8).reshape(len(keys), width)
        return cls(num_bits, outcomes, np.array([counts[key] for key in keys], dtype=np.int64), exact)

    @classmethod
    def from_shots(cls, num_bits: int, shots: NDArray[np.uint8]) -> Counts:
        """Count shots: one row of packed bits each, as in `outcomes`.

        >>> Counts.from_shots(2, np.array([[3], [0], [3]], dtype=np.uint8)).bitstrings()
        {'00': 1, '11': 2}
        """
        width = shots.shape[1]
        if width > _WORD:
            outcomes, counts = np.unique(shots, axis=0, return_counts=True)
        else:  # numbers are sorted ten times as fast as rows
            words = np.zeros((len(shots), _WORD), dtype=np.uint8)
            words[:, _WORD - width :] = shots
            numbers, counts = np.unique(words.view(">u8")[:, 0].astype(np.uint64), return_counts=True)
            words = numbers.astype(">u8").view(np.uint8).reshape(-1, _WORD)
            outcomes = np.ascontiguousarray(words[:, _WORD - width :])
        return cls(num_bits, outcomes, counts.astype(np.int64))

    def bitstrings(self) -> dict[str, int]:
        """Return the counts by Qiskit bit string, in ascending order."""
        return {
            format(int.from_bytes(row.tobytes(), "big"), f"0{self.num_bits}b"): int(count)
            for row, count in zip(self.outcomes, self.counts, strict=True)
        }


def merge_counts(parts: Sequence[Counts]) -> Counts:
    """Return the sum of the counts of one point's parts."""
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([part.outcomes for part in parts])
    outcomes, where = np.unique(rows, axis=0, return_inverse=True)
    counts = np.zeros(len(outcomes), dtype=np.int64)
    np.add.at(counts, where.reshape(-1), np.concatenate([part.counts for part in parts]))
    return Counts(parts[0].num_bits, outcomes, counts, all(part.exact for part in parts))


@dataclass(frozen=True, slots=True)
class FailedPoint:
    """A parameter point without counts: its job failed for good, for the reason given."""

    reason: str


@dataclass(frozen=True, slots=True)
class UnusablePoint(FailedPoint):
    """A parameter point with counts that cannot be used; running the same circuit again would not help."""


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredPub(Sequence[Counts | FailedPoint]):
    """The result of one PUB: its measured points, and one Counts or FailedPoint for each.

    `points` has shape (k, parameters), in radians, columns in the order of `circuit.parameters`. A replayed round holds
    the recorded points. Optimizers receive these points, so they never depend on computing a point again.
    """

    points: NDArray[np.float64]
    counts: tuple[Counts | FailedPoint, ...]

    def __len__(self) -> int:
        return len(self.counts)

    @overload
    def __getitem__(self, index: int) -> Counts | FailedPoint: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Counts | FailedPoint]: ...
    def __getitem__(self, index: int | slice) -> Counts | FailedPoint | Sequence[Counts | FailedPoint]:
        return self.counts[index]


class RunRound(Protocol):
    """Measure one round: all its jobs are in flight together, and none needs the result of another.

    Return one entry per PUB, with its points in the requested order (parameter values of several dimensions are read in
    C order). One call is one round: request everything the next step needs at once. Every PUB must state its shots.
    """

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]: ...


def whole_jobs(shots: int, job_shots: int | None) -> int:
    """Return computed shots of a circuit without those few that would take one more job, which has a price of its own.

    `job_shots` are the most of a job; with None the shots stay.

    >>> whole_jobs(10_001, 10_000), whole_jobs(12_000, 10_000), whole_jobs(10_001, None)
    (10000, 12000, 10001)
    """
    rest = 0 if job_shots is None else shots % job_shots
    return shots - rest if rest <= FEW_SHOTS * (shots - rest) else shots


Aside = Callable[[], Sequence[SamplerPub]]


def proportional_counts(weights: NDArray[np.float64], shots: int) -> NDArray[np.int64]:
    """Return counts (k,) in proportion to weights (k,) that sum to the shots, by largest remainder (A. Hamilton).

    Fractions are compared at a resolution of 1e-7 and ties fall to the first, so that the last bits of a simulation's
    arithmetic do not show.
    """
    shares = np.round(weights / weights.sum() * shots, _SHARE_DECIMALS)
    counts: NDArray[np.int64] = np.floor(shares).astype(np.int64)
    by_remainder = np.argsort(counts - shares, kind="stable")
    counts[by_remainder[: shots - int(counts.sum())]] += 1
    return counts


@runtime_checkable
class CappedRounds(Protocol):
    """Additional member of a `RunRound` whose run has caps on jobs, shots or cost."""

    def share(self, aside: Aside | None) -> AbstractContextManager[None]:
        """Keep a share of the caps from the rounds of a block: that of the PUBs which are measured after it.

        `aside` returns those as they are planned at the moment: each round of the block may change their shots.
        At most half of each cap is kept, but as much as a minimal round of these PUBs takes. A round of the block that
        does not fit beside it raises RoundTooLarge. With None nothing is kept, and a round gets as many of its shots as
        fit; RoundTooLarge is raised where not even a minimal round fits.
        """

    def larger_cap(self) -> str:
        """Return the command line's options by which the last rounds that did not fit would, after all that was spent.

        They are empty where each round fitted.
        """


def larger_cap_of(run_round: RunRound) -> str:
    """Return `CappedRounds.larger_cap` of a `RunRound`; empty without caps."""
    return run_round.larger_cap() if isinstance(run_round, CappedRounds) else ""


def share_caps(run_round: RunRound, aside: Aside | None) -> AbstractContextManager[None]:
    """Return `CappedRounds.share` of a `RunRound`; without caps, a block without effect."""
    return run_round.share(aside) if isinstance(run_round, CappedRounds) else nullcontext()


@runtime_checkable
class ExtendedRounds(Protocol):
    """Additional member of a `RunRound` whose run has ended before, and was extended."""

    def left(self, pubs: Sequence[SamplerPub], /) -> list[list[MeasuredPub]]:
        """Return what was measured of these PUBs before, in any number of shots, and was not returned by a round.

        There is one list for each earlier stage of the run that has counts of any of them, with a result for each PUB.
        """


def left_of(run_round: RunRound, pubs: Sequence[SamplerPub]) -> list[list[MeasuredPub]]:
    """Return `ExtendedRounds.left` of a `RunRound`; nothing where its run has not ended before."""
    return run_round.left(pubs) if pubs and isinstance(run_round, ExtendedRounds) else []


@dataclass(slots=True)
class RoundCounter:
    """A `RunRound` that counts the rounds, circuits and shots passing through it."""

    run_round: RunRound
    rounds: int = 0
    circuits: int = 0
    shots: int = 0

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        measured = self.run_round(pubs)
        self.rounds += 1
        self.circuits += sum(pub.size for pub in pubs)
        self.shots += sum(pub.size * int(pub.shots) for pub in pubs)
        return measured

    def share(self, aside: Aside | None) -> AbstractContextManager[None]:
        """Share the caps of the counted rounds."""
        return share_caps(self.run_round, aside)

    def larger_cap(self) -> str:
        """Return the options of the counted rounds."""
        return larger_cap_of(self.run_round)

    def left(self, pubs: Sequence[SamplerPub], /) -> list[list[MeasuredPub]]:
        """Return what was measured before, without counting it."""
        return left_of(self.run_round, pubs)


def pub_points(pub: SamplerPub) -> NDArray[np.float64]:
    """Return a PUB's parameter values as (points, parameters), columns in the order of `circuit.parameters`."""
    values: NDArray[np.float64] = pub.parameter_values.as_array(list(pub.circuit.parameters))
    return values.reshape(pub.size, pub.circuit.num_parameters)


def run_round_from_sampler(sampler: BaseSamplerV2) -> RunRound:
    """Return a `RunRound` over any Qiskit `BaseSamplerV2`.

    The classical bits of each circuit must be those of its registers, in order.
    """

    def run_round(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        results = zip(pubs, sampler.run(pubs).result(), strict=True)
        return [MeasuredPub(pub_points(pub), _counts(pub, result.join_data().array)) for pub, result in results]

    def _counts(pub: SamplerPub, shots: NDArray[np.uint8]) -> tuple[Counts, ...]:
        points = shots.reshape(-1, *shots.shape[-2:])
        return tuple(Counts.from_shots(pub.circuit.num_clbits, point) for point in points)

    return run_round


# By which a recorded point may differ from a computed one. An optimizer of ours that gets the recorded points back
# computes the next ones within some 1e-13 on any machine: it does not depend on the last digits of its own points.
SAME_RAD = 1e-6


class KeptCounts:
    """A `RunRound` that keeps the counts of some circuits, by their place among them, with the point measured."""

    def __init__(self, run_round: RunRound, circuits: Sequence[QuantumCircuit]) -> None:
        self._run_round = run_round
        self._place = {id(circuit): place for place, circuit in enumerate(circuits)}
        self._found: list[tuple[int, NDArray[np.float64], Counts]] = []

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        results = self._run_round(pubs)
        self._keep(pubs, results)
        return results

    def left(self, pubs: Sequence[SamplerPub], /) -> list[list[MeasuredPub]]:
        """Return what was measured before, which counts too."""
        stages = left_of(self._run_round, pubs)
        for stage in stages:
            self._keep(pubs, stage)
        return stages

    def _keep(self, pubs: Sequence[SamplerPub], results: Sequence[MeasuredPub]) -> None:
        for pub, result in zip(pubs, results, strict=True):
            place = self._place.get(id(pub.circuit))
            if place is not None:
                found = zip(result.points, result, strict=True)
                self._found += [(place, point, counts) for point, counts in found if isinstance(counts, Counts)]

    def at(self, point: NDArray[np.float64]) -> dict[int, list[Counts]]:
        """Return the counts of each circuit at a point (n,), whose last digits may be those of another machine."""
        kept: dict[int, list[Counts]] = {}
        for place, measured, counts in self._found:
            if np.allclose(measured, point, rtol=0.0, atol=SAME_RAD):
                kept.setdefault(place, []).append(counts)
        return kept
