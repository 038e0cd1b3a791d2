"""Convergence criterion: the gain that a search's model still expects, and the energy that shot noise costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from hybridloop.algorithms.optimizers.base import JSON, Stop
from hybridloop.errors import InputError


@dataclass(frozen=True, slots=True)
class ConvergenceForecast:
    """Convergence forecast of a round's model: energies in hartree, the slope in hartree per radian.

    `gain` is the expected decrease of the energy by the step. `noise` is the expected cost of shot noise in the model's
    slopes: the variance of a slope over twice the curvature along it. `slope` is the gradient's Euclidean norm before
    the step.
    """

    gain: float
    noise: float
    slope: float


@dataclass(frozen=True, slots=True)
class Termination:
    """Termination criterion: a search has converged once `patience` rounds in a row met the tolerances.

    A round meets them if its expected gain is at most `tolerance` (hartree) and the cost of shot noise is at most that
    too: a small step from a noisy model is no sign of a minimum. With `gradient_norm` (hartree per radian), a slope of
    at most that suffices. `max_rounds` ends a search that does not converge.
    """

    tolerance: float
    patience: int = 1
    gradient_norm: float | None = None
    max_rounds: int = 200

    def __post_init__(self) -> None:
        for name, value in (("tolerance", self.tolerance), ("gradient_norm", self.gradient_norm)):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise InputError(name, f"{value} is not above 0", "Give a positive number.")
        for name, count in (("patience", self.patience), ("max_rounds", self.max_rounds)):
            if count < 1:
                raise InputError(name, f"{count} is below 1", "Give 1 or more.")

    def check(self, forecasts: Sequence[ConvergenceForecast], rounds: int) -> Stop | None:
        """Return the reason to stop after `rounds` rounds with these forecasts, oldest first; None to continue."""
        recent = forecasts[-self.patience :]
        if len(recent) == self.patience and all(map(self._is_met, recent)):
            last = recent[-1]
            gain, noise, slope = 1e3 * last.gain, 1e3 * last.noise, 1e3 * last.slope
            reason = f"expected gain of the last step {gain:.2g} mHa, cost of shot noise {noise:.2g} mHa"
            if self.gradient_norm is not None and last.slope <= self.gradient_norm:
                reason += f", slope {slope:.2g} mHa/rad"
            return Stop(converged=True, reason=reason)
        if rounds >= self.max_rounds:
            return Stop(converged=False, reason=f"the optimizer's limit of {self.max_rounds} rounds was reached")
        return None

    def _is_met(self, forecast: ConvergenceForecast) -> bool:
        if self.gradient_norm is not None and forecast.slope <= self.gradient_norm:
            return True
        return forecast.gain <= self.tolerance and forecast.noise <= self.tolerance

    def state(self) -> dict[str, JSON]:
        """Settings as a JSON value; `Termination(**state)` restores them."""
        return asdict(self)


def forecasts_from_json(rows: Sequence[Sequence[float]]) -> list[ConvergenceForecast]:
    """Restore forecasts from their JSON rows."""
    return [ConvergenceForecast(*row) for row in rows]


def forecasts_to_json(forecasts: Sequence[ConvergenceForecast]) -> list[list[float]]:
    """Convert forecasts to JSON rows."""
    return [[forecast.gain, forecast.noise, forecast.slope] for forecast in forecasts]
