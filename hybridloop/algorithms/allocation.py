"""How many shots each group of a measurement gets."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence

MOST_SHOTS = 10**8  # in one round, over all groups: a precision that needs more is a slip of a few digits


class Allocation(enum.StrEnum):
    """How the shots of an answer are shared among its circuits."""

    NEYMAN = "neyman"  # by their standard deviations: the fewest in all
    UNIFORM = "uniform"  # the same for each

    def top_up(self, shot_variances: Sequence[float], measured: Sequence[int], target_variance: float) -> list[int]:
        """Further shots for each group, so that Σ variance_g / shots_g meets the target."""
        further = neyman_top_up if self is Allocation.NEYMAN else uniform_top_up
        return further(shot_variances, measured, target_variance)


def neyman_top_up(
    shot_variances: Sequence[float], measured: Sequence[int], target_variance: float, *, most: int = MOST_SHOTS
) -> list[int]:
    """Further shots for each group, so that Σ variance_g / shots_g meets the target with the fewest in all.

    Optimal totals go with the standard deviation (J. Neyman, J. R. Stat. Soc. 97 (1934) 558); a group that has
    more than its share already gets none, and the others share what is left. No more than `most` in all, by
    scaling down.

    >>> neyman_top_up([1.0, 4.0], [0, 0], target_variance=0.09)
    [34, 67]
    """
    deviations = [math.sqrt(variance) for variance in shot_variances]
    short = set(range(len(measured)))
    while True:
        settled = math.fsum(
            variance / shots  # a group without shots is settled if it does not vary
            for g, (variance, shots) in enumerate(zip(shot_variances, measured, strict=True))
            if g not in short and shots
        )
        scale = math.fsum(deviations[g] for g in short) / (target_variance - settled)
        sated = {g for g in short if deviations[g] * scale <= measured[g]}
        if not sated:
            break
        short -= sated
        if not short:
            return [0] * len(measured)
    further = [math.ceil(deviations[g] * scale) - measured[g] if g in short else 0 for g in range(len(measured))]
    excess = sum(further) / most
    return further if excess <= 1 else [math.floor(each / excess) for each in further]


def uniform_top_up(
    shot_variances: Sequence[float], measured: Sequence[int], target_variance: float, *, most: int = MOST_SHOTS
) -> list[int]:
    """Further shots that bring each group to the same number, so that Σ variance_g / shots_g meets the target.

    A group that has more already gets none, and the others the fewest that will do.

    >>> uniform_top_up([1.0, 4.0], [0, 0], target_variance=0.09)
    [56, 56]
    """
    least, enough = 0, math.ceil(math.fsum(shot_variances) / target_variance)
    while least < enough:
        level = (least + enough) // 2
        pairs = [(variance, max(level, shots)) for variance, shots in zip(shot_variances, measured, strict=True)]
        met = math.fsum(variance / shots if shots else math.inf for variance, shots in pairs) <= target_variance
        least, enough = (least, level) if met else (level + 1, enough)
    further = [max(0, enough - shots) for shots in measured]
    excess = sum(further) / most
    return further if excess <= 1 else [math.floor(each / excess) for each in further]
