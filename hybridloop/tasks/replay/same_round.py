"""Replay check: a requested round must be the same as the recorded one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import SAME_RAD
from hybridloop.compiler.programs import PubDescription, describe_pub
from hybridloop.errors import ReplayDiverged
from hybridloop.journal import PubRecord, RoundRecord

SAME_UNTOLD_RAD = 1e-9  # for algorithms that do not get the recorded points back and continue from their own


def check_same(
    record: RoundRecord,
    pubs: Sequence[PubDescription],
    shots: Sequence[int | None],
    target: str,
    same_rad: float,
    shared_seed: int | None = None,
) -> None:
    """Raise ReplayDiverged with the first difference between the requested round and the recorded one."""
    difference = _difference(record, pubs, shots, target, same_rad) or _seed_difference(record, shared_seed)
    if difference:
        raise ReplayDiverged(f"round {record.sequence} of stream {record.stream!r}", difference)


def check_same_pubs(record: RoundRecord, pubs: Sequence[SamplerPub]) -> None:
    """Raise ReplayDiverged as `check_same`, for PUBs whose algorithm gets the recorded points back."""
    described, shots = [describe_pub(pub) for pub in pubs], [pub.shots for pub in pubs]
    check_same(record, described, shots, record.target, SAME_RAD)


def difference_of(record: RoundRecord, pubs: Sequence[SamplerPub]) -> str:
    """Return the first difference that `check_same_pubs` finds; empty without one."""
    try:
        check_same_pubs(record, pubs)
    except ReplayDiverged as diverged:
        return diverged.difference
    return ""


def _difference(
    record: RoundRecord, pubs: Sequence[PubDescription], shots: Sequence[int | None], target: str, same_rad: float
) -> str:
    if record.target != target:
        return f"it is for target {target}, and was recorded on {record.target}"
    if len(record.pubs) != len(pubs):
        return f"it has {len(pubs)} circuit(s), and was recorded with {len(record.pubs)}"
    for i, (recorded, pub, pub_shots) in enumerate(zip(record.pubs, pubs, shots, strict=True)):
        if difference := _pub_difference(recorded, pub, pub_shots, same_rad):
            return f"circuit {i} ({pub.circuit.name}) {difference}"
    return ""


def _seed_difference(record: RoundRecord, shared_seed: int | None) -> str:
    if record.shared_seed == shared_seed:
        return ""
    asked, recorded = ("no seed" if seed is None else f"seed {seed}" for seed in (shared_seed, record.shared_seed))
    return f"it has {asked}, and was recorded with {recorded}"


def _pub_difference(recorded: PubRecord, pub: PubDescription, shots: int | None, same_rad: float) -> str:
    if recorded.fingerprint != pub.fingerprint:
        return "has other gates, qubits or measurements than the recorded one"
    if recorded.shots != shots:
        return f"asks for {shots} shots, and was recorded with {recorded.shots}"
    if recorded.points.shape != pub.points.shape:
        return f"has {_shape(pub.points)}, and was recorded with {_shape(recorded.points)}"
    for kind, before, now in (("angle", recorded.slots, pub.slots), ("parameter", recorded.points, pub.points)):
        distance = np.abs(before - now)
        if distance.size and not distance.max() <= same_rad:
            point, index = np.unravel_index(int(np.argmax(distance)), distance.shape)
            values = f"{now[point, index]:.9g} rad, and was recorded with {before[point, index]:.9g}"
            return f"has at point {point}, {kind} {index}, {values}"
    return ""


def _shape(points: NDArray[np.float64]) -> str:
    return f"{points.shape[0]} point(s) of {points.shape[1]} parameter(s)"
