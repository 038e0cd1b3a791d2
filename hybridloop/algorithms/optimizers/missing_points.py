"""Missing-point policy: how a search treats points whose jobs failed for good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import Optimizer
from hybridloop.algorithms.rounds import FailedPoint
from hybridloop.errors import InputError, InvalidValue, JobFailed


@dataclass(frozen=True, slots=True)
class Fail:
    """End the search with an error."""


@dataclass(frozen=True, slots=True)
class Penalize:
    """Replace a failed point's value by a penalty, in the objective's unit.

    A penalty below the reachable values would be taken for the optimum. An optimizer that can do without the point
    never gets one: its fit would take the penalty for a measurement.
    """

    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise InvalidValue("penalty", f"must be a finite number, got {self.value}")


@dataclass(frozen=True, slots=True)
class Skip:
    """Tell the optimizer that points failed; it continues without them or asks for them again."""


MissingPointPolicy = Fail | Penalize | Skip
FAIL = Fail()


def check_missing_point_policy(on_lost: MissingPointPolicy, optimizer: Optimizer) -> None:
    """Raise InputError if the optimizer needs the points that the policy would leave out."""
    if isinstance(on_lost, Skip) and not optimizer.can_skip:
        problem = "this optimizer needs every point, so none can be skipped"
        raise InputError("on_lost_job", problem, "Choose penalize or fail, or another optimizer.")


def apply_missing_point_policy(
    estimates: Sequence[Estimate | FailedPoint], on_lost: MissingPointPolicy, *, can_skip: bool
) -> list[Estimate | FailedPoint]:
    """Apply the policy to a round's estimates before the optimizer gets them. Raises JobFailed under `Fail`.

    With `can_skip` the optimizer continues without failed points, and none is replaced.
    """
    failed = [estimate for estimate in estimates if isinstance(estimate, FailedPoint)]
    if not failed or isinstance(on_lost, Skip) or (can_skip and isinstance(on_lost, Penalize)):
        return list(estimates)
    if isinstance(on_lost, Fail):
        problem = f"{len(failed)} of {len(estimates)} point(s) of a round failed ({failed[0].reason})"
        remedy = "Run again; or set on_lost_job to penalize (give failed points a value) or skip (leave them out)."
        raise JobFailed(problem, "The search ends there; earlier rounds are kept.", remedy)
    penalty = Estimate(on_lost.value, 0.0, shots=0)
    return [penalty if isinstance(estimate, FailedPoint) else estimate for estimate in estimates]
