"""What a job's result says, as counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from hybridloop.algorithms.rounds import Counts

RESULTS_V2 = "microsoft.quantum-results.v2"


class UnreadableResult(ValueError):
    """The bytes are not what the format promises."""


def read_results_v2(data: bytes, num_bits: int, *, exact: bool, shots: int) -> Counts:
    """Counts from a `microsoft.quantum-results.v2` document of one program with one array of num_bits bits.

    Outcomes list the highest classical bit first, as Qiskit's bit strings do. Outcomes with a lost qubit (a mark
    that is neither 0 nor 1) are left out, as the SDK leaves them out, so that the counts may sum to less than the
    shots. Raises UnreadableResult.
    """
    try:
        document = json.loads(data)
        histogram = document["Results"][0]["Histogram"]
        tally = _tally(histogram, num_bits)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UnreadableResult(f"{type(error).__name__}: {error}") from error
    if not tally or not 0 < sum(tally.values()) <= shots:
        raise UnreadableResult(f"{sum(tally.values())} counts for {shots} shots")
    return Counts.from_bitstrings(tally, exact=exact)


def _tally(histogram: Sequence[Mapping[str, object]], num_bits: int) -> dict[str, int]:
    tally: dict[str, int] = {}
    for row in histogram:
        outcome = row["Outcome"]
        bits = "".join(map(str, outcome)) if isinstance(outcome, list) else str(outcome)
        if len(bits) != num_bits:
            raise UnreadableResult(f"an outcome of {len(bits)} bits where the program records {num_bits}")
        if set(bits) <= {"0", "1"}:
            tally[bits] = tally.get(bits, 0) + int(str(row["Count"]))
    return tally


def merge_counts(parts: Sequence[Counts]) -> Counts:
    """The counts of several parts of one point, added up."""
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([part.outcomes for part in parts])
    outcomes, where = np.unique(rows, axis=0, return_inverse=True)
    counts = np.zeros(len(outcomes), dtype=np.int64)
    np.add.at(counts, where.reshape(-1), np.concatenate([part.counts for part in parts]))
    return Counts(parts[0].num_bits, outcomes, counts, all(part.exact for part in parts))


def spread(counts: Counts, positions: Sequence[int], num_bits: int) -> Counts:
    """Counts over the measured bits as counts over all num_bits classical bits; the others read 0.

    `positions[j]` is the classical bit that the program's bit j was measured into.
    """
    if list(positions) == list(range(num_bits)):
        return counts
    bits = np.unpackbits(counts.outcomes, axis=1)[:, ::-1][:, : counts.num_bits]
    wide = np.zeros((len(bits), 8 * ((num_bits + 7) // 8)), dtype=np.uint8)
    wide[:, list(positions)] = bits
    outcomes = np.packbits(wide[:, ::-1], axis=1)
    order = np.lexsort(outcomes.T[::-1])
    return Counts(num_bits, outcomes[order], counts.counts[order], counts.exact)
