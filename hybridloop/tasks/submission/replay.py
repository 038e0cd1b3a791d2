"""Whether a round that is asked for is the one that was written down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hybridloop.compiler.programs import PubDescription
from hybridloop.errors import ReplayDiverged
from hybridloop.journal import PubRecord, RoundRecord

# An optimizer that is told recorded points computes the next ones within some 1e-13 on any machine; its answer to a
# point does not depend on the last digits, because the recorded point is handed back.
SAME_RAD = 1e-6
SAME_UNTOLD_RAD = 1e-9  # for algorithms that are not told the recorded points, and go on from their own


def check_same(
    record: RoundRecord, asked: Sequence[PubDescription], shots: Sequence[int | None], target: str, same_rad: float
) -> None:
    """Raise ReplayDiverged, which names the first difference, unless the round asks for what was recorded."""
    difference = _difference(record, asked, shots, target, same_rad)
    if difference:
        raise ReplayDiverged(f"round {record.sequence} of stream {record.stream!r}", difference)


def _difference(
    record: RoundRecord, asked: Sequence[PubDescription], shots: Sequence[int | None], target: str, same_rad: float
) -> str:
    if record.target != target:
        return f"it is for target {target}, and was recorded on {record.target}"
    if len(record.pubs) != len(asked):
        return f"it has {len(asked)} circuit(s), and was recorded with {len(record.pubs)}"
    for i, (pub, each, wanted) in enumerate(zip(record.pubs, asked, shots, strict=True)):
        if said := _pub_difference(pub, each, wanted, same_rad):
            return f"circuit {i} ({each.circuit.name}) {said}"
    return ""


def _pub_difference(pub: PubRecord, asked: PubDescription, shots: int | None, same_rad: float) -> str:
    if pub.fingerprint != asked.fingerprint:
        return "has other gates, qubits or measurements than the recorded one"
    if pub.shots != shots:
        return f"asks for {shots} shots, and was recorded with {pub.shots}"
    if pub.points.shape != asked.points.shape:
        return f"has {_shape(asked.points)}, and was recorded with {_shape(pub.points)}"
    for what, recorded, now in (("angle", pub.slots, asked.slots), ("parameter", pub.points, asked.points)):
        apart = np.abs(recorded - now)
        if apart.size and not apart.max() <= same_rad:
            point, index = np.unravel_index(int(np.nanargmax(apart)), apart.shape)
            values = f"{now[point, index]:.9g} rad, and was recorded with {recorded[point, index]:.9g}"
            return f"has at point {point}, {what} {index}, {values}"
    return ""


def _shape(points: NDArray[np.float64]) -> str:
    return f"{points.shape[0]} point(s) of {points.shape[1]} parameter(s)"
