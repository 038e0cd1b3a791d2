"""SPSA (simultaneous perturbation stochastic approximation) with its gain sequences, random signs and history."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import validate_initial_point
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import (
    ConvergenceForecast,
    PointEstimate,
    Stop,
    Termination,
    check_at_least_one,
    check_positive,
    count_repeat,
    stop_without_angles,
)
from hybridloop.algorithms.rounds import FailedPoint
from hybridloop.errors import InvalidValue

GAIN_DECAY = 0.602  # α, exponent of the step gain
SHIFT_DECAY = 0.101  # γ, exponent of the shift; α and γ are the smallest for which Spall's theorem holds, as he advises
STABILITY = 5.0  # A, in rounds: a tenth of a typical search
# Euclidean length of the first shift: longer ones leave the quadratic range, shorter ones drown in noise
SHIFT_RAD = 0.5
MIN_WINDOW = 5  # rounds whose slopes are averaged, at least
MIN_CURVATURE = 1e-3  # hartree per square radian: a floor for estimated curvatures
CALIBRATION_DIRECTIONS = 8  # of the first round, at least: the gain is calibrated by the slopes' mean square
MAX_GAIN = 1e6  # rad² per hartree: applies where all energies are equal
# hartree: soft directions have more to gain than the mean curvature predicts, so a third of chemical accuracy
DEFAULT_TERMINATION = Termination(tolerance=0.5e-3, patience=3)


def random_signs(seed: int, place: Sequence[int], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw random signs ±1 of a shape; they depend only on the seed and the place (three numbers at most).

    Raw bits of Philox, a counter-based generator (J. K. Salmon et al., SC '11), do not change with NumPy's version.

    >>> random_signs(7, (2, 0), (2, 3)).tolist()
    [[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]]
    """
    counter = [0, *place, *[0] * (3 - len(place))]  # the first word counts the draws at a place
    raw = np.random.Philox(key=seed, counter=counter).random_raw(math.prod(shape))
    return np.where(np.asarray(raw, np.uint64) >> np.uint64(63), 1.0, -1.0).reshape(shape)


def shift_rad(step: int, angles: int) -> float:
    """Shift of each angle in radians in step k = 0, 1, 2, …: c_k = c / (k + 1)^γ, with c = `SHIFT_RAD` / √angles."""
    return SHIFT_RAD / math.sqrt(max(angles, 1)) / math.pow(step + 1, SHIFT_DECAY)


def step_gain(scale: float, step: int) -> float:
    """Step gain a_k = a / (k + 1 + A)^α of step k = 0, 1, 2, … in rad² per hartree, with a = `scale`."""
    return scale / math.pow(step + 1 + STABILITY, GAIN_DECAY)


@dataclass(frozen=True, slots=True, eq=False)
class Iterate:
    """One round of SPSA: the point (n,) in radians, its energy in hartree and the energy's variance.

    `slopes` (n,) are estimated there, each with the variance `slope_variance` by shot noise; `curvature` is the mean
    along an angle.
    """

    point: NDArray[np.float64]
    value: float
    variance: float
    slopes: NDArray[np.float64]
    slope_variance: float
    curvature: float


def forecast(history: Sequence[Iterate], tolerance: float) -> ConvergenceForecast | None:
    """Forecast the gain to second order from the mean slopes of the last rounds; None before a window is full.

    The gain is Σ slope² / 2h, where h is the window's mean curvature along an angle. The window is lengthened until
    shot noise costs at most `tolerance` in it, up to half of all rounds.
    """
    window = _window(history, tolerance)
    if len(history) < window:
        return None
    slopes = np.mean([iterate.slopes for iterate in history[-window:]], axis=0)
    gain = float((slopes**2).sum()) / (2.0 * _curvature(history[-window:]))
    return ConvergenceForecast(gain, _noise_cost(history[-window:]), float(np.linalg.norm(slopes)))


