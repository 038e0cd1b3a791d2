"""Trust-region Newton optimizer: few shots first, and more where noise costs more than a step gains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Frequencies, validate_initial_point
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import (
    PointEstimate,
    Stop,
    check_at_least_one,
    check_one_for_each,
    check_positive,
    count_repeat,
    stop_without_angles,
)
from hybridloop.algorithms.optimizers.local_model import (
    EFFECTIVE_FREQUENCY,
    LocalModel,
    MeasuredRound,
    fit_energies,
    fit_slopes,
    phase_units,
)
from hybridloop.algorithms.rounds import FailedPoint

FIRST_SHOTS = 200  # of a point, over all groups
DEFAULT_TOLERANCE = 1.6e-3  # hartree: chemical accuracy
ENDS = (0.5, 0.2)  # share of the tolerance for gain and for noise; the second where a frequency is unknown
EXACT_SHIFT = math.pi / 2  # phase: of an angle with one frequency, where the shift rule is exact at any shift
SHIFT = 1.0  # phase: of an angle with two frequencies; larger shifts have less noise, and more bias
SHARED_SHIFTS = (0.785, 0.5)  # phase: of an angle with higher frequencies, far from the end and near it
NEAR_END = 8.0  # times the gain at the end: a smaller one is near it
PLAIN_SHIFT = 0.25  # phase: of an angle with unknown frequencies
CENTRE_SHARE = 0.15  # further shots of the centre for each angle, as all curvatures need its energy
GROWTH = (0.7, 2.0)  # least and largest factor of the shots from round to round
LARGEST_ROUND = (0.3, 0.05)  # shots of a round relative to all before it: while descending, and on a plateau
RADII = (0.05, 1.0, 1.5)  # phase: smallest, first and largest trust radius
STIFF_FLOOR = 0.15  # of curvatures relative to their mean, while descending: smaller ones are noise, or soft
PLATEAU_FLOOR = 0.01  # the same on a plateau
REACH = 0.5  # phase over which an unresolved direction could still fall
PLATEAU_BUDGET = 1.5  # times all shots so far, in which the energy must fall on a plateau
SIGMAS = 3.0  # standard errors of such a fall, which is also at least the gain at the end

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Forecast:
    """Forecast of a step: gain, cost of shot noise, and what directions of unresolved curvature may hide."""

    gain: float
    noise: float
    hidden: float


@dataclass(slots=True)
class TrustRegion:
    """Newton steps in a trust region, from the slopes and curvatures of all angles in one round.

    Each round measures the point and a shift up and down along every angle. A quadratic model of all rounds
    (`fit_energies`) gives a Newton step, its expected gain, and the cost of shot noise, Σ var(slope) / (2 curvature).
    The first round takes `first_shots` a point. Where noise costs more than the step gains, the next round takes up to
    twice as many, as far as they are at most a third of all shots so far: early steps need no precision (adaptive
    sampling in trust regions: S. Shashaani, F. S. Hashemi and R. Pasupathy, SIAM J. Optim. 28 (2018) 3145). A step that
    raises the energy beyond noise is taken back, and the radius halved.

    The descent ends where gain and noise are each at most half of `tolerance` (the energy's unit; a fifth where a
    frequency is unknown). It has converged if each curvature is positive beyond its standard error, or too small to
    hide as much within `REACH`. Else the search goes on as on a plateau: with a model of slopes, steps along the size
    of each curvature, which leave saddles (saddle-free Newton: Y. Dauphin et al., NeurIPS 27 (2014) 2933), and shots
    that grow slowly. It ends without a claim if `PLATEAU_BUDGET` times the shots so far lower the energy no more.

    `scales` (n,) in radians are comparable sizes of the angles, for those with unknown frequencies. With `is_random`,
    the start is arbitrary: the end may be one minimum of many, so that convergence is not claimed. Failed points are
    left out where the others determine the model; else the round is repeated.
    """

    can_skip: ClassVar[bool] = True

    point: Array
    frequencies: tuple[Frequencies, ...]
    tolerance: float = DEFAULT_TOLERANCE
    first_shots: int = FIRST_SHOTS
    scales: Array | None = None
    is_random: bool = False
    residue: float | None = field(default=None, init=False)
    current: PointEstimate | None = field(default=None, init=False)
    stop: Stop | None = field(default=None, init=False)
    _units: Array = field(init=False)
    _shifts: Array = field(init=False)
    _shots: float = field(init=False)
    _total: int = field(default=0, init=False)
    _radius: float = field(default=RADII[1], init=False)
    _rounds: list[MeasuredRound] = field(default_factory=list, init=False)
    _centre: int = field(default=0, init=False)
    _landmark: tuple[MeasuredRound, int] | None = field(default=None, init=False)  # with all shots until then
    _repeats: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.point = validate_initial_point(self.point)
        check_one_for_each(self.frequencies, len(self.point))
        check_positive("tolerance", self.tolerance, "energy")
        check_at_least_one("shots", self.first_shots)
        self._units = phase_units(self.frequencies, self.scales)
        self._shifts = np.array([_shift(numbers, SHARED_SHIFTS[0]) for numbers in self.frequencies])
        self._shots = float(self.first_shots)
        self.stop = stop_without_angles(self.point)

    @property
    def _end(self) -> float:
        """Gain and noise at which the descent ends."""
        return ENDS[not all(self.frequencies)] * self.tolerance

    @property
    def _on_plateau(self) -> bool:
        return self._landmark is not None

    @property
    def best(self) -> PointEstimate | None:
        """Point of the last step, with its energy by the model."""
        return self.current

    @property
    def point_shots(self) -> NDArray[np.int64]:
        """Shots of each point: the centre has more, as every curvature needs its energy."""
        shots = np.full(2 * len(self.point) + 1, round(self._shots))
        shots[0] = round(self._shots * (1.0 + CENTRE_SHARE * len(self.point)))
        return shots

    def ask(self) -> Array:
        """Return the present point, then each angle shifted up and down."""
        if self.stop is not None:
            return np.empty((0, len(self.point)))
        points, shifts = np.tile(self.point, (2 * len(self.point) + 1, 1)), np.diag(self._shifts / self._units)
        points[1::2] += shifts
        points[2::2] -= shifts
        return points

    def tell(self, points: Array, estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Fit the model, take its step, and choose the shots of the next round."""
        self._total += sum(each.shots for each in estimates if isinstance(each, Estimate))
        pairs = [(e.value, _variance(e)) if isinstance(e, Estimate) else (math.nan, math.nan) for e in estimates]
        energies, variances = np.array(pairs, float).T
        measured = MeasuredRound(points[0] * self._units, self._shifts, energies, variances)
        is_whole = bool(np.isfinite(energies).all())
        if not is_whole and (self._on_plateau or not math.isfinite(energies[0])):
            self._repeats = count_repeat(self._repeats, "trust-region", estimates)
            return
        before = self._radius, self._shots, self._centre
        self._rounds.append(measured)
        self._accept_or_step_back()
        centre = self._rounds[self._centre]
        model = self._fit(centre)
        if model is None:
            self._rounds.pop()
            self._radius, self._shots, self._centre = before
            self._repeats = count_repeat(self._repeats, "trust-region", estimates)
            return
        self._repeats = 0
        forecast = self._step(model, centre)
        if forecast.gain <= NEAR_END * self._end:
            self._shifts = np.array([_shift(numbers, SHARED_SHIFTS[1]) for numbers in self.frequencies])
        self._decide(forecast)
        self._choose_shots(forecast)

    def _accept_or_step_back(self) -> None:
        """Take the newest round as the centre, unless its energy is above the last one's beyond noise."""
        latest, centre = self._rounds[-1], self._rounds[self._centre]
        rise, error = latest.value - centre.value, math.sqrt(latest.variance + centre.variance)
        if len(self._rounds) > 1 and rise > error:
            self._radius = max(self._radius / 2.0, RADII[0])
            self._shots *= 1.4
            return
        self._radius = min(self._radius * (1.5 if -rise > error else 1.1), RADII[2])
        self._centre = len(self._rounds) - 1

    def _fit(self, centre: MeasuredRound) -> LocalModel | None:
        if self._on_plateau:
            return fit_slopes(self._rounds, centre, self.frequencies)
        return fit_energies(self._rounds, centre.centre, self.frequencies)

    def _step(self, model: LocalModel, centre: MeasuredRound) -> _Forecast:
        """Move to the model's minimum within the trust radius."""
        curvatures, axes = np.linalg.eigh(model.curvatures)
        slopes, variances, errors = model.along(axes)
        mean = model.mean_curvature
        if self._on_plateau:
            sizes = np.maximum(np.sqrt(curvatures**2 + errors**2), PLATEAU_FLOOR * mean)
            taken = slopes * slopes**2 / np.maximum(slopes**2 + variances, 1e-300)
        else:
            sizes, taken = np.maximum(curvatures, STIFF_FLOOR * mean), slopes
        step = -axes @ (taken / sizes)
        step *= min(1.0, self._radius / max(float(np.abs(step).max()), 1e-12))
        gain = float(-(model.slopes @ step) - 0.5 * (sizes * (axes.T @ step) ** 2).sum())
        noise = float(np.minimum(variances / (2.0 * sizes), np.sqrt(variances) * REACH).sum())
        hidden = np.where(curvatures > errors, 0.0, 0.5 * (2.0 * errors - curvatures) * REACH**2)
        self.point = validate_initial_point((centre.centre + step) / self._units)
        self.current = PointEstimate(self.point, model.value - gain, math.sqrt(model.variance))
        self.residue = max(0.0, gain) + noise
        return _Forecast(gain, noise, float(hidden.max(initial=0.0)))

    def _decide(self, forecast: _Forecast) -> None:
        """Stop at the end of a descent whose curvatures are resolved; go on as on a plateau where they are not."""
        reason = f"expected gain of the last step {forecast.gain:.2g}, cost of shot noise {forecast.noise:.2g}"
        if self._landmark is not None and self._is_level(self._landmark):
            hidden = f"directions of unresolved curvature may hide {forecast.hidden:.2g}"
            self.stop = Stop(converged=False, reason=f"plateau: {reason}; {hidden}")
        if max(forecast.gain, forecast.noise) > self._end or not self._total:  # penalties alone are no evidence
            return
        if forecast.hidden <= self._end:
            if self.is_random:
                reason = f"best of 1 start: {reason}; other random angles may lead to a lower minimum"
            self.stop = Stop(converged=not self.is_random, reason=reason)
            return
        if self._landmark is None:
            self._landmark = self._rounds[self._centre], self._total

    def _is_level(self, landmark: tuple[MeasuredRound, int]) -> bool:
        """Return whether the energy did not fall in the shots of a plateau; a fall is the next landmark."""
        before, centre = landmark[0], self._rounds[self._centre]
        noise = math.sqrt(before.variance + centre.variance)
        if before.value - centre.value > max(SIGMAS * noise, self._end):
            self._landmark = centre, self._total
            return False
        return self._total > (1.0 + PLATEAU_BUDGET) * landmark[1]

    def _choose_shots(self, forecast: _Forecast) -> None:
        excess = forecast.noise / max(forecast.gain, self._end)
        least = 1.0 if self._on_plateau else GROWTH[0]  # with fewer shots, no curvature would be resolved
        wanted = self._shots * min(max(excess, least), GROWTH[1])
        most = LARGEST_ROUND[self._on_plateau] * self._total / (2.0 * len(self.point) + 1.0)
        self._shots = max(1.0, min(wanted, max(most, float(self.first_shots))))


def _shift(numbers: Frequencies, shared: float) -> float:
    """Return the shift of an angle with these frequencies, as a phase."""
    if not numbers:
        return PLAIN_SHIFT
    if len(numbers) == 1:
        return EXACT_SHIFT
    return SHIFT if max(numbers) <= EFFECTIVE_FREQUENCY else shared


def _variance(estimate: Estimate) -> float:
    """Return the variance; of an exact distribution that was rounded to its shots, the square of half the bound."""
    return (0.5 * estimate.rounding_bound) ** 2 if estimate.is_exact else estimate.variance
