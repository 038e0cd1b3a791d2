"""From counts to energies with error bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.measurement import MeasurementGroup, Observable
from hybridloop.algorithms.rounds import Counts

Z95 = 1.959963984540054  # the normal distribution's 97.5th percentile


@dataclass(frozen=True, slots=True)
class Estimate:
    """An expectation value, in the operator's unit.

    From a target that samples: `variance` is that of the value, and `is_exact` is false. From one that returns
    its exact distribution, rounded to the shots: `variance` is 0 and the truth is within `rounding_bound`.
    """

    value: float
    variance: float
    shots: int
    is_exact: bool = False
    rounding_bound: float = 0.0
    shot_variances: tuple[float, ...] = ()  # of one shot, for each measured group

    @property
    def standard_error(self) -> float:
        """Square root of the variance."""
        return math.sqrt(self.variance)

    @property
    def interval95(self) -> tuple[float, float]:
        """The value's 95 % interval; on a target that does not sample, within the bound of its rounding."""
        half_width = self.rounding_bound if self.is_exact else Z95 * self.standard_error
        return (self.value - half_width, self.value + half_width)


@dataclass(frozen=True, slots=True)
class Tally:
    """Per-shot energies of one group, summed up: mean and squared deviations over `shots` shots.

    `reach` is the group's Σ|c|. `rounding_bound` is for exact distributions, else 0. `slopes` are the mean's
    derivatives by what else was estimated to come by it, such as readout errors; none where it is counts alone.
    """

    shots: int
    mean: float
    squares: float
    reach: float
    is_exact: bool = False
    rounding_bound: float = 0.0
    slopes: tuple[float, ...] = ()

    @property
    def shot_variance(self) -> float:
        """Variance of one shot's energy, with one imagined shot at the far end of what the group can give.

        The imagined one keeps a group whose few shots all agree from claiming certainty; it weighs 1 / shots.
        """
        return (self.squares + self.reach**2) / self.shots

    @property
    def variance(self) -> float:
        """Variance of the mean; covariances between the group's terms are in it, being in each shot's energy."""
        return 0.0 if self.is_exact else self.shot_variance / self.shots

    def merged(self, other: Tally) -> Tally:
        """Both together (Chan, Golub and LeVeque, Am. Stat. 37 (1983) 242); of exact ones the sharper stands alone."""
        if self.is_exact or other.is_exact:
            return min(self, other, key=lambda tally: (not tally.is_exact, tally.rounding_bound))
        shots = self.shots + other.shots
        shift = other.mean - self.mean
        mean = self.mean + shift * other.shots / shots
        squares = self.squares + other.squares + shift**2 * self.shots * other.shots / shots
        slopes = (
            (one * self.shots + another * other.shots) / shots
            for one, another in zip(self.slopes, other.slopes, strict=True)
        )
        return Tally(shots, mean, squares, max(self.reach, other.reach), slopes=tuple(slopes))


def tally(group: MeasurementGroup, counts: Counts) -> Tally:
    """The group's energies over the counts of its circuit."""
    energies = shot_energies(group, counts)
    shots = counts.shots
    mean = float(counts.counts @ energies) / shots
    squares = float(counts.counts @ (energies - mean) ** 2)
    bound = rounding_bound(group.reach, counts) if counts.exact else 0.0
    return Tally(shots, mean, squares, group.reach, counts.exact, bound)


def shot_energies(group: MeasurementGroup, counts: Counts) -> NDArray[np.float64]:
    """Energy of each distinct outcome, shape (k,): Σ_t c_t (−1)^|outcome & mask_t|, without the constant."""
    outcomes, masks = _words(counts.outcomes), _words(_packed(group.masks, counts.num_bits))
    parity = np.zeros((len(outcomes), len(masks)), np.uint8)
    for word in range(outcomes.shape[1]):
        parity ^= np.bitwise_count(outcomes[:, word, None] & masks[None, :, word])
    parity &= 1
    energies: NDArray[np.float64] = group.coefficients.sum() - 2.0 * (parity @ group.coefficients)
    return energies


def combine(observable: Observable, tallies: Sequence[Tally]) -> Estimate:
    """The observable's estimate from one tally for each of its groups, in order."""
    return Estimate(
        value=observable.constant + math.fsum(each.mean for each in tallies),
        variance=math.fsum(each.variance for each in tallies),
        shots=sum(each.shots for each in tallies),
        is_exact=all(each.is_exact for each in tallies),
        rounding_bound=math.fsum(each.rounding_bound for each in tallies),
        shot_variances=tuple(each.shot_variance for each in tallies),
    )


def rounding_bound(reach: float, counts: Counts) -> float:
    """How far a mean of values up to ±`reach` may be from the exact one when N p_i was rounded by largest remainder.

    Each count is off by less than 1 and the errors cancel, so the upward ones sum to less than the number of outcomes
    that are there, and to at most half of all possible ones; each moves the mean by at most 2 reach / N.
    """
    moved = min(float(len(counts.counts)), 2.0 ** (counts.num_bits - 1))
    return moved * 2.0 * reach / counts.shots


def _packed(masks: Sequence[int], num_bits: int) -> NDArray[np.uint8]:
    width = (num_bits + 7) // 8
    packed = b"".join(mask.to_bytes(width, "big") for mask in masks)
    return np.frombuffer(packed, np.uint8).reshape(len(masks), width)


def _words(packed: NDArray[np.uint8]) -> NDArray[np.unsignedinteger[Any]]:
    """Rows of bytes as rows of words, zeros in front; short rows make short words, which count up to 4 times faster."""
    size = next((size for size in (1, 2, 4) if packed.shape[1] <= size), 8)
    padded = np.pad(packed, ((0, 0), (-packed.shape[1] % size, 0)))
    return np.ascontiguousarray(padded).view(f">u{size}").astype(f"u{size}")
