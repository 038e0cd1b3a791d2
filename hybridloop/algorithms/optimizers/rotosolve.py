"""Rotosolve (Nakanishi-Fujii-Todo): minimize one angle per round in closed form, by a trigonometric fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Frequencies, validate_initial_point
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import (
    Fall,
    PointEstimate,
    Stop,
    check_at_least_one,
    check_positive,
    count_repeat,
    stop_without_angles,
    validate_frequencies,
)
from hybridloop.algorithms.optimizers.trigonometric_model import TrigonometricFit, fit_trigonometric, sample_offsets
from hybridloop.algorithms.rounds import FailedPoint


@dataclass(slots=True)
class Rotosolve:
    """Rotosolve: coordinate-wise minimization in closed form, for energies with known frequencies in each angle.

    M. Ostaszewski, E. Grant and M. Benedetti, Quantum 5 (2021) 391; K. M. Nakanishi, K. Fujii and S. Todo, Phys. Rev.
    Research 2 (2020) 043158; several frequencies: D. Wierichs et al., Quantum 6 (2022) 677. A round is all 2R + 1
    points of one angle's fit (R frequencies), equally spaced over its period, so that the fit is equally precise
    everywhere.

    The search stops after a sweep whose predicted gain is at most `tolerance` (hartree) plus twice the gain that shot
    noise alone predicts: with a slope of variance v and a curvature c, noise predicts a gain, and costs, v / 2c. A
    single angle needs no second sweep, as its fit is global; it is measured again, with all data in one fit, until that
    cost is at most `tolerance`.

    A failed point is left out where the fit is determined without it, else it is measured again.
    """

    can_skip: ClassVar[bool] = True

    point: NDArray[np.float64]
    frequencies: tuple[Frequencies, ...]
    tolerance: float = 2e-4
    max_sweeps: int = 20
    best: PointEstimate | None = field(
        default=None, init=False
    )  # minimum of the last fit, which starts from earlier ones
    fall: Fall | None = field(default=None, init=False)
    stop: Stop | None = field(default=None, init=False)
    _again: list[int] = field(default_factory=list, init=False)  # indices of this round's failed points
    _repeats: int = field(default=0, init=False)
    _position: int = field(default=0, init=False)  # fits done in this sweep
    _sweeps: int = field(default=0, init=False)
    _gain: float = field(default=0.0, init=False)
    _noise: float = field(default=0.0, init=False)
    residue: float | None = field(default=None, init=False)  # hartree, at the end of the last sweep
    _line: list[tuple[float, float, float]] = field(default_factory=list, init=False)  # angle, energy, variance

    def __post_init__(self) -> None:
        self.point = validate_initial_point(self.point)
        self.frequencies = validate_frequencies(self.frequencies, len(self.point))
        self.stop = stop_without_angles(self.point)
        check_positive("tolerance", self.tolerance, "energy in hartree")
        check_at_least_one("max_sweeps", self.max_sweeps)

    @property
    def centre(self) -> NDArray[np.float64]:
        return self.point

    def ask(self) -> NDArray[np.float64]:
        """Return the points of the next angle's fit, the present point first; or the points to repeat."""
        if self.stop is not None:
            return np.empty((0, len(self.point)))
        offsets = sample_offsets(self.frequencies[self._position])
        points = np.tile(self.point, (len(offsets), 1))
        points[:, self._position] += offsets
        return points[self._again] if self._again else points

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Fit the angle's energy and move to its minimum; repeat failed points if the fit needs them."""
        angles = points[:, self._position]
        self._line += [
            (float(angle), estimate.value, estimate.variance)
            for angle, estimate in zip(angles, estimates, strict=True)
            if isinstance(estimate, Estimate)
        ]
        centre = float(self.point[self._position])
        model = fit_trigonometric(self.frequencies[self._position], self._line, centre)
        if model is None:
            self._repeat(estimates)
        else:
            self._again, self._repeats = [], 0
            self._move(model, centre)

    def _repeat(self, estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Repeat the failed points in the next round. Raises JobFailed for too many rounds in a row."""
        self._repeats = count_repeat(self._repeats, "rotosolve", estimates)
        indices = self._again or range(len(estimates))
        self._again = [
            index for index, estimate in zip(indices, estimates, strict=True) if isinstance(estimate, FailedPoint)
        ]

    def _move(self, model: TrigonometricFit, centre: float) -> None:
        offset = model.minimum()
        point = self.point.copy()
        point[self._position] = centre + offset
        point.setflags(write=False)
        self.point = point
        self.best = PointEstimate(point, model.value(offset), model.standard_error(offset))
        self.fall = Fall(model.value(0.0) - model.value(offset), model.error_between(0.0, offset))
        self._gain += model.value(0.0) - model.value(offset)
        self._noise += model.noise_cost(offset)
        self._position += 1
        if self._position == len(self.point):
            self._end_sweep()
        elif len(self.point) > 1:
            self._line = []

    def _end_sweep(self) -> None:
        self._sweeps += 1
        is_single = len(self.point) == 1
        gain, noise = 1e3 * self._gain, 1e3 * self._noise  # mHa
        self.residue = self._noise + (0.0 if is_single else max(0.0, self._gain))  # a single angle's fit is global
        is_met = self._noise <= self.tolerance if is_single else self._gain <= self.tolerance + 2.0 * self._noise
        if is_met and is_single:
            self.stop = Stop(converged=True, reason=f"optimum found, cost of shot noise {noise:.2g} mHa")
        elif is_met:
            reason = f"expected gain of the last sweep {gain:.2g} mHa, cost of shot noise {noise:.2g} mHa"
            self.stop = Stop(converged=True, reason=reason)
        elif self._sweeps >= self.max_sweeps:
            reason = f"the limit of {self.max_sweeps} sweeps over all angles was reached"
            self.stop = Stop(converged=False, reason=reason)
        if not is_single:
            self._line = []
        self._position, self._gain, self._noise = 0, 0.0, 0.0
