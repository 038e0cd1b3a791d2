"""Extrapolation of SQD energies to variance 0, with an error that holds the spread of its models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.sqd.diagonalization import Batch

MIN_POINTS = 4  # of a fit of two parameters with an error bar
MIN_SPREAD = 1.05  # least ratio of the largest to the smallest variance of a fit
LEAST_SHARE = 0.25  # of the way from the lowest energy to the extrapolated one: least error
MOST_SHARE = 2.0  # of the same: a larger error says nothing
SIGMAS = 2.0  # errors within which the exact energy is expected


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """Energy in hartree at variance 0 by a straight line through the batches, with its error and number of points."""

    energy: float
    error: float
    points: int


def extrapolate_variance(batches: Sequence[Batch]) -> Extrapolation | str:
    """Fit energies against ΔH² / E² of all different states; return the reason where that shows nothing.

    M. Imada and T. Kashima, J. Phys. Soc. Jpn. 69 (2000) 2723: the energy's error is proportional to its variance for
    states near the exact one. The batches have no noise but share most of their determinants, and the true curve is
    not straight, so the residuals say little. The error is the largest of: the jackknife over iterations, the
    differences to a parabola and to a line through the half with the lowest variances, and a quarter of the way.
    """
    if any(batch.variance is None for batch in batches):
        return "the energy variance is not known, as there are too many determinants"
    first: dict[tuple[float, float], int] = {}
    for batch in batches:
        if batch.variance is not None:
            first.setdefault((batch.variance / batch.energy**2, batch.energy), batch.iteration)
    points = sorted(first)
    if len(points) < MIN_POINTS or points[-1][0] < MIN_SPREAD * points[0][0]:
        return f"the batches have {len(points)} different states, too few or too similar for a fit"
    number = len(points)
    mean_x, mean_y = (math.fsum(axis) / number for axis in zip(*points, strict=True))
    spread = math.fsum((x - mean_x) ** 2 for x, _ in points)
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    energy = mean_y - slope * mean_x
    lowest = min(y for _, y in points)
    if slope <= 0.0 or energy > lowest:
        return "the energies do not fall with their variance"
    ratios, energies = np.array(points).T
    iterations = np.array([first[point] for point in points])
    error = _error(ratios / ratios[-1], energies - lowest, iterations, energy - lowest)
    if error > MOST_SHARE * (lowest - energy):
        return "a line, a parabola and parts of the states disagree"
    return Extrapolation(round(energy, 9), round(error, 9), number)


def _error(
    ratios: NDArray[np.float64], energies: NDArray[np.float64], iterations: NDArray[np.int64], line: float
) -> float:
    """Return the error of a line's end in hartree; `energies` and `line` are relative to the lowest energy."""
    half = ratios <= np.median(ratios)
    others = [_end(ratios, energies, 2)]
    if len(set(ratios[half])) > 1:
        others.append(_end(ratios[half], energies[half], 1))
    left_out = [
        _end(ratios[iterations != each], energies[iterations != each], 1)
        for each in sorted(set(iterations.tolist()))
        if len(set(ratios[iterations != each])) > 1
    ]
    jackknife = math.sqrt(max(0, len(left_out) - 1) * float(np.var(left_out))) if left_out else 0.0
    return max(jackknife, LEAST_SHARE * abs(line), *(abs(other - line) for other in others))


def _end(ratios: NDArray[np.float64], energies: NDArray[np.float64], degree: int) -> float:
    """Return the value at 0 of the polynomial through the points, of a lower degree where they are too few."""
    return float(np.polyfit(ratios, energies, min(degree, len(set(ratios)) - 1))[-1])
