"""Rounds of a run with error mitigation, derived from those of the same run without it: no further dry run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from hybridloop.algorithms.estimation.final import MIN_PILOT_SHOTS
from hybridloop.algorithms.mitigation.readout import CALIBRATION_SHOTS
from hybridloop.algorithms.mitigation.zne import TWIRLS, ZeroNoiseExtrapolation
from hybridloop.compiler.gate_counts import GateCounts
from hybridloop.estimate.dry_run import FINAL, OTHER, DryRound, PubRequest
from hybridloop.estimate.noise_bias import EXTRAPOLATIONS
from hybridloop.estimate.pricing import ProgramSize, ProgramSizes
from hybridloop.settings import MitigationName

PAULIS_PER_GATE = 3.0  # of a twirled gate: on each of its qubits one before and one after it, each with chance 3/4


def mitigated_rounds(
    rounds: Sequence[DryRound], sizes: ProgramSizes, profile: str, methods: Sequence[MitigationName], qubits: int
) -> tuple[tuple[DryRound, ...], ProgramSizes]:
    """Return the rounds of the same run with readout mitigation and zero-noise extrapolation, and all circuits' sizes.

    Readout mitigation measures two circuits before the search and in each final round. Extrapolation replaces each
    group's final circuit by one for each scale factor and twirl. With weights w the variance of the sum is the same
    with |w| Σ|w| times the group's shots at a factor (Neyman allocation), and at least the pilot's minimum. Circuits
    that only the final measurement has are no group's, and stay.
    """
    requests = {pub.circuit for round_ in rounds for pub in round_.pubs}
    known = {(name, profile): sizes.size(name, profile) or sizes.largest(profile) for name in requests}
    sizes = ProgramSizes(sizes.circuits, known)
    searched = {pub.circuit for round_ in rounds if round_.phase != FINAL for pub in round_.pubs}
    calibration = _calibration(sizes, profile, qubits) if MitigationName.READOUT in methods else ()
    done: dict[str, int] = {}
    mitigated = [DryRound(OTHER, calibration)] if calibration else []
    for round_ in rounds:
        if round_.phase != FINAL:
            mitigated.append(round_)
            continue
        pubs = list(calibration)
        for pub in round_.pubs:
            is_group = pub.circuit in searched or not searched
            if is_group and EXTRAPOLATIONS & set(methods):
                pubs += _folded(pub, sizes, profile, done)
            else:
                pubs.append(pub)
        mitigated.append(DryRound(FINAL, tuple(pubs)))
    return tuple(mitigated), sizes


def _folded(pub: PubRequest, sizes: ProgramSizes, profile: str, done: dict[str, int]) -> Iterator[PubRequest]:
    """Yield a group's circuits at all scale factors; `done` has the shots of earlier rounds over all of them."""
    zne = ZeroNoiseExtrapolation()
    total = sum(map(abs, zne.weights))
    size = sizes.known[pub.circuit, profile]
    before = done.get(pub.circuit, 0)
    done[pub.circuit] = before + pub.shots
    for scale, weight in zip(zne.scales, zne.weights, strict=True):
        name = f"{pub.circuit} folded {scale}"
        sizes.known[name, profile] = _folded_size(size, scale)
        factor = abs(weight) * total / TWIRLS
        so_far, after = (
            max(MIN_PILOT_SHOTS, math.ceil(factor * shots)) if shots else 0 for shots in (before, before + pub.shots)
        )
        if after > so_far:
            yield PubRequest(name, TWIRLS * pub.points, after - so_far)


def _folded_size(size: ProgramSize, scale: int) -> ProgramSize:
    counts = size.counts
    one_qubit = scale * (counts.one_qubit + PAULIS_PER_GATE * counts.two_qubit)
    two_qubit = scale * counts.two_qubit
    folded = GateCounts(counts.qubits, round(one_qubit), two_qubit, counts.measurements, counts.resets)
    return ProgramSize(folded, scale * size.depth)


def _calibration(sizes: ProgramSizes, profile: str, qubits: int) -> tuple[PubRequest, ...]:
    """Return the circuits that prepare all zeros and all ones."""
    requests = []
    for name, flips in (("all zeros", 0), ("all ones", qubits)):
        sizes.known[name, profile] = ProgramSize(GateCounts(qubits, flips, 0, qubits), 1)
        requests.append(PubRequest(name, 1, CALIBRATION_SHOTS))
    return tuple(requests)
