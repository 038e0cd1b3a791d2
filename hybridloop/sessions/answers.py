"""A round's answer from the counts of its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hybridloop.algorithms.rounds import Counts, Lost, Measured
from hybridloop.sessions.journal import PubRecord
from hybridloop.sessions.results import merge_counts, spread


def measured(pubs: Sequence[PubRecord], found: Mapping[tuple[int, int, int], Counts | Lost]) -> list[Measured]:
    """A round's answer from the counts of its places (PUB, point, part); a point that lost a part is lost."""
    parts: dict[tuple[int, int], list[Counts | Lost]] = {}
    for pub, point, part in sorted(found):
        parts.setdefault((pub, point), []).append(found[pub, point, part])
    return [
        Measured(pub.points, tuple(_point(parts[i, j], pub) for j in range(len(pub.points))))
        for i, pub in enumerate(pubs)
    ]


def _point(parts: Sequence[Counts | Lost], pub: PubRecord) -> Counts | Lost:
    counts = []
    for part in parts:
        if isinstance(part, Lost):
            return part
        counts.append(part)
    return spread(merge_counts(counts), pub.measured, pub.num_clbits)
