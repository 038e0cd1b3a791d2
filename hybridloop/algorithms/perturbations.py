"""What searches by random simultaneous perturbations share: their draws, gains, and the trail of rounds they go by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.optimizer import JSON, Reading
from hybridloop.algorithms.termination import Outlook

DECAY = 0.602  # of the step's gain, α, and
SHIFT_DECAY = 0.101  # of the shift, γ: the smallest for which Spall's theorem holds, and what he advises
STABILITY = 5.0  # rounds, A: a tenth of what a search takes
SHIFT_RAD = 0.5  # Euclidean length of the first shift: longer ones leave the range of a quadratic, shorter ones drown
LEAST_WINDOW = 5  # rounds whose slopes are looked at together
FLATTEST = 1e-3  # hartree per square radian; curvatures below, or negative ones, are taken for it


def signs(seed: int, place: Sequence[int], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Random ±1 of this shape, the same for the same seed and place (three numbers at most), whatever was drawn before.

    Raw bits of Philox, a generator by counter (J. K. Salmon et al., SC '11): its stream never changes with the library.

    >>> signs(7, (2, 0), (2, 3)).tolist()
    [[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]]
    """
    counter = [0, *place, *[0] * (3 - len(place))]  # the first word counts the draws at a place
    raw = np.random.Philox(key=seed, counter=counter).random_raw(math.prod(shape))
    return np.where(np.asarray(raw, np.uint64) >> np.uint64(63), 1.0, -1.0).reshape(shape)


def shift_rad(step: int, angles: int) -> float:
    """Change of each angle to either side in step 0, 1, 2, …: c_k = c / (k + 1)^γ, c such that its length is given."""
    return SHIFT_RAD / math.sqrt(max(angles, 1)) / math.pow(step + 1, SHIFT_DECAY)


def gain(size: float, step: int) -> float:
    """Radians a step makes of a slope of one hartree per radian: a_k = a / (k + 1 + A)^α."""
    return size / math.pow(step + 1 + STABILITY, DECAY)


@dataclass(frozen=True, slots=True, eq=False)
class Trail:
    """The rounds so far, oldest first.

    Where each stood, the energy there and its variance, its slopes, the variance that shot noise gives each of these,
    and the mean curvature along an angle: points and slopes (k, n), the others (k,); radians, hartree.
    """

    points: NDArray[np.float64]
    values: NDArray[np.float64]
    variances: NDArray[np.float64]
    slopes: NDArray[np.float64]
    slope_variances: NDArray[np.float64]
    curvatures: NDArray[np.float64]

    @classmethod
    def of(cls, angles: int, state: Mapping[str, Any] | None = None) -> Self:
        """The trail whose `state` this is; without one, of no rounds."""
        columns = [np.array([] if state is None else state[each.name], float) for each in fields(cls)]
        shapes = [(-1, angles) if each.name in ("points", "slopes") else (-1,) for each in fields(cls)]
        count = 0 if state is None else len(state["values"])
        return cls(*(column.reshape(count, *shape[1:]) for column, shape in zip(columns, shapes, strict=True)))

    def state(self) -> dict[str, JSON]:
        """As JSON."""
        return {each.name: getattr(self, each.name).tolist() for each in fields(self)}

    def __len__(self) -> int:
        return len(self.values)

    def with_round(self, *row: NDArray[np.float64] | float) -> Trail:
        """This trail and one more round, whose numbers are given in the order of the columns."""
        columns = [getattr(self, each.name) for each in fields(self)]
        return Trail(*(np.concatenate([column, [new]]) for column, new in zip(columns, row, strict=True)))

    def outlook(self, tolerance: float) -> Outlook | None:
        """What there is to gain by the mean slopes of a window of rounds, to second order; None before it is full.

        Σ slope² / 2h, where h is the window's mean curvature along an angle. A window is as long as it takes for noise
        to cost at most `tolerance` in that, up to half of all rounds.
        """
        window = self._window(tolerance)
        if len(self) < window:
            return None
        slopes = self.slopes[-window:].mean(axis=0)
        gain = float((slopes**2).sum()) / (2.0 * self._curvature(window))
        return Outlook(gain, self._noise_cost(window), float(np.linalg.norm(slopes)))

    def mean(self, tolerance: float) -> Reading:
        """The mean of the last rounds' points, and of their energies: a window, or half of all rounds if that is less.

        B. T. Polyak and A. B. Juditsky, SIAM J. Control Optim. 30 (1992) 838: it is nearer to the minimum than each.
        """
        count = min(self._window(tolerance), max(1, len(self) // 2))
        point: NDArray[np.float64] = self.points[-count:].mean(axis=0)
        point.setflags(write=False)
        error = math.sqrt(float(self.variances[-count:].sum())) / count
        return Reading(point, float(self.values[-count:].mean()), error)

    def _window(self, tolerance: float) -> int:
        window = LEAST_WINDOW
        while 2 * (window + 1) <= len(self) and self._noise_cost(window) > tolerance:
            window += 1
        return window

    def _noise_cost(self, window: int) -> float:
        variance = float(self.slope_variances[-window:].sum()) / window**2  # of the mean slope along each angle
        return int(self.points.shape[1]) * variance / (2.0 * self._curvature(window))

    def _curvature(self, window: int) -> float:
        return max(float(self.curvatures[-window:].mean()), FLATTEST)
