"""Drift of a target between stages of a run: what disagrees by more than chance is not pooled."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from hybridloop.algorithms.rounds import Counts, MeasuredPub, merge_counts

DRIFT_SIGMAS = 4.0  # standard errors, of a test of all differences at once, beyond which stages are not pooled
LEAST_COUNTED = 10  # shots of an outcome in both stages; rarer ones are counted together


def is_drift(squares: float, differences: int) -> bool:
    """Return whether so many squared differences over their variances have a sum beyond chance: a χ² test."""
    chance = math.erfc(DRIFT_SIGMAS / math.sqrt(2.0))  # of a normal variable to be as far off
    return differences > 0 and float(chdtrc(differences, squares)) < chance


def have_other_outcomes(one: Counts, other: Counts) -> bool:
    """Return whether two counts are not of one distribution: a χ² test of homogeneity.

    >>> have_other_outcomes(*(Counts.from_bitstrings({"0": n, "1": 1000 - n}) for n in (500, 600)))
    True
    """
    names = [each.bitstrings() for each in (one, other)]
    table = np.array([[counts.get(name, 0) for name in {**names[0], **names[1]}] for counts in names], float)
    is_rare = table.sum(axis=0) < LEAST_COUNTED
    table = np.column_stack([table[:, ~is_rare], table[:, is_rare].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    expected: NDArray[np.float64] = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return is_drift(float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1)


def pooled_results(stages: Sequence[MeasuredPub]) -> MeasuredPub | None:
    """Return the results of a PUB by all stages that agree with those after them; None if a point has none.

    Of exact distributions it is the last.
    """
    points = list[Counts]()
    for column in zip(*stages, strict=True):
        found = [counts for counts in column if isinstance(counts, Counts)]
        if not found:
            return None
        last = found[-1]
        for counts in reversed(found[:-1]):
            if not (last.exact or counts.exact or have_other_outcomes(counts, last)):
                last = merge_counts([counts, last])
        points.append(last)
    return MeasuredPub(stages[-1].points, tuple(points))
