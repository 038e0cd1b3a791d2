"""The measurement that a result reports: anew at the chosen point, until it is as sharp as was asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.allocation import MOST_SHOTS, Allocation
from hybridloop.algorithms.estimation import Estimate, Tally, combine
from hybridloop.algorithms.evaluation import Evaluation
from hybridloop.algorithms.rounds import Lost, Unreadable
from hybridloop.errors import JobFailed

LEAST_PILOT = 1000  # shots a group: fewer leave its variance, and so the allocation, to chance
PILOT_SHARE = 0.5  # of what the search's variances promise to need: rare outcomes must be seen often enough
AIM = 0.975  # of the precision: variances from a pilot are off by as much, and a further round costs more
MAX_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class FinalMeasurement:
    """The estimate from all shots at the point; `is_precise` says whether it is as sharp as was asked."""

    estimate: Estimate
    is_precise: bool


def pilot_shots(
    recent: Sequence[Estimate],
    groups: int,
    shots: int,
    precision: float,
    allocation: Allocation = Allocation.NEYMAN,
) -> list[int]:
    """First shots for each group, from the search's last round; `shots` for each where there was none.

    The quietest of that round's points stands for the point to come, but at least a tenth of their mean: a group's
    variance may happen to vanish at one of them, as the diagonal group's does at Hartree-Fock. A target
    that does not sample gets as many at least as bring its rounding bound, which goes with 1 / shots, to `precision`.
    """
    if not recent or not groups:
        return [max(shots, LEAST_PILOT)] * groups
    by_group = zip(*(estimate.shot_variances for estimate in recent), strict=True)
    variances = [max(min(each), 0.1 * fmean(each)) for each in by_group]
    needed = allocation.top_up(variances, [0] * groups, precision**2)
    rounding = max(estimate.rounding_bound * estimate.shots for estimate in recent) / (AIM * precision)
    least = max(LEAST_PILOT, math.ceil(min(rounding, MOST_SHOTS) / groups))
    return [max(least, math.ceil(PILOT_SHARE * each)) for each in needed]


def measure_finally(
    evaluation: Evaluation,
    point: NDArray[np.float64],
    *,
    pilot: Sequence[int],
    precision: float,
    on_round: Callable[[Estimate, int, int], None],
    allocation: Allocation = Allocation.NEYMAN,
) -> FinalMeasurement:
    """Pilot, then rounds of the allocation until the standard error is at most `precision` (hartree).

    All shots at the point are pooled, the pilot's too: they choose shares by variance, not by value. A target that
    does not sample is asked once. `on_round` is called with the estimate so far, and the round's circuits and
    shots. A group whose job was lost is asked again with the next round; until every group has an answer there is no
    estimate, and such rounds' circuits and shots are told with the first. Raises JobFailed where a job was lost in
    every round, or where counts say nothing, which asking again would not change.
    """
    groups = evaluation.observable.groups
    tallies: list[Tally | None] = [None] * len(groups)
    estimate = combine(evaluation.observable, [])
    lost: Lost | None = None
    circuits = shots = 0  # asked for since the last estimate
    for _ in range(MAX_ROUNDS if groups else 0):
        wanted = _wanted(tallies, pilot, precision, allocation)
        if not any(wanted):
            break
        asked = [index for index, each in enumerate(wanted) if each]
        circuits, shots = circuits + len(asked), shots + sum(wanted)
        answers = evaluation.tallies(point[None, :], wanted)
        for index, (answer,) in zip(asked, answers, strict=True):
            if isinstance(answer, Unreadable):
                raise JobFailed(
                    f"the final measurement says nothing: {answer.reason}",
                    "The search is over and its point is known, its energy is not.",
                    "Start elsewhere, check ansatz and electrons, or leave symmetry out of the mitigation.",
                )
            if isinstance(answer, Lost):
                lost = answer
                continue
            before = tallies[index]
            tallies[index] = answer if before is None else before.merged(answer)
        known = [each for each in tallies if each is not None]
        if len(known) == len(groups):
            estimate = evaluation.combined(evaluation.observable, known)
            on_round(estimate, circuits, shots)
            circuits = shots = 0
    if any(each is None for each in tallies):
        raise JobFailed(
            f"the final measurement lost the same circuit in {MAX_ROUNDS} rounds ({lost.reason if lost else ''})",
            "The search is over and its point is known, its energy is not.",
            "Run again.",
        )
    uncertainty = estimate.rounding_bound if estimate.is_exact else estimate.standard_error
    return FinalMeasurement(estimate, uncertainty <= precision)


def _wanted(tallies: list[Tally | None], pilot: Sequence[int], precision: float, allocation: Allocation) -> list[int]:
    """Shots for each group in the next round; none at all when the estimate is sharp enough."""
    known = [each for each in tallies if each is not None]
    if len(known) < len(tallies):
        return [shots if each is None else 0 for each, shots in zip(tallies, pilot, strict=True)]
    if all(each.is_exact for each in known) or sum(each.variance for each in known) <= precision**2:
        return [0] * len(known)
    variances = [0.0 if each.is_exact else each.shot_variance for each in known]
    return allocation.top_up(variances, [each.shots for each in known], (AIM * precision) ** 2)
