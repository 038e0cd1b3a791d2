"""Trust-region Newton optimizer: each round takes the shots that are missing for the next step, or for the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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
    check_one_for_each,
    check_positive,
    count_repeat,
    stop_without_angles,
)
from hybridloop.algorithms.optimizers.local_model import (
    EFFECTIVE_FREQUENCY,
    LocalFit,
    LocalModel,
    MeasuredRound,
    has_overtone,
    phase_units,
)
from hybridloop.algorithms.optimizers.names import DEFAULT_TOLERANCE, FIRST_SHOTS
from hybridloop.algorithms.rounds import FailedPoint

ENDS = (0.4, 0.12)  # share of the tolerance for gain and for noise; the second where a frequency is unknown
EXACT_SHIFT = math.pi / 2  # phase: of an angle with one frequency, where the shift rule is exact at any shift
SHIFT = 1.0  # phase: of an angle with two frequencies; larger shifts have less noise, and more bias
SHARED_SHIFTS = (math.pi / 4, 0.5, 3.0 * math.pi / 4)  # phases: of an angle with higher ones, the cheapest is taken
PLAIN_SHIFT = 0.15  # phase: of an angle with unknown frequencies
GROWTH = 4.0  # most shots of a round relative to all before it
NEARLY = 1.5  # of the least noise that a round can reach: an overtone is told by two shifts, not by shots of one
MARGIN = 0.8  # of the noise at the end: what a round aims for
AHEAD = 0.12  # noise that a round aims for, relative to the gain of the step before it
RADII = (0.05, 1.0, 1.5)  # phase: smallest, first and largest trust radius
STIFF_FLOOR = 0.15  # of curvatures relative to their mean: smaller ones are noise, or soft
REACH = 0.5  # phase over which an unresolved direction could still fall
TEST_SHARE = 0.5  # most shots of the test of such directions, relative to all before it
SIGMAS = 3.0  # standard errors of a fall in that test, and of slopes at a symmetric start
NEAR_START = 30.0  # times the end: of a start with a smaller gain, second harmonics are what is missing
SYMMETRIC = math.pi / 4  # angle: an exactly symmetric start has multiples of it
REFINEMENT = 2.0  # of the end, where a search goes on
MIN_SLOPE = 1e-9  # relative to the mean curvature: less is rounding
NEW = 0.3  # of the noise: a round that is expected to leave more of it would round an exact distribution alike
BISECTIONS = 40
ROUNDED = 0.4  # standard deviation of uniform errors of rounding, relative to their bound: 1 / √12 to `CLASS`

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """Newton step (n,) of a model, as phases, with its expected gain.

    Of each axis (columns of `axes`): the slope's variance, the size of its curvature that was taken, the share of that
    which is positive curvature, and the fall that a curvature which is not may hide within `REACH`. With `is_saddle`
    the first axis has negative curvature beyond noise.
    """

    step: Array
    gain: float
    axes: Array
    variances: Array
    sizes: Array
    shares: Array
    hidden: Array
    is_saddle: bool

    def noise(self, variances: Array) -> float:
        """Mean cost of shot noise for variances (n,) of the slopes along the axes: Σ variance / (2 curvature)."""
        costs = np.minimum(variances / (2.0 * self.sizes), np.sqrt(variances) * REACH)
        return float(self.shares @ costs)


@dataclass(slots=True)
class TrustRegion:
    """Newton steps in a trust region, from the slopes and curvatures of all angles in one round.

    Each round measures the point and a shift up and down along every angle. A quadratic model of all rounds
    (`LocalFit`) gives a Newton step, its expected gain, and the cost of shot noise, Σ variance / (2 curvature) over the
    slopes. A step that raises the energy beyond noise is taken back, and the radius halved.

    The next round takes the shots that are missing: as many as bring the noise to 0.12 of the gain, not below
    what the end needs (adaptive sampling in trust regions: S. Shashaani, F. S. Hashemi and R. Pasupathy, SIAM J. Optim.
    28 (2018) 3145); at least `least_shots` a point, at most four times all before it. Of the shifts that an angle with
    several frequencies may have, it takes those with the fewest shots.

    The search ends where gain and noise are each at most 0.4 `tolerance` (the energy's unit; 0.12 where a frequency
    is unknown), on a target that does not sample also where a further round would be rounded alike: no convergence.
    A saddle is left along its lowest curvature. Directions of unresolved curvature that may hide as much are tested
    once, by energies on both sides; a fall is a new start. Without a test they are no convergence, nor where a
    frequency is unknown. From an exactly symmetric start, where all slopes are zero, the search is repeated once
    from a random point nearby, drawn by `seed`, as a saddle may have positive curvature along each angle.

    `scales` (n,) in radians are comparable sizes of the angles, for those with unknown frequencies. With `is_random`,
    the start is arbitrary: the end may be one minimum of many, so that convergence is not claimed. Failed points are
    left out where the others determine the model; else the round is repeated.
    """

    can_skip: ClassVar[bool] = True

    point: Array
    frequencies: tuple[Frequencies, ...]
    tolerance: float = DEFAULT_TOLERANCE
    first_shots: int = FIRST_SHOTS
    least_shots: int = FIRST_SHOTS
    scales: Array | None = None
    is_random: bool = False
    seed: int = 0
    residue: float | None = field(default=None, init=False)
    fall: Fall | None = field(default=None, init=False)
    stop: Stop | None = field(default=None, init=False)
    _reached: PointEstimate | None = field(default=None, init=False)  # by the last step, by the model
    _end: float = field(init=False)  # gain and noise at which the search ends
    _fit: LocalFit = field(init=False)
    _units: Array = field(init=False)
    _offsets: Array = field(init=False)  # (k, n) of the next round's points from `point`, as phases
    _shots: float = field(init=False)
    _total: int = field(default=0, init=False)
    _shot_variance: float = field(default=0.0, init=False)
    _is_exact: bool = field(default=False, init=False)  # the newest round: distributions, rounded
    _radius: float = field(default=RADII[1], init=False)
    _rounds: list[MeasuredRound] = field(default_factory=list, init=False)
    _centre: int = field(default=0, init=False)
    _is_test: bool = field(default=False, init=False)  # the next round tests unresolved directions
    _is_tested: bool = field(default=False, init=False)
    _has_no_fall: bool = field(default=False, init=False)  # at any point of a test
    _model: LocalModel | None = field(default=None, init=False)  # at the centre, by the rounds before the newest
    _is_symmetric: bool = field(init=False)
    _before_kick: tuple[PointEstimate, float, list[MeasuredRound], int] | None = field(default=None, init=False)
    _repeats: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.point = validate_initial_point(self.point)
        check_one_for_each(self.frequencies, len(self.point))
        check_positive("tolerance", self.tolerance, "energy")
        check_at_least_one("shots", self.first_shots)
        self._end = ENDS[not all(self.frequencies)] * self.tolerance
        self._fit = LocalFit(self.frequencies)
        self._units = phase_units(self.frequencies, self.scales)
        self._offsets = self._shifted(SHARED_SHIFTS[0])
        self._shots = float(self.first_shots)
        self._is_symmetric = bool(
            np.allclose(self.point, SYMMETRIC * np.rint(self.point / SYMMETRIC), rtol=0.0, atol=1e-9)
        )
        self.stop = stop_without_angles(self.point)

    @property
    def best(self) -> PointEstimate | None:
        """Point of the last step, or of the end before a kick until the search after it ends; energy by the model."""
        return self._reached if self._before_kick is None else self._before_kick[0]

    @property
    def centre(self) -> Array:
        return self.point

    @property
    def point_shots(self) -> NDArray[np.int64]:
        """Shots of each point."""
        return np.full(len(self._offsets), max(1, round(self._shots)), dtype=np.int64)

    def ask(self) -> Array:
        """Return the present point, then each angle shifted up and down, or both sides of directions to be tested."""
        return np.empty((0, len(self.point))) if self.stop is not None else self.point + self._offsets / self._units

    def tell(self, points: Array, estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Fit the model, take its step, and choose the shots of the next round."""
        known = [each for each in estimates if isinstance(each, Estimate)]
        if not known:
            self._repeats = count_repeat(self._repeats, "trust-region", estimates)
            return
        self._total += sum(each.shots for each in known)
        self._is_exact = all(each.is_exact for each in known)
        self._shot_variance = float(np.mean([_variance(each) * each.shots for each in known]))
        pairs = [(e.value, _variance(e)) if isinstance(e, Estimate) else (math.nan, math.nan) for e in estimates]
        energies, variances = np.array(pairs, float).T
        measured = MeasuredRound(points * self._units, energies, variances)
        if self._is_test and self._has_fallen(measured):
            return
        self._rounds.append(measured)
        if not self._is_test:
            self._accept_or_step_back()
        is_determined = self._take_step()
        self._repeats = 0 if is_determined else count_repeat(self._repeats, "trust-region", estimates)

    def refine(self, tolerance: float | None = None) -> None:
        """Search on after an end: with strong couplings to half of its gain and noise, or to a smaller tolerance's."""
        if tolerance is None:
            self._end /= REFINEMENT
            self._fit, self._radius = replace(self._fit, is_strong=True), RADII[1]
        else:
            self.tolerance = tolerance
            self._end = min(self._end, ENDS[not all(self.frequencies)] * tolerance)
        self.stop, self._is_tested = None, False
        self._take_step()

    def _take_step(self) -> bool:
        """Fit the model, move to its minimum and plan what follows; return false if too few energies are known."""
        centre = self._rounds[self._centre].centre
        model = self._fit.model(self._rounds, centre)
        if model is None:
            return False
        self._is_test = False
        step = self._step(model)
        is_first = all(np.array_equal(each.centre, centre) for each in self._rounds)  # some may be repeated
        if is_first and step.gain <= NEAR_START * self._end and any(map(has_overtone, self.frequencies)):
            self._fit = replace(self._fit, with_overtones=True)
            model = self._fit.model(self._rounds, centre)
            assert model is not None  # the same energies determine it
            step = self._step(model)
        self._model, noise = model, step.noise(step.variances)
        if is_first:
            errors = np.sqrt(np.diag(model.covariance)[: len(centre)])
            rounding = MIN_SLOPE * model.mean_curvature
            self._is_symmetric &= bool((np.abs(model.slopes) <= SIGMAS * errors + rounding).all())
        self.point = validate_initial_point((centre + step.step) / self._units)
        self._reached = PointEstimate(self.point, model.value - step.gain, math.sqrt(model.variance))
        self.fall = Fall(*self._fit.fall(model, step.step))
        self.residue = step.gain + noise
        if max(step.gain, noise) <= self._end:
            self._finish(step, noise)
            return True
        expected = self._plan(model, step)
        if self._is_exact and step.gain <= self._end and expected > NEW * noise:
            self._finish(step, noise)
        return True

    def _accept_or_step_back(self) -> None:
        """Take the newest round as the centre, unless its energy is above the model's at the last one beyond noise."""
        latest, model = self._rounds[-1], self._model
        if model is not None:
            rise, error = latest.value - model.value, math.sqrt(latest.variance + model.variance)
            if math.isnan(rise):
                return
            if rise > error:
                self._radius = max(self._radius / 2.0, RADII[0])
                return
            self._radius = min(self._radius * (1.5 if -rise > error else 1.1), RADII[2])
        self._centre = len(self._rounds) - 1

    def _step(self, model: LocalModel) -> _Step:
        """Return the step to the model's minimum within the trust radius."""
        curvatures, axes = np.linalg.eigh(model.curvatures)
        slopes, variances, errors = model.along(axes)
        sizes = np.maximum(curvatures, STIFF_FLOOR * model.mean_curvature)
        if self._fit.is_strong:
            along = np.clip(-slopes / np.maximum(np.abs(curvatures), sizes), -self._radius, self._radius)
        else:
            along = -slopes / sizes
            along *= min(1.0, self._radius / max(float(np.abs(axes @ along).max()), 1e-12))
        step = axes @ along
        gain = float(-(slopes @ along) - 0.5 * (sizes * along**2).sum())
        shares = np.clip(curvatures, 0.0, sizes) / sizes
        hidden = np.where(curvatures > errors, 0.0, 0.5 * (2.0 * errors - curvatures) * REACH**2)
        return _Step(step, gain, axes, variances, sizes, shares, hidden, bool(curvatures[0] < -SIGMAS * errors[0]))

    def _plan(self, model: LocalModel, step: _Step) -> float:
        """Choose the shifts and the shots of the next round by what is missing; return the noise expected after it."""
        if not self._shot_variance:  # exact energies: the smallest shifts have the least bias
            self._offsets = self._shifted(min(SHARED_SHIFTS))
            return 0.0
        wanted = max(MARGIN * self._end, AHEAD * step.gain)
        plans: list[tuple[float, float, Array]] = []
        for shared in SHARED_SHIFTS if self._fit.with_overtones else SHARED_SHIFTS[:1]:
            offsets = self._shifted(shared)
            points = self.point * self._units + offsets
            variances = self._fit.variances_after(self._rounds, model, points, step.axes, self._shot_variance)
            shots = self._least_shots(lambda shots: step.noise(variances(shots)), wanted, len(offsets))  # noqa: B023
            plans.append((max(wanted, step.noise(variances(shots))), shots, offsets))
        expected, self._shots, self._offsets = min(plans, key=lambda plan: plan[:2])
        return expected

    def _least_shots(self, noise: Callable[[float], float], wanted: float, points: int) -> float:
        """Return the fewest shots of a point, within the limits of a round, whose noise is at most the wanted one."""
        few = float(self.least_shots)
        many = max(few, GROWTH * self._total / points)
        if self._fit.with_overtones:
            wanted = max(wanted, NEARLY * noise(many))
        if noise(few) <= wanted:
            return few
        for _ in range(BISECTIONS):
            middle = 0.5 * (few + many)
            few, many = (few, middle) if noise(middle) <= wanted else (middle, many)
        return many

    def _finish(self, step: _Step, noise: float) -> None:
        """Stop, unless a direction of unresolved curvature or a symmetric start may have hidden a lower minimum."""
        hidden = float(step.hidden.max())
        if hidden > self._end and step.is_saddle:
            self._restart(self.point + REACH * step.axes[:, 0] / self._units)
            return
        if hidden > self._end and not self._is_tested:
            self._plan_test(step)
            return
        assert self._reached is not None
        assert self.residue is not None
        if self._is_symmetric and len(self.point) > 1:
            self._is_symmetric = False
            self._before_kick = self._reached, self.residue, self._rounds, self._centre
            kick = np.random.default_rng(self.seed).normal(size=len(self.point))
            self._restart(self.point + REACH * kick / np.abs(kick).max() / self._units)
            return
        if self._before_kick is not None:
            before, residue, rounds, centre = self._before_kick
            if self._reached.value - before.value > math.hypot(before.standard_error, self._reached.standard_error):
                self._reached, self.residue, self._rounds, self._centre = before, residue, rounds, centre
            self._before_kick = None
        reason = (
            f"expected gain of the last step {step.gain:.2g}, cost of shot noise {noise:.2g}, for a tolerance of "
            f"{self.tolerance:.2g}"
        )
        if hidden > self._end:
            reason += f"; directions of unresolved curvature may hide {hidden:.2g}"
        if self.is_random:
            reason = f"best of 1 start: {reason}; other random angles may lead to a lower minimum"
        if noise > self._end:
            reason += "; the target's distribution is exact, but rounded, and another round would be rounded alike"
        is_shown = noise <= self._end and (hidden <= self._end or (self._has_no_fall and all(self.frequencies)))
        self.stop = Stop(converged=is_shown and not self.is_random, reason=reason)

    def _plan_test(self, step: _Step) -> None:
        """Plan a round of energies on both sides of unresolved directions, the lowest curvatures first.

        Each point gets the shots for a standard error of the end's size: a fall of some four times that is seen. As
        many directions are tested as `TEST_SHARE` allows.
        """
        self._is_test = self._is_tested = True
        most, wanted = TEST_SHARE * self._total, self._shot_variance / self._end**2
        (hidden,) = np.nonzero(step.hidden > self._end)  # in the order of curvatures
        sides = REACH * step.axes[:, hidden[: max(1, int(most / (2.0 * max(wanted, 1.0))))]].T
        self._offsets = np.vstack([np.zeros((1, len(self.point))), sides, -sides])
        self._shots = min(max(wanted, float(self.least_shots)), most / len(self._offsets))

    def _has_fallen(self, measured: MeasuredRound) -> bool:
        """Return whether a tested point is lower beyond noise; the search starts there again."""
        falls = measured.value - measured.energies
        errors = np.sqrt(measured.variance + measured.variances)
        (lower,) = np.nonzero(falls > SIGMAS * errors)
        if len(lower):
            lowest = lower[np.argmax(falls[lower])]
            self._restart(measured.points[lowest] / self._units)
        self._has_no_fall = not len(lower) and bool(np.isfinite(measured.energies).all())
        return bool(len(lower))

    def _restart(self, point: Array) -> None:
        self.point = validate_initial_point(point)
        self._rounds, self._centre, self._radius, self._model, self._repeats = [], 0, RADII[1], None, 0
        self._is_test = self._is_tested = self._has_no_fall = False
        self._offsets = self._shifted(SHARED_SHIFTS[0])
        self._shots = max(float(self.least_shots), min(self._shots, GROWTH * self._total / len(self._offsets)))

    def _shifted(self, shared: float) -> Array:
        """Return the offsets (2n + 1, n) of a round, as phases; `shared` is the shift of angles with an overtone."""
        count = len(self.point)
        shifts = np.diag([_shift(numbers, shared) for numbers in self.frequencies])
        offsets = np.zeros((2 * count + 1, count))
        offsets[1::2], offsets[2::2] = shifts, -shifts
        return offsets


def _shift(numbers: Frequencies, shared: float) -> float:
    """Return the shift of an angle with these frequencies, as a phase."""
    if not numbers:
        return PLAIN_SHIFT
    if len(numbers) == 1:
        return EXACT_SHIFT
    if max(numbers) <= EFFECTIVE_FREQUENCY:
        return SHIFT
    return shared if has_overtone(numbers) else min(shared, SHARED_SHIFTS[0])


def _variance(estimate: Estimate) -> float:
    """Return the variance; of an exact distribution that was rounded to its shots, that of uniform errors."""
    return (ROUNDED * estimate.rounding_bound) ** 2 if estimate.is_exact else estimate.variance
