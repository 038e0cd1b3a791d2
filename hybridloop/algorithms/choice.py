"""Which search suits an ansatz, and why."""

from __future__ import annotations

from dataclasses import dataclass

from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.gradient import ParallelGradient
from hybridloop.algorithms.optimizer import Optimizer
from hybridloop.algorithms.pairs import PairFits
from hybridloop.algorithms.trigonometric import Rotosolve

MOST_ANGLES_IN_PAIRS = 8  # beyond, the space of all waves' products is too large for a model to be sure of anything


@dataclass(frozen=True, slots=True)
class Choice:
    """A search, its name, and a clause that says why it."""

    optimizer: Optimizer
    name: str
    why: str


def choose(ansatz: Ansatz) -> Choice:
    """The search that needs the fewest rounds from the ansatz's start.

    A start at zero is a reference determinant's, which is near the minimum; so is one of which that is known; any other
    counts as drawn by chance.
    """
    start, frequencies = ansatz.initial_point, ansatz.frequencies
    if len(start) <= 1:
        return Choice(Rotosolve(start, frequencies), "rotosolve", "one angle's fit is global")
    if ansatz.starts_near:
        begin = "a start near the minimum" if start.any() else "the reference state"
        why = f"from {begin}, the slopes of all {len(start)} angles fit in one round"
        return Choice(ParallelGradient(start, frequencies), "gradient", why)
    if len(start) <= MOST_ANGLES_IN_PAIRS:
        why = f"from a start that may be far off, fits of two of the {len(start)} angles see all of both"
        return Choice(PairFits(start, frequencies), "pairs", why)
    why = f"from a start that may be far off, {len(start)} angles are too many for a model of all"
    return Choice(Rotosolve(start, frequencies), "rotosolve", why)
