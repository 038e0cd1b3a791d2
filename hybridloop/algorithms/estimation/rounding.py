"""Errors of means by the rounding of an exact distribution to whole counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.rounds import Counts

CLASS = 0.75  # of the root of the sum of squares: 1 / √2, and six percent


@dataclass(frozen=True, slots=True)
class Rounding:
    """Bounds of the error of a mean, or a sum of means, of values in distributions that were rounded to N shots.

    `worst` holds for every distribution. Each count is wrong by less than 1 and the errors cancel, so the upward ones
    sum to less than the number of observed outcomes, and to at most half of all possible outcomes; each moves the mean
    by at most the range of the values / N.

    The other bound holds for more than 95 % of those that circuits prepare. Outcomes of equal probability are rounded
    alike, or a part of them up and the others down, as the remainders tie; others are rounded independently. So
    `by_share` has Σ |value − mean| / N of the outcomes of each count / N, of all circuits, as symmetric ones are alike.
    Where all n outcomes of a probability p have one value if they are rounded up and another if down, both parts have
    the same sum S, and the mean is off by S, which is the root of (S² + S²) / 2; `CLASS` is that with a reserve for
    counts below a hundred. Outcomes that were not seen, with less than half a shot each, are all rounded down: together
    they are taken to have as many shots as outcomes were seen once (I. J. Good, Biometrika 40 (1953) 237), `unseen` of
    the mean, and one more in one of the circuits, `spare`.
    """

    worst: float = 0.0
    by_share: Mapping[float, float] = field(default_factory=dict)
    unseen: float = 0.0
    spare: float = 0.0

    @property
    def bound(self) -> float:
        """The smaller of both bounds."""
        likely = math.hypot(
            CLASS * math.sqrt(math.fsum(each**2 for each in self.by_share.values())), self.unseen + self.spare
        )
        return min(self.worst, likely)

    def __add__(self, other: Rounding) -> Rounding:
        """Return the bounds of a sum of means."""
        shares = [*self.by_share, *other.by_share]
        by_share = {share: self.by_share.get(share, 0.0) + other.by_share.get(share, 0.0) for share in shares}
        worst, spare = self.worst + other.worst, max(self.spare, other.spare)
        return Rounding(worst, by_share, self.unseen + other.unseen, spare)

    def __mul__(self, factor: float) -> Rounding:
        """Return the bounds of a multiple of the mean."""
        size = abs(factor)
        by_share = {share: size * each for share, each in self.by_share.items()}
        return Rounding(size * self.worst, by_share, size * self.unseen, size * self.spare)

    @classmethod
    def of_rare_outcomes(cls, possible: int, width: float, shots: int) -> Rounding:
        """Bound the rounding of a mean over so many possible outcomes, whose values differ by `width` at most.

        It is the worst one: where most outcomes are rare, many are rounded down together.
        """
        worst = 0.5 * possible * width / shots
        return cls(worst=worst, unseen=worst)

    @classmethod
    def of(cls, values: NDArray[np.float64], counts: Counts, largest: float, typical: float) -> Rounding:
        """Bound the rounding of the mean of `values` (k,), one for each outcome seen.

        All are within ±`largest`, and the root mean square over all possible outcomes is `typical`.
        """
        shots, mean = counts.shots, float(counts.counts @ values) / counts.shots
        possible = 2.0**counts.num_bits
        distinct, where = np.unique(counts.counts, return_inverse=True)
        sums = np.bincount(where.reshape(-1), np.abs(values - mean)) / shots
        missing = 0.5 * (possible - len(values))
        once = float(np.count_nonzero(counts.counts == 1))
        off = min(2.0 * largest, math.hypot(mean, typical)) / shots
        return cls(
            worst=min(float(len(values)), 0.5 * possible) * 2.0 * largest / shots,
            by_share=dict(zip((distinct / shots).tolist(), sums.tolist(), strict=True)),
            unseen=min(missing, once) * off,
            spare=min(missing, 1.0) * off,
        )