def averaged_iterate(history: Sequence[Iterate], tolerance: float) -> PointEstimate:
    """Average the points and energies of the last rounds: a window, or half of all rounds if that is less.

    Iterate averaging (B. T. Polyak and A. B. Juditsky, SIAM J. Control Optim. 30 (1992) 838): the mean is nearer to
    the minimum than each iterate.
    """
    count = min(_window(history, tolerance), max(1, len(history) // 2))
    last = history[-count:]
    point: NDArray[np.float64] = np.mean([iterate.point for iterate in last], axis=0)
    point.setflags(write=False)
    error = math.sqrt(float(np.sum([iterate.variance for iterate in last]))) / count
    return PointEstimate(point, float(np.mean([iterate.value for iterate in last])), error)


def _window(history: Sequence[Iterate], tolerance: float) -> int:
    window = MIN_WINDOW
    while 2 * (window + 1) <= len(history) and _noise_cost(history[-window:]) > tolerance:
        window += 1
    return window


def _noise_cost(last: Sequence[Iterate]) -> float:
    variance = (
        float(np.sum([iterate.slope_variance for iterate in last])) / len(last) ** 2
    )  # of the mean slope along each angle
    return len(last[0].point) * variance / (2.0 * _curvature(last))


def _curvature(last: Sequence[Iterate]) -> float:
    return max(float(np.mean([iterate.curvature for iterate in last])), MIN_CURVATURE)


@dataclass(slots=True)
class Spsa:
    """SPSA: simultaneous perturbation stochastic approximation.

    J. C. Spall, IEEE Trans. Autom. Control 37 (1992) 332; gains and calibration: IEEE Trans. Aerosp. Electron. Syst. 34
    (1998) 817. A round measures the energy at θ and, in each of `resamplings` random directions Δ ∈ {±1}ⁿ, at θ ± c_k
    Δ. A difference over 2 c_k is the slope along Δ; the mean of (slope Δ) estimates the gradient. The step is −a_k
    times the gradient, limited to `step_rad` for each angle. Sums minus twice θ's energy give the trace of the Hessian.

    The first round has more directions and calibrates the gain scale a. The first step then changes angles by about
    `step_rad`, but the gain is at most 1 / (h (1 + (n − 1) / m)), which is stable with the measured curvature; h is the
    mean curvature along an angle, m the number of directions per round. The limit matters for a start near the minimum,
    where slopes are smaller than further away.

    The search has converged once the slopes of the last rounds predict no further gain (`forecast`). Its
    result is these rounds' mean point. Steps are not rejected when the noisy energy rises: with such blocking, half of
    the searches of H2 from random starts end 7 mHa or more above the minimum, instead of 0.3.

    A direction with a failed point is left out; where all directions have one, or θ failed, the round is repeated.
    """

    can_skip: ClassVar[bool] = True

    point: NDArray[np.float64]
    seed: int
    step_rad: float = 0.6
    resamplings: int = 4
    termination: Termination = DEFAULT_TERMINATION
    _gain_scale: float | None = field(default=None, init=False)  # a, in rad² per hartree; None before the first round
    _repeats: int = field(default=0, init=False)
    _history: list[Iterate] = field(default_factory=list, init=False)
    _forecasts: list[ConvergenceForecast] = field(default_factory=list, init=False)
    stop: Stop | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.point = validate_initial_point(self.point)
        if not 0 <= self.seed < 2**63:
            raise InvalidValue("seed", f"must be an integer from 0 to 2^63 - 1, got {self.seed}")
        check_positive("step_rad", self.step_rad, "angle in radians")
        check_at_least_one("resamplings", self.resamplings)
        self.stop = stop_without_angles(self.point)

    @property
    def residue(self) -> float | None:
        """Residue of the last forecast, in hartree."""
        return self._forecasts[-1].residue if self._forecasts else None

    @property
    def rounds(self) -> int:
        """Number of rounds that led to a step."""
        return len(self._history)

    @property
    def current(self) -> PointEstimate | None:
        if not self._history:
            return None
        last = self._history[-1]
        return PointEstimate(last.point, last.value, math.sqrt(last.variance))

    @property
    def best(self) -> PointEstimate | None:
        return averaged_iterate(self._history, self.termination.tolerance) if self._history else None

    def ask(self) -> NDArray[np.float64]:
        """Return the present point, then it shifted up along each direction, then down."""
        if self.stop is not None:
            return np.empty((0, len(self.point)))
        shifts = shift_rad(self.rounds, len(self.point)) * self._directions()
        return np.vstack([self.point, self.point + shifts, self.point - shifts])

    def _directions(self) -> NDArray[np.float64]:
        is_calibrated = self._gain_scale is not None
        count = self.resamplings if is_calibrated else max(self.resamplings, CALIBRATION_DIRECTIONS)
        return random_signs(self.seed, (self.rounds, 0), (count, len(self.point)))

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Estimate the gradient and step down; repeat the round if no direction is known."""
        # Pair the estimates up and down each direction; leave out directions with a failed point.
        directions, centre = self._directions(), estimates[0]
        ups, downs = estimates[1 : 1 + len(directions)], estimates[1 + len(directions) :]
        sides = [
            (direction, up, down)
            for direction, up, down in zip(directions, ups, downs, strict=True)
            if isinstance(up, Estimate) and isinstance(down, Estimate)
        ]
        if not sides or isinstance(centre, FailedPoint):
            self._repeats = count_repeat(self._repeats, "spsa", estimates)
            return
        self._repeats = 0

        # Estimate slopes, their variance by shot noise, and the mean curvature along an angle.
        shift, count, angles = shift_rad(self.rounds, len(self.point)), len(sides), len(self.point)
        along = np.array([up.value - down.value for _, up, down in sides]) / (2.0 * shift)
        sums = np.array([up.value + down.value for _, up, down in sides])
        slopes = (along[:, None] * np.array([direction for direction, _, _ in sides])).mean(axis=0)
        noise = math.fsum(up.variance + down.variance for _, up, down in sides) / (2.0 * shift * count) ** 2
        curvature = (float(sums.mean()) - 2.0 * centre.value) / (shift**2 * angles)

        # Record the round, step, and check for convergence.
        if self._gain_scale is None:
            self._gain_scale = self._calibrated_scale(along, curvature)
        gain = step_gain(self._gain_scale, self.rounds)
        self._history.append(Iterate(self.point, centre.value, centre.variance, slopes, noise, curvature))
        step = -gain * slopes
        step *= min(1.0, self.step_rad / max(float(np.abs(step).max()), 1e-12))
        self.point = self.point + step
        self.point.setflags(write=False)
        self._check_convergence()

    def _calibrated_scale(self, along: NDArray[np.float64], curvature: float) -> float:
        """Gain scale a, from the slopes along directions and the mean curvature along an angle."""
        angles = len(self.point)
        # the mean over m directions has an error from the other angles' slopes: (n − 1) / m of their mean square
        excess = 1.0 + (angles - 1) / self.resamplings
        typical = math.sqrt(float((along**2).mean()) / angles * excess)
        newton = math.inf if curvature <= 0 else 1.0 / (curvature * excess)
        first = self.step_rad / typical if typical > 0 else math.inf
        return min(first, newton, MAX_GAIN) / step_gain(1.0, 0)

    def _check_convergence(self) -> None:
        if (latest := forecast(self._history, self.termination.tolerance)) is not None:
            self._forecasts.append(latest)
        stop = self.termination.check(self._forecasts, self.rounds)
        if stop is not None and stop.converged:
            last = self._forecasts[-1]
            reason = f"expected gain by the last rounds' slopes {1e3 * last.gain:.2g} mHa"
            stop = replace(stop, reason=f"{reason}, cost of shot noise {1e3 * last.noise:.2g} mHa")
        self.stop = stop
