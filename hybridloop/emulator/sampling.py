"""From probabilities to counts: drawn with a seed, or scaled to the shots."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

RESOLUTION = 10_000_000  # probabilities are quantised to 1e-7, so that rounding noise can't move a count


def sampling_seed(service_seed: int, sampling_value: str) -> int:
    """The seed of one job's draws, below 2^63; the same on every machine.

    `sampling_value` is the job's own, or its id where it has none.
    """
    text = f"{service_seed}\n{sampling_value}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


Drawn = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def draw_shots(probabilities: NDArray[np.float64], shots: int, rng: np.random.Generator) -> Drawn:
    """Outcomes seen (ascending), how often, and for each shot the position of its outcome among those seen."""
    ladder = np.cumsum(probabilities)
    drawn = np.searchsorted(ladder, rng.random(shots) * ladder[-1], side="right")
    seen, order, counts = np.unique(drawn, return_inverse=True, return_counts=True)
    return seen.astype(np.int64), counts.astype(np.int64), order.astype(np.int64)


def scaled_to_shots(probabilities: NDArray[np.float64], shots: int) -> Drawn:
    """The distribution scaled to whole counts that sum to the shots, by largest remainder, ties by outcome.

    Returned as `draw_shots` does; the shots are in the order of the outcomes.
    """
    weights = np.rint(probabilities / probabilities.sum() * RESOLUTION).astype(np.int64)
    seen = np.flatnonzero(weights)
    weights = weights[seen]
    whole, remainders = np.divmod(weights * shots, weights.sum())
    missing = shots - int(whole.sum())
    whole[np.argsort(-remainders, kind="stable")[:missing]] += 1
    kept = whole > 0
    counts = whole[kept]
    return seen[kept].astype(np.int64), counts, np.repeat(np.arange(counts.size), counts)
