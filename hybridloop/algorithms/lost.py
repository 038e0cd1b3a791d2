"""What a search is told of points whose jobs were lost for good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.optimizer import AsksOverlaps, Optimizer
from hybridloop.algorithms.rounds import Lost
from hybridloop.errors import InputError, JobFailed


@dataclass(frozen=True, slots=True)
class Fail:
    """Nothing: the search ends with an error."""


@dataclass(frozen=True, slots=True)
class Penalize:
    """This value, in the objective's unit. Below what the search can reach it would be taken for a find."""

    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise InputError("penalty", f"{self.value} is not finite", "Give a value above all that are to be found.")


@dataclass(frozen=True, slots=True)
class Skip:
    """That they are lost: the optimizer goes on without them, or asks again."""


LostPoints = Fail | Penalize | Skip
FAIL = Fail()


def check_lost_points(on_lost: LostPoints, optimizer: Optimizer) -> None:
    """Raise InputError where the optimizer can't do without what would stay lost.

    That is all of it where it is to be skipped, and overlaps of states where a penalty, an energy, is given.
    """
    if isinstance(on_lost, Skip) and not optimizer.can_skip:
        problem = "this search needs every point that it asks for, so none can be skipped"
        raise InputError("on_lost_job", problem, "Give penalize or fail, or choose another optimizer.")
    if isinstance(on_lost, Penalize) and isinstance(optimizer, AsksOverlaps) and not optimizer.can_skip:
        problem = "this search needs every overlap that it asks for, and a penalty is an energy"
        raise InputError("on_lost_job", problem, "Give fail, or choose another optimizer.")


def as_told(answers: Sequence[Estimate | Lost], on_lost: LostPoints) -> list[Estimate | Lost]:
    """A round's answers as the optimizer is to be told them. Raises JobFailed where a lost point ends the search.

    A penalty is given the variance of the round's other points on average, so that a fit weighs it like them.
    """
    lost = [each for each in answers if isinstance(each, Lost)]
    if not lost or isinstance(on_lost, Skip):
        return list(answers)
    if isinstance(on_lost, Fail):
        raise JobFailed(
            f"{len(lost)} of {len(answers)} point(s) of a round were lost ({lost[0].reason})",
            "The search ends there; the rounds before are unharmed.",
            "Run again; or let on_lost_job give lost points a value (penalize), or leave them out (skip).",
        )
    variances = [each.variance for each in answers if isinstance(each, Estimate)]
    penalty = Estimate(on_lost.value, fmean(variances) if variances else 0.0, shots=0)
    return [penalty if isinstance(each, Lost) else each for each in answers]
