"""Search driver: an ask-and-tell optimizer in measured rounds, with the shots that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.estimates import Estimate, Evaluation
from hybridloop.algorithms.estimation.observable import Observable
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.optimizers.base import (
    ForecastingOptimizer,
    Optimizer,
    PointEstimate,
    RefinableOptimizer,
    ShotAllocatingOptimizer,
    Stop,
    check_at_least_one,
    residue_of,
)
from hybridloop.algorithms.optimizers.missing_points import (
    FAIL,
    MissingPointPolicy,
    apply_missing_point_policy,
    check_missing_point_policy,
)
from hybridloop.algorithms.outcome import RoundLog
from hybridloop.algorithms.rounds import FailedPoint
from hybridloop.errors import InputError, RoundTooLarge

DEFAULT_MAX_ROUNDS = 200
MAX_REFINEMENTS = 2  # of a search whose end is too far from the minimum


@dataclass(slots=True)
class ShotShares:
    """Neyman shares of a point's shots among the measured groups: by the standard deviation of one shot.

    `deviations` (groups,) are those that are expected before the first round; each round updates them by half. Each
    group gets `least` shots, and the others share what is left.
    """

    deviations: NDArray[np.float64]
    least: int = 1

    @classmethod
    def of(cls, observable: Observable, least: int = 1) -> Self:
        """Expect the deviations of a random state: √Σ c² of each group."""
        return cls(np.array([np.linalg.norm(group.coefficients) for group in observable.groups]), least)

    def allocate(self, point_shots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the shots (k, groups) of points with these shots (k,) each."""
        return np.array([self._shares(shots) for shots in point_shots.tolist()], np.int64)

    def _shares(self, shots: int) -> NDArray[np.float64]:
        deviations = self.deviations if self.deviations.any() else np.ones_like(self.deviations)
        has_least = np.zeros(len(deviations), bool)
        while True:
            left = shots - self.least * int(has_least.sum())
            shares = np.where(
                has_least, self.least, np.rint(left * deviations / max(deviations[~has_least].sum(), 1e-300))
            )
            if not (below := shares < self.least).any():
                return shares
            has_least |= below

    def update(self, estimates: Sequence[Estimate]) -> None:
        """Take the deviations of a round into account."""
        if estimates:
            variances = np.mean([estimate.shot_variances for estimate in estimates], axis=0)
            self.deviations = (self.deviations + np.sqrt(variances)) / 2.0


@dataclass(frozen=True, slots=True, eq=False)
class SearchEnd:
    """End of a search: the point (n,) to measure, why it stopped, and what it is expected to leave above its minimum.

    `residue` is None where that is unknown. `measured` is the estimate with the lowest upper bound among those of the
    search's centres (of an optimizer without centres, of all points); None if none was measured.
    """

    point: NDArray[np.float64]
    stop: Stop
    residue: float | None = None
    measured: PointEstimate | None = None


FallsShort = Callable[[NDArray[np.float64], float], bool]  # of an optimizer's best point (n,) and its residue


