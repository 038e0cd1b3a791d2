"""Pairwise Nakanishi-Fujii-Todo fits: two angles a round, then all angles, with a Gaussian process of all data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import (
    ConvergenceForecast,
    PointEstimate,
    PooledFitOptimizer,
    Termination,
    count_repeat,
)
from hybridloop.algorithms.optimizers.trigonometric_model import TrigonometricProcess, sample_offsets
from hybridloop.algorithms.rounds import FailedPoint

GRID = 12  # points along each angle of the grid that is searched for a pair's next start
# hartree; the process allows every energy of trigonometric form, so it overestimates the cost of noise, twice or more
DEFAULT_TERMINATION = Termination(tolerance=2.5e-3)


@dataclass(slots=True)
class PairwiseFit(PooledFitOptimizer):
    """Pairwise optimizer: global steps in two angles at a time, then local steps in all, from one model of all data.

    The energy is a trigonometric polynomial in each angle, so the 9 points of a grid (for one frequency each) determine
    it over two angles: K. M. Nakanishi, K. Fujii and S. Todo, Phys. Rev. Research 2 (2020) 043158, section III. A round
    is one pair. Angles are paired twice, from four angles on with different partners; of an odd number the last stays
    alone. Later rounds measure the point and a quarter of the shortest period to either side along every angle, from
    which the parameter-shift rule has exact slopes (M. Schuld et al., Phys. Rev. A 99 (2019) 032331). All results go
    into one `TrigonometricProcess`; the next point is the minimum of its upper confidence bound. For random starts of a
    few angles.

    Failed points are left out; where more than half of a round failed, the round is repeated.
    """

    termination: Termination = DEFAULT_TERMINATION

    def ask(self) -> NDArray[np.float64]:
        """Return a grid over the next pair, or the present point and its shifts along every angle."""
        if self.stop is not None:
            return np.empty((0, len(self.point)))
        pairs = _pairs(len(self.point))
        if self._rounds >= len(pairs):
            return self.point + self._shifts()
        pair = pairs[self._rounds]
        return self._grid(pair, [sample_offsets(self.frequencies[angle]) for angle in pair])

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Condition the Gaussian process on the results and move to its minimum."""
        known = [(p, e.value, e.variance) for p, e in zip(points, estimates, strict=True) if isinstance(e, Estimate)]
        if 2 * len(known) < len(estimates):
            self._repeats = count_repeat(self._repeats, "pairs", estimates)
            return
        self._repeats = 0
        self._data += [(np.array(point, float), value, variance) for point, value, variance in known]
        rows, values, variances = (np.array(column, float) for column in zip(*self._data, strict=True))
        process = TrigonometricProcess.condition(self.frequencies, rows, values, variances)
        self._move(process)
        self.stop = self.termination.check(self._forecasts, self._rounds)

    def _move(self, process: TrigonometricProcess) -> None:
        pairs = _pairs(len(self.point))
        starts = [self.point]
        if is_pair := self._rounds < len(pairs):
            pair = pairs[self._rounds]
            grid = self._grid(pair, [np.arange(GRID, dtype=np.float64) * (2.0 * math.pi / GRID)] * len(pair))
            lowest = int(np.argmin([process.value(point) for point in grid]))
            starts.append(grid[lowest])
        minimum = process.minimum(starts)
        minimum.setflags(write=False)
        slope = float(np.linalg.norm(process.gradient(self.point)))
        gain = process.value(self.point) - process.value(minimum)
        self.point, self._rounds = minimum, self._rounds + 1
        self.current = PointEstimate(minimum, process.value(minimum), process.standard_error(minimum))
        if not is_pair:  # the step of a pair is no evidence of convergence in the other angles
            self._forecasts.append(ConvergenceForecast(gain, process.noise_cost(minimum), slope))

    def _shifts(self) -> NDArray[np.float64]:
        """No shift, then up and down along each angle, shape (2n + 1, n)."""
        quarters = np.diag([math.pi / (2.0 * max(numbers)) for numbers in self.frequencies])
        shifts = np.zeros((2 * len(self.point) + 1, len(self.point)))
        shifts[1::2], shifts[2::2] = quarters, -quarters
        return shifts

    def _grid(self, pair: tuple[int, ...], offsets: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Present point with every combination of offsets in the angles of `pair`."""
        combinations = np.array(list(itertools.product(*offsets)))
        points = np.tile(self.point, (len(combinations), 1))
        points[:, list(pair)] += combinations
        return points


def _pairs(count: int) -> list[tuple[int, ...]]:
    """Cover the angles by pairs twice: angles i and i + n/2, then neighbours; a last odd angle is alone.

    >>> _pairs(4)
    [(0, 2), (1, 3), (0, 1), (2, 3)]
    >>> _pairs(3)
    [(0, 1), (2,), (0, 1), (2,)]
    """
    half, alone = count // 2, [(count - 1,)] if count % 2 else []
    return [*((i, i + half) for i in range(half)), *alone, *((2 * i, 2 * i + 1) for i in range(half)), *alone]
