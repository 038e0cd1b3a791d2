"""Shots of a run: those of its search, and those by which its final measurement reaches a precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.choices import Allocation
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.final import (
    MAX_SHOTS,
    MIN_PILOT_SHOTS,
    PRECISION_MARGIN,
    neyman_allocation,
    uniform_allocation,
)
from hybridloop.algorithms.rounds import whole_jobs
from hybridloop.errors import InvalidValue

DEFAULT_SHOTS = 4000
DEFAULT_PRECISION = 0.7e-3  # hartree: 0.8e-3 leaves no margin for 1.6 mHa at the 95th percentile
MIN_PRECISION = 1e-12  # hartree: rounding in the sum of a molecule's terms
PILOT_FRACTION = 0.5  # of the shots that the search's variances predict: rare outcomes must be seen often enough
UNSEEN_FRACTION = 0.68  # of the precision: three of such errors are a tolerance of 16 / 7 precisions, less a margin


class PlannedShots(NamedTuple):
    """Shots of each group in a final measurement's pilot round, and in the whole of it."""

    pilot: list[int]
    whole: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class Sampling:
    """Sampling of a run's circuits.

    `shots` is per circuit in a search whose optimizer does not choose them, `precision` the standard error (in the
    observable's unit) of the final measurement, whose shots `allocation` distributes among the groups. No circuit of
    the search has fewer than `least_shots`, nor one of the final measurement's pilot that needs them. `deviations`
    (groups,) are those of one shot that are expected, None: unknown; `widths` are the ranges of a shot's values in the
    same groups. `job_shots` are the most shots of a job, where
    each job has a price of its own; else None. Computed shots are at least `fewest_shots`. Raises InputError for
    values that none can have.
    """

    shots: int = DEFAULT_SHOTS
    precision: float = DEFAULT_PRECISION
    least_shots: int = 1
    allocation: Allocation = Allocation.NEYMAN
    deviations: NDArray[np.float64] | None = None
    widths: tuple[float, ...] = ()
    job_shots: int | None = None
    fewest_shots: int = 1

    def __post_init__(self) -> None:
        if self.shots < 1:
            raise InvalidValue("shots", f"must be at least 1, got {self.shots}")
        if not MIN_PRECISION <= self.precision < math.inf:
            problem = f"must be a finite number of hartree of at least {MIN_PRECISION:g}, got {self.precision}"
            raise InvalidValue("precision", problem)

    @property
    def expected(self) -> list[Estimate]:
        """The estimate that is expected before anything is measured, for `planned`; empty where it is unknown."""
        return [] if self.deviations is None else [Estimate(0.0, 0.0, 0, shot_variances=tuple(self.deviations**2))]

    def whole_jobs(self, shots: int) -> int:
        """Return computed shots of a circuit as jobs take them; none stay none, and those of `shots` as they are."""
        return shots if shots in (0, self.shots) else whole_jobs(max(shots, self.fewest_shots), self.job_shots)

    def whole_jobs_of(self, shots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return `whole_jobs` of each number."""
        return np.array([self.whole_jobs(each) for each in shots.ravel().tolist()], np.int64).reshape(shots.shape)

    def further_shots(
        self, shot_variances: Sequence[float], measured: Sequence[int], target_variance: float
    ) -> list[int]:
        """Return further shots for each group, so that Σ variance_g / shots_g about meets the target."""
        allocate = neyman_allocation if self.allocation is Allocation.NEYMAN else uniform_allocation
        further = allocate(shot_variances, measured, target_variance)
        return list(map(self.whole_jobs, further))

    def planned(
        self, recent: Sequence[Estimate], groups: int, weights: Sequence[float] = (1.0,), beside: int = 0
    ) -> PlannedShots:
        """Return the final measurement's shots by the search's last round; else `shots` in its pilot, or the minimum.

        For each group the smallest variance of that round's points counts, but at least a tenth of their mean: a
        variance may vanish at one of them by chance, as the diagonal group's does at Hartree-Fock. A group gets
        `least_shots` where the precision takes as many: a further round would cost them again. It gets the shots by
        which outcomes that are not seen are bounded well enough: a state that is nearly an eigenstate of what is
        measured needs no more. A target that does not
        sample gets at least the shots that bring its rounding bound, proportional to 1 / shots, to `precision`.
        Groups are measured in copies with these `weights`, one set of all groups after the other, which together have
        the least pilot of one circuit. Circuits `beside` the groups get the most shots of one of them.
        """
        copies, circuits = len(weights), groups * len(weights)
        if not recent or not groups:
            pilot = [math.ceil(max(self.shots, MIN_PILOT_SHOTS) / copies)] * circuits
            return _with_beside(pilot, [math.ceil(each / PILOT_FRACTION) for each in pilot], beside)
        by_group = zip(*(estimate.shot_variances for estimate in recent), strict=True)
        of_groups = [max(min(values), 0.1 * fmean(values)) for values in by_group]
        variances = [weight**2 * variance for weight in weights for variance in of_groups]
        needed = self.further_shots(variances, [0] * circuits, self.precision**2)
        rounding = max(each.rounding_bound * each.shots for each in recent) / (PRECISION_MARGIN * self.precision)
        least = max(math.ceil(MIN_PILOT_SHOTS / copies), math.ceil(min(rounding, MAX_SHOTS) / circuits))
        widths = [abs(w) * width for w in weights for width in self.widths] if len(self.widths) == groups else []
        unseen = [math.ceil(width / (UNSEEN_FRACTION * self.precision)) for width in widths or (0.0,) * circuits]
        pilot = [
            self.whole_jobs(max(least, math.ceil(PILOT_FRACTION * each), min(each, self.least_shots), few))
            for each, few in zip(needed, unseen, strict=True)
        ]
        return _with_beside(pilot, list(map(max, pilot, needed)), beside)


def _with_beside(pilot: list[int], whole: list[int], beside: int) -> PlannedShots:
    return PlannedShots(*(each + [max(each, default=0)] * beside for each in (pilot, whole)))


DEFAULT_SAMPLING = Sampling()
