"""Rounds that earlier revisions of a run's result took: a later one takes them again, and pools what it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import SAME_RAD, Counts, FailedPoint, MeasuredPub, merge_counts
from hybridloop.compiler.programs import PubDescription, describe_pub
from hybridloop.errors import ReplayDiverged
from hybridloop.journal import RoundRecord
from hybridloop.journal.held_run import HeldRun
from hybridloop.journal.revisions import revision_of_stream
from hybridloop.tasks.replay.same_round import check_same
from hybridloop.tasks.submission.results import stored_points

_NOT_STORED = FailedPoint("no earlier revision measured it")


@dataclass(slots=True, eq=False)
class _Earlier:
    """A stored round with the points of its PUBs that were given out."""

    record: RoundRecord
    measured: Sequence[MeasuredPub]
    used: set[tuple[int, int]] = field(default_factory=set)
    is_taken: bool = False


class EarlierRounds:
    """The complete rounds of earlier revisions; each answers once, as a whole or point by point.

    A later revision has other settings, so its rounds are found by what they measure, and not by their numbers. The
    same requests get the same answers, so that a revision which was interrupted is replayed to the same rounds.
    """

    def __init__(self, revisions: Iterable[Iterable[RoundRecord]]) -> None:
        self._revisions = [
            [_Earlier(record, stored_points(record)) for record in records if record.complete] for records in revisions
        ]

    @classmethod
    def of(cls, run: HeldRun) -> Self:
        """Return those of a run, which has none before its first extension."""
        if run.revision == 1:
            return cls([])
        by_revision = {number: list[RoundRecord]() for number in range(1, run.revision)}
        for record in run.journal.rounds(run.uid):
            if (revision := revision_of_stream(record.stream)) in by_revision:
                by_revision[revision].append(record)
        return cls(by_revision.values())

    @property
    def records(self) -> Iterator[RoundRecord]:
        """All these rounds."""
        return (earlier.record for earlier in self._all())

    def take(self, pubs: Sequence[SamplerPub]) -> RoundRecord | None:
        """Return the first round that measured exactly these PUBs, and was not taken before; None without one."""
        if not self._revisions:
            return None
        descriptions, shots = [describe_pub(pub) for pub in pubs], [pub.shots for pub in pubs]
        kinds = [(each.fingerprint, number, len(each.points)) for each, number in zip(descriptions, shots, strict=True)]
        for earlier in self._all():
            record = earlier.record
            if earlier.is_taken or earlier.used:
                continue
            if kinds == [(pub.fingerprint, pub.shots, len(pub.points)) for pub in record.pubs] and _is_same(
                record, descriptions, shots
            ):
                earlier.is_taken = True
                return record
        return None

    def left(self, pubs: Sequence[SamplerPub]) -> list[list[MeasuredPub]]:
        """Return what each revision measured of these PUBs, in any number of shots, and no round has taken.

        For each revision that has any, it is one result for each PUB; a point without counts is a `FailedPoint`.
        """
        if not self._revisions:
            return []
        descriptions = [describe_pub(pub) for pub in pubs]
        found = [_left(revision, descriptions) for revision in self._revisions]
        return [each for each in found if any(isinstance(counts, Counts) for pub in each for counts in pub)]

    def _all(self) -> Iterator[_Earlier]:
        return (earlier for revision in self._revisions for earlier in revision)


NO_EARLIER = EarlierRounds(())


def _is_same(record: RoundRecord, descriptions: Sequence[PubDescription], shots: Sequence[int | None]) -> bool:
    try:
        check_same(record, descriptions, shots, record.target, SAME_RAD)
    except ReplayDiverged:
        return False
    return True


def _left(revision: Sequence[_Earlier], asked: Sequence[PubDescription]) -> list[MeasuredPub]:
    """Return the counts of each point that the rounds of a revision have, and mark them as used.

    A circuit that is asked for several times gets those of as many PUBs of a round, in their order.
    """
    parts: dict[tuple[int, int], list[Counts]] = {}
    for earlier in revision:
        if earlier.is_taken:
            continue
        occurrences = Counter[tuple[tuple[int, int], ...]]()
        for place, pub in enumerate(earlier.record.pubs):
            alike = [number for number, each in enumerate(asked) if each.fingerprint == pub.fingerprint]
            rows: dict[int, list[tuple[int, int]]] = {}
            for number in alike:
                for row, point in _pairs(asked[number], pub.slots, pub.points):
                    rows.setdefault(point, []).append((number, row))
            for point, matches in rows.items():
                counts, choice = earlier.measured[place][point], occurrences[tuple(matches)] % len(matches)
                occurrences[tuple(matches)] += 1
                if isinstance(counts, Counts) and (place, point) not in earlier.used:
                    earlier.used.add((place, point))
                    parts.setdefault(matches[choice], []).append(counts)
    return [
        MeasuredPub(
            each.points,
            tuple(
                merge_counts(parts[number, row]) if (number, row) in parts else _NOT_STORED
                for row in range(len(each.points))
            ),
        )
        for number, each in enumerate(asked)
    ]


def _pairs(asked: PubDescription, slots: NDArray[np.float64], points: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Yield the rows of the asked points and of the stored ones that are the same."""
    for ours, theirs in ((asked.slots, slots), (asked.points, points)):
        if ours.shape[1:] != theirs.shape[1:]:
            return
    apart = np.zeros((len(asked.points), len(points)))
    for ours, theirs in ((asked.slots, slots), (asked.points, points)):
        if ours.size and theirs.size:
            apart = np.maximum(apart, np.abs(ours[:, None, :] - theirs[None, :, :]).max(axis=2))
    for row, point in np.argwhere(apart <= SAME_RAD):
        yield int(row), int(point)
