"""Shared state of optimizers that fit a model of known frequencies, from one round or pooled over all rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Frequencies, validate_initial_point
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import (
    ConvergenceForecast,
    DataclassState,
    PointEstimate,
    Stop,
    Termination,
    count_repeat,
    stop_without_angles,
    validate_frequencies,
)
from hybridloop.algorithms.rounds import FailedPoint


@dataclass(slots=True)
class FitOptimizer(DataclassState):
    """Optimizer state: the present point, the energy's frequencies in each angle, and the repeats of failed points.

    Each step moves to the minimum of a fit, `current`.
    """

    can_skip: ClassVar[bool] = True

    point: NDArray[np.float64]
    frequencies: tuple[Frequencies, ...]
    _again: list[int] = field(default_factory=list, init=False)  # indices of this round's failed points
    _repeats: int = field(default=0, init=False)
    current: PointEstimate | None = field(default=None, init=False)
    stop: Stop | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.point = validate_initial_point(self.point)
        self.frequencies = validate_frequencies(self.frequencies, len(self.point))
        self.stop = stop_without_angles(self.point)

    @property
    def best(self) -> PointEstimate | None:
        """Minimum of the last fit, which includes the results of earlier fits or starts from them."""
        return self.current

    def _repeat(self, optimizer: str, estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Repeat the failed points in the next round. Raises JobFailed for too many rounds in a row."""
        self._repeats = count_repeat(self._repeats, optimizer, estimates)
        indices = self._again or range(len(estimates))
        self._again = [
            index for index, estimate in zip(indices, estimates, strict=True) if isinstance(estimate, FailedPoint)
        ]


@dataclass(slots=True)
class PooledFitOptimizer(FitOptimizer):
    """Optimizer that fits a model to the energies of all its rounds and stops by the model's forecast."""

    termination: Termination
    _rounds: int = field(default=0, init=False)
    _data: list[tuple[NDArray[np.float64], float, float]] = field(default_factory=list, init=False)
    _forecasts: list[ConvergenceForecast] = field(default_factory=list, init=False)
