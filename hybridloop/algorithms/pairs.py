"""Fits the exact trigonometric form of the energy, two angles a round, and then all of them around the minimum."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.fit_search import PooledSearch
from hybridloop.algorithms.optimizer import Reading, one_more_repeat
from hybridloop.algorithms.rounds import Lost
from hybridloop.algorithms.termination import Outlook, Termination
from hybridloop.algorithms.trigfit import sample_offsets
from hybridloop.algorithms.trigprocess import TrigProcess

GRID = 12  # points along each angle, among which a pair's new start is looked for
# hartree; the process reckons with every energy of that form, and so puts what noise costs at twice what it is or more
DEFAULT_TERMINATION = Termination(tolerance=2.5e-3)


@dataclass(slots=True)
class PairFits(PooledSearch):
    """Global steps in two angles at a time, then Newton's in all, from one model of all that was measured.

    The energy is a trigonometric polynomial in each angle, so the 9 points of a grid (for one frequency each) say all
    of it over two angles: K. M. Nakanishi, K. Fujii and S. Todo, Phys. Rev. Research 2 (2020) 043158, section III; a
    round is one pair. Every angle is paired twice, with another one where there are more than two. Later rounds measure
    the point and a quarter of the shortest period to either side along every angle, from which parameter shift has the
    slopes exactly (M. Schuld et al., Phys. Rev. A 99 (2019) 032331). All rounds' answers go into one `TrigProcess`; the
    next point is the lowest that it is sure of. For random starts of a few angles.

    A lost point is left out; where less than half of a round came back, the round is asked again.
    """

    termination: Termination = DEFAULT_TERMINATION

    def ask(self) -> NDArray[np.float64]:
        """A grid over the next pair, or the present point and its neighbours along every angle."""
        if self._stop is not None:
            return np.empty((0, len(self.point)))
        pairs = _pairs(len(self.point))
        if self._rounds >= len(pairs):
            return self.point + self._shifts()
        pair = pairs[self._rounds]
        return self._over(pair, [sample_offsets(self.frequencies[angle]) for angle in pair])

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | Lost]) -> None:
        """Condition the model on the answers and move to its minimum."""
        told = [(p, e.value, e.variance) for p, e in zip(points, estimates, strict=True) if isinstance(e, Estimate)]
        if 2 * len(told) < len(estimates):
            self._repeats = one_more_repeat(self._repeats, "pairs", estimates)
            return
        self._repeats = 0
        self._data += [(np.array(point, float), value, variance) for point, value, variance in told]
        rows, values, variances = (np.array(column, float) for column in zip(*self._data, strict=True))
        process = TrigProcess.given(self.frequencies, rows, values, variances)
        self._move(process)
        self._stop = self.termination.verdict(self._outlooks, self._rounds)

    def _move(self, process: TrigProcess) -> None:
        pairs = _pairs(len(self.point))
        starts = [self.point]
        if is_pair := self._rounds < len(pairs):
            pair = pairs[self._rounds]
            grid = self._over(pair, [np.arange(GRID, dtype=np.float64) * (2.0 * math.pi / GRID)] * len(pair))
            lowest = int(np.argmin([process.value(each) for each in grid]))
            starts.append(grid[lowest])
        moved = process.lowest(starts)
        moved.setflags(write=False)
        slope = float(np.linalg.norm(process.gradient(self.point)))
        gain = process.value(self.point) - process.value(moved)
        self.point, self._rounds = moved, self._rounds + 1
        self._current = Reading(moved, process.value(moved), process.standard_error(moved))
        if not is_pair:  # a pair's step says nothing of the other angles
            self._outlooks.append(Outlook(gain, process.noise_cost(moved), slope))

    def _shifts(self) -> NDArray[np.float64]:
        """None, then up and down along each angle, shape (2n + 1, n)."""
        quarters = np.diag([math.pi / (2.0 * max(own)) for own in self.frequencies])
        shifts = np.zeros((2 * len(self.point) + 1, len(self.point)))
        shifts[1::2], shifts[2::2] = quarters, -quarters
        return shifts

    def _over(self, pair: tuple[int, ...], offsets: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """The present point with every combination of offsets in these angles."""
        combinations = np.array(list(itertools.product(*offsets)))
        points = np.tile(self.point, (len(combinations), 1))
        points[:, list(pair)] += combinations
        return points


def _pairs(count: int) -> list[tuple[int, ...]]:
    """Two coverings of the angles by pairs: each with the one half of them away, then with its neighbour.

    >>> _pairs(4)
    [(0, 2), (1, 3), (0, 1), (2, 3)]
    >>> _pairs(3)
    [(0, 1), (2,), (0, 1), (2,)]
    """
    half, alone = count // 2, [(count - 1,)] if count % 2 else []
    return [*((i, i + half) for i in range(half)), *alone, *((2 * i, 2 * i + 1) for i in range(half)), *alone]
