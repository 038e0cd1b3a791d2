"""Minimizes one angle at a time by fitting the exact trigonometric form of the energy, one round a fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.fit_search import FitSearch
from hybridloop.algorithms.optimizer import JSON, Reading, Stop
from hybridloop.algorithms.rounds import Lost
from hybridloop.algorithms.trigfit import TrigonometricFit, fit, sample_offsets
from hybridloop.errors import InputError


@dataclass(slots=True)
class Rotosolve(FitSearch):
    """Coordinate-wise minimization in closed form, for energies with known frequencies in each angle.

    M. Ostaszewski, E. Grant and M. Benedetti, Quantum 5 (2021) 391; K. M. Nakanishi, K. Fujii and S. Todo, Phys. Rev.
    Research 2 (2020) 043158; several frequencies: D. Wierichs et al., Quantum 6 (2022) 677. A round is all 2R + 1
    points of one angle's fit (R frequencies), equally spaced over its period, so that the fit is equally sharp
    everywhere.

    It stops after a sweep whose predicted gain is at most `tolerance` (hartree) plus twice what shot noise alone would
    feign: noise in a slope of variance v over a curvature c feigns, and costs, v / 2c. A single angle needs no second
    sweep, its fit being global; it is measured again, with all data in one fit, until that cost is at most `tolerance`.

    A lost point is left out where the fit stays determined without it, else it is asked for again.
    """

    tolerance: float = 2e-4
    max_sweeps: int = 20
    _position: int = field(default=0, init=False)  # fits done in this sweep
    _sweeps: int = field(default=0, init=False)
    _gain: float = field(default=0.0, init=False)
    _noise: float = field(default=0.0, init=False)
    _line: list[tuple[float, float, float]] = field(default_factory=list, init=False)  # angle, energy, variance

    def __post_init__(self) -> None:
        FitSearch.__post_init__(self)
        if not (self.tolerance > 0 and math.isfinite(self.tolerance)):
            raise InputError("tolerance", f"{self.tolerance} is not above 0", "Give a positive energy in hartree.")
        if self.max_sweeps < 1:
            raise InputError("max_sweeps", f"{self.max_sweeps} is below 1", "Give 1 or more.")

    def ask(self) -> NDArray[np.float64]:
        """The points of the next angle's fit, the present point first."""
        if self._stop is not None:
            return np.empty((0, len(self.point)))
        offsets = sample_offsets(self.frequencies[self._position])
        points = np.tile(self.point, (len(offsets), 1))
        points[:, self._position] += offsets
        return points[self._again] if self._again else points

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | Lost]) -> None:
        """Fit the angle's energy and move to its minimum; where too many points were lost, ask for them again."""
        angles = points[:, self._position]
        self._line += [
            (float(angle), each.value, each.variance)
            for angle, each in zip(angles, estimates, strict=True)
            if isinstance(each, Estimate)
        ]
        centre = float(self.point[self._position])
        fitted = fit(self.frequencies[self._position], self._line, centre)
        if fitted is None:
            self._repeat("rotosolve", estimates)
        else:
            self._again, self._repeats = [], 0
            self._move(fitted, centre)

    def _move(self, fitted: TrigonometricFit, centre: float) -> None:
        offset = fitted.minimum()
        moved = self.point.copy()
        moved[self._position] = centre + offset
        moved.setflags(write=False)
        self.point = moved
        self._current = Reading(moved, fitted.value(offset), fitted.standard_error(offset))
        self._gain += fitted.value(0.0) - fitted.value(offset)
        self._noise += fitted.noise_cost(offset)
        self._position += 1
        if self._position == len(self.point):
            self._end_sweep()
        elif len(self.point) > 1:
            self._line = []

    def _end_sweep(self) -> None:
        self._sweeps += 1
        single = len(self.point) == 1
        quiet = self._noise <= self.tolerance if single else self._gain <= self.tolerance + 2.0 * self._noise
        if quiet and single:
            self._stop = Stop(
                converged=True,
                reason=f"the only angle's minimum is known; shot noise costs {1e3 * self._noise:.2g} mHa there",
            )
        elif quiet:
            gain, noise = 1e3 * self._gain, 1e3 * self._noise
            self._stop = Stop(
                converged=True,
                reason=f"a sweep of all angles gained {gain:.2g} mHa, {noise:.2g} of it expected from noise",
            )
        elif self._sweeps >= self.max_sweeps:
            self._stop = Stop(
                converged=False, reason=f"the limit of {self.max_sweeps} sweeps over all angles was reached"
            )
        if not single:
            self._line = []
        self._position, self._gain, self._noise = 0, 0.0, 0.0

    def state(self) -> dict[str, JSON]:
        """All that the search knows."""
        return {
            **FitSearch.state(self),
            "tolerance": self.tolerance,
            "max_sweeps": self.max_sweeps,
            "position": self._position,
            "sweeps": self._sweeps,
            "gain": self._gain,
            "noise": self._noise,
            "line": [list(each) for each in self._line],
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """The optimizer whose `state` this is."""
        made = cls._restored(state, state["tolerance"], state["max_sweeps"])
        made._position, made._sweeps = state["position"], state["sweeps"]
        made._gain, made._noise = state["gain"], state["noise"]
        made._line = [(angle, value, variance) for angle, value, variance in state["line"]]
        return made
