"""Shared state of optimizers that fit a model of known frequencies, from one round or pooled over all rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Frequencies, validate_initial_point
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import (
    JSON,
    PointEstimate,
    Stop,
    count_repeat,
    point_estimate_from_json,
    point_estimate_to_json,
    stop_from_json,
    stop_to_json,
    stop_without_angles,
    validate_frequencies,
)
from hybridloop.algorithms.optimizers.termination import (
    ConvergenceForecast,
    Termination,
    forecasts_from_json,
    forecasts_to_json,
)
from hybridloop.algorithms.rounds import FailedPoint


@dataclass(slots=True)
class FitOptimizer:
    """Optimizer state: the present point, the energy's frequencies in each angle, and the repeats of failed points.

    Each step moves to the minimum of a fit.
    """

    can_skip: ClassVar[bool] = True

    point: NDArray[np.float64]
    frequencies: tuple[Frequencies, ...]
    _again: list[int] = field(default_factory=list, init=False)  # indices of this round's failed points
    _repeats: int = field(default=0, init=False)
    _current: PointEstimate | None = field(default=None, init=False)
    _stop: Stop | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.point = validate_initial_point(self.point)
        self.frequencies = validate_frequencies(self.frequencies, len(self.point))
        self._stop = stop_without_angles(self.point)

    @property
    def current(self) -> PointEstimate | None:
        """Minimum of the last fit."""
        return self._current

    @property
    def best(self) -> PointEstimate | None:
        """Minimum of the last fit, which includes the results of earlier fits or starts from them."""
        return self._current

    @property
    def stop(self) -> Stop | None:
        """Reason to stop; None while the search runs."""
        return self._stop

    def _repeat(self, optimizer: str, estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Repeat the failed points in the next round. Raises JobFailed for too many rounds in a row."""
        self._repeats = count_repeat(self._repeats, optimizer, estimates)
        indices = self._again or range(len(estimates))
        self._again = [
            index for index, estimate in zip(indices, estimates, strict=True) if isinstance(estimate, FailedPoint)
        ]

    def state(self) -> dict[str, JSON]:
        """Complete state of the search, JSON-serializable."""
        return {
            "point": self.point.tolist(),
            "frequencies": [list(frequencies) for frequencies in self.frequencies],
            "again": list(self._again),
            "repeats": self._repeats,
            "current": point_estimate_to_json(self._current),
            "stop": stop_to_json(self._stop),
        }

    @classmethod
    def _restored(cls, state: Mapping[str, Any], *settings: Any) -> Self:
        """Create from the fields of this class in `state`; `settings` are the further arguments of a subclass."""
        frequencies = tuple(tuple(numbers) for numbers in state["frequencies"])
        optimizer = cls(np.array(state["point"], float), frequencies, *settings)
        optimizer._again, optimizer._repeats = list(state["again"]), state["repeats"]
        optimizer._current, optimizer._stop = point_estimate_from_json(state["current"]), stop_from_json(state["stop"])
        return optimizer


@dataclass(slots=True)
class PooledFitOptimizer(FitOptimizer):
    """Optimizer that fits a model to the energies of all its rounds and stops by the model's forecast."""

    termination: Termination
    _rounds: int = field(default=0, init=False)
    _data: list[tuple[NDArray[np.float64], float, float]] = field(default_factory=list, init=False)
    _forecasts: list[ConvergenceForecast] = field(default_factory=list, init=False)

    def state(self) -> dict[str, JSON]:
        """Complete state of the search, JSON-serializable."""
        return {
            **FitOptimizer.state(self),  # not `super()`: `@dataclass(slots=True)` replaces the class
            "termination": self.termination.state(),
            "rounds": self._rounds,
            "data": [[point.tolist(), value, variance] for point, value, variance in self._data],
            "outlooks": forecasts_to_json(self._forecasts),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Restore an optimizer from its `state`."""
        optimizer = cls._restored(state, Termination(**state["termination"]))
        optimizer._rounds = state["rounds"]
        optimizer._data = [(np.array(point, float), value, variance) for point, value, variance in state["data"]]
        optimizer._forecasts = forecasts_from_json(state["outlooks"])
        return optimizer
