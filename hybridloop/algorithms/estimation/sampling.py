"""Shots of a run: those of its search, and those by which its final measurement reaches a precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.final import Allocation, PlannedShots, planned_shots
from hybridloop.errors import InvalidValue

DEFAULT_SHOTS = 4000
DEFAULT_PRECISION = 0.7e-3  # hartree: 0.8e-3 leaves no margin for 1.6 mHa at the 95th percentile
MIN_PRECISION = 1e-12  # hartree: rounding in the sum of a molecule's terms


@dataclass(frozen=True, slots=True, eq=False)
class Sampling:
    """Sampling of a run's circuits.

    `shots` is per circuit in a search whose optimizer does not choose them, `precision` the standard error (in the
    observable's unit) of the final measurement, whose shots `allocation` distributes among the groups. No circuit of
    the search has fewer than `least_shots`, nor one of the final measurement's pilot that needs them. `deviations`
    (groups,) are those of one shot that are expected, None: unknown. Raises InputError for values that none can have.
    """

    shots: int = DEFAULT_SHOTS
    precision: float = DEFAULT_PRECISION
    least_shots: int = 1
    allocation: Allocation = Allocation.NEYMAN
    deviations: NDArray[np.float64] | None = None

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

    def planned(self, recent: Sequence[Estimate], groups: int) -> PlannedShots:
        """Return the shots of the final measurement by the last estimates: see `planned_shots`."""
        return planned_shots(recent, groups, self.shots, self.precision, self.allocation, self.least_shots)


DEFAULT_SAMPLING = Sampling()
