"""When a search has gone far enough: what its model still promises, and the noise that it can't see through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from hybridloop.algorithms.optimizer import JSON, Stop
from hybridloop.errors import InputError


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a round's model says of its step: energies in hartree, the slope in hartree per radian.

    `gain` is what the step promises to lower the energy by, `noise` what shot noise in the model's slopes is expected
    to have cost (variance of a slope over twice the curvature along it), `slope` the gradient's Euclidean norm before
    the step.
    """

    gain: float
    noise: float
    slope: float


@dataclass(frozen=True, slots=True)
class Termination:
    """A search has converged once `patience` rounds in a row were quiet.

    A round is quiet when its step promised at most `tolerance` (hartree) and the noise that is known of costs no more
    than that either: a small step found in the fog is no sign of a minimum. With `gradient_norm` (hartree per radian) a
    slope of at most that is quiet too. `max_rounds` ends what does not converge.
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

    def verdict(self, outlooks: Sequence[Outlook], rounds: int) -> Stop | None:
        """Why the search is over after `rounds` rounds, whose models said this, oldest first; None to go on."""
        recent = outlooks[-self.patience :]
        if len(recent) == self.patience and all(map(self._is_quiet, recent)):
            last = recent[-1]
            gain, noise, slope = 1e3 * last.gain, 1e3 * last.noise, 1e3 * last.slope
            promised = f"the last step promised {gain:.2g} mHa, where shot noise costs {noise:.2g}"
            if self.gradient_norm is not None and last.slope <= self.gradient_norm:
                promised += f" and the slope is {slope:.2g} mHa/rad"
            return Stop(converged=True, reason=promised)
        if rounds >= self.max_rounds:
            return Stop(converged=False, reason=f"the optimizer's limit of {self.max_rounds} rounds was reached")
        return None

    def _is_quiet(self, outlook: Outlook) -> bool:
        if self.gradient_norm is not None and outlook.slope <= self.gradient_norm:
            return True
        return outlook.gain <= self.tolerance and outlook.noise <= self.tolerance

    def state(self) -> dict[str, JSON]:
        """As JSON; `Termination(**state)` makes it again."""
        return asdict(self)


def outlooks_of(rows: Sequence[Sequence[float]]) -> list[Outlook]:
    """Outlooks from their JSON rows."""
    return [Outlook(*row) for row in rows]


def rows_of(outlooks: Sequence[Outlook]) -> list[list[float]]:
    """Outlooks as JSON rows."""
    return [[each.gain, each.noise, each.slope] for each in outlooks]