@dataclass(frozen=True, slots=True)
class Search:
    """A search by an ask-and-tell optimizer: its most rounds, and what it takes for points of failed jobs.

    At its end an optimizer that can be refined goes on to each of the tolerances `then`, in order: a run that is
    extended to a smaller one takes its rounds again before. `recent` are the estimates of the last known round.
    Raises InputError for an optimizer that does not fit the policy `on_lost`.
    """

    optimizer: Optimizer
    max_rounds: int = DEFAULT_MAX_ROUNDS
    on_lost: MissingPointPolicy = FAIL
    then: tuple[float, ...] = ()
    recent: list[Estimate] = field(default_factory=list, init=False)
    _lowest: list[PointEstimate] = field(default_factory=list, init=False)  # by upper bound, so far; at most one

    def __post_init__(self) -> None:
        check_at_least_one("max_rounds", self.max_rounds)
        check_missing_point_policy(self.on_lost, self.optimizer)

    def run(
        self,
        evaluated: Evaluation,
        start: NDArray[np.float64],
        sampling: Sampling,
        log: RoundLog,
        falls_short: FallsShort | None = None,
    ) -> SearchEnd:
        """Run the optimizer from a start (n,) to its end, or for the most rounds.

        The shots of an optimizer that chooses them are shared among the groups. An optimizer that converged at a point
        that `falls_short` is refined, if it can be, `MAX_REFINEMENTS` times at most. A round is shown with the energy
        measured at its centre; else with the lowest upper bound so far. Raises InputError where the optimizer asks for
        points of another shape, and RoundTooLarge where the first round does not fit into the caps.
        """
        optimizer = self.optimizer
        capped: Stop | None = None
        shares = ShotShares.of(evaluated.observable, sampling.least_shots)
        lost, refinements, met, then = 0, 0, None, list(self.then)
        for _ in range(self.max_rounds):
            points, stop = _ask(optimizer, len(start)), optimizer.stop
            while not len(points) and refinements < MAX_REFINEMENTS and _has_refined(optimizer, falls_short):
                refinements, met = refinements + 1, stop
                points = _ask(optimizer, len(start))
            while not len(points) and then and isinstance(optimizer, RefinableOptimizer):
                optimizer.refine(then.pop(0))
                points, met = _ask(optimizer, len(start)), None
            if not len(points):
                break
            centre = optimizer.centre if isinstance(optimizer, ForecastingOptimizer) else None
            wanted: int | NDArray[np.int64] = sampling.shots
            if isinstance(optimizer, ShotAllocatingOptimizer):
                wanted = sampling.whole_jobs_of(shares.allocate(optimizer.point_shots))
            try:
                measured, estimates = evaluated.energies(points, wanted)
            except RoundTooLarge as reached:
                if not self.recent:
                    raise
                capped = cap_limit(reached)
                break
            known = [estimate for estimate in estimates if isinstance(estimate, Estimate)]
            lost += len(estimates) - len(known)
            self.recent[:] = known or self.recent
            shares.update(self.recent)
            optimizer.tell(measured, apply_missing_point_policy(estimates, self.on_lost, can_skip=optimizer.can_skip))
            circuits = len(points) * len(evaluated.circuits)
            taken = circuits * wanted if isinstance(wanted, int) else int(wanted.sum())
            shown = self._shown(points == centre if centre is not None else None, measured, estimates)
            log.add("search", shown, len(points), circuits, taken)
        if optimizer.stop is None and capped is None:
            optimizer.ask()  # some set `stop` only when they are asked again
        end = capped or optimizer.stop or round_limit(self.max_rounds)
        if met is not None and optimizer.stop is None:  # what ends a refinement takes nothing from the end before it
            end = replace(met, reason=f"{met.reason}; then {end.reason}")
        return self._ended(start, _with_lost_points(end, lost, can_skip=optimizer.can_skip), met or optimizer.stop)

    def _shown(
        self,
        is_centre: NDArray[np.bool_] | None,
        measured: NDArray[np.float64],
        estimates: Sequence[Estimate | FailedPoint],
    ) -> PointEstimate | None:
        """Return the round's estimate at its centre, or the one with the lowest upper bound so far; None without any.

        `is_centre` (k, n) compares the angles of each point with the centre's; None of an optimizer without one.
        """
        rows = range(len(estimates)) if is_centre is None else np.nonzero(is_centre.all(axis=1))[0].tolist()
        found = [PointEstimate.of(each, measured[row]) for row in rows if isinstance(each := estimates[row], Estimate)]
        lowest = min([*self._lowest, *found], key=lambda each: each.upper_bound, default=None)
        if lowest is None:
            return None
        self._lowest[:] = [lowest]
        return found[0] if is_centre is not None and found else lowest

    def _ended(self, start: NDArray[np.float64], stop: Stop, own: Stop | None) -> SearchEnd:
        """Return the end at the optimizer's point, if it ended by itself (`own`); else at the best one by measurement.

        That is the last step, where the fall to it is forecast beyond the forecast's error, else the point with the
        lowest upper bound.
        """
        optimizer, best = self.optimizer, self.optimizer.best
        lowest = self._lowest[-1] if self._lowest else None
        if own is not None and best is not None:
            return SearchEnd(best.point, stop, residue_of(optimizer), lowest)
        if lowest is None:
            return SearchEnd(start, stop)
        fall = optimizer.fall if isinstance(optimizer, ForecastingOptimizer) else None
        if best is not None and fall is not None and fall.is_significant and best.value < lowest.upper_bound:
            where = f"the last step, forecast {fall.amount:.2g} ± {fall.standard_error:.2g} better than its centre"
            return SearchEnd(best.point, _at(stop, where), residue_of(optimizer), lowest)
        is_start = np.array_equal(lowest.point, start)
        where = f"the {'start' if is_start else 'point'} whose measured value is the best within two standard errors"
        return SearchEnd(lowest.point, _at(stop, where), None, lowest)


def _at(stop: Stop, where: str) -> Stop:
    return replace(stop, reason=f"{stop.reason}; measured at {where}")


def _has_refined(optimizer: Optimizer, falls_short: FallsShort | None) -> bool:
    """Refine an optimizer whose end falls short, if it can be; return whether it was."""
    stop, best = optimizer.stop, optimizer.best
    if falls_short is None or stop is None or best is None or not isinstance(optimizer, RefinableOptimizer):
        return False
    is_refined = stop.converged and falls_short(best.point, residue_of(optimizer) or 0.0)
    if is_refined:
        optimizer.refine()
    return is_refined


def _with_lost_points(stop: Stop, lost: int, *, can_skip: bool) -> Stop:
    """Return a stop that tells the points of lost jobs; a search that got penalties for them claims nothing."""
    if not lost:
        return stop
    what = f"without {lost} point(s) of lost jobs"
    if not can_skip:
        what = f"{lost} point(s) of lost jobs were penalties, so that this end shows no minimum"
    return replace(stop, converged=stop.converged and can_skip, reason=f"{stop.reason}; {what}")


def cap_limit(reached: RoundTooLarge) -> Stop:
    """Return the end of a search whose next round would take what is kept for the final measurement."""
    reason = f"{reached.cap} leaves only the final measurement"
    return Stop(converged=False, reason=reason)


def round_limit(max_rounds: int) -> Stop:
    """Return the end of a search after `max_rounds` rounds; fewer than the default are what the caller requested."""
    if max_rounds < DEFAULT_MAX_ROUNDS:
        return Stop(converged=False, reason=f"max_rounds={max_rounds}, as requested", is_requested=True)
    return Stop(converged=False, reason=f"the limit of {max_rounds} rounds was reached; raise max_rounds")


_EARLIER_ROUNDS = "This round was not submitted; the results of earlier ones are kept."


def _ask(optimizer: Optimizer, angles: int) -> NDArray[np.float64]:
    points = optimizer.ask()
    if points.ndim != 2 or points.shape[1] != angles:
        problem = f"it asks for points of shape {points.shape}, the ansatz has {angles} angle(s)"
        remedy = "Start it from a point with one angle for each parameter."
        raise InputError("optimizer", problem, remedy, _EARLIER_ROUNDS)
    if not np.isfinite(points).all():
        problem = "it asks for an angle that is not finite"
        raise InputError("optimizer", problem, "Choose another optimizer.", _EARLIER_ROUNDS)
    return points
