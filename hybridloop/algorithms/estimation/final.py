"""Final measurement: the optimum is measured again until its standard error reaches the requested precision.

Shots are allocated to the measured groups by Neyman allocation or uniformly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.estimation.drift import DRIFT_SIGMAS, is_drift
from hybridloop.algorithms.estimation.estimates import Estimate, Evaluation, GroupStatistics, combine
from hybridloop.algorithms.estimation.rounding import Rounding
from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub, UnusablePoint, merge_counts
from hybridloop.errors import JobFailed, RoundTooLarge

MAX_SHOTS = 10**8  # in one round, over all groups: a precision that needs more is a typing error
MIN_PILOT_SHOTS = 1000  # per group: with fewer its variance, and so the allocation, is too uncertain
PRECISION_MARGIN = 0.96  # of the precision: variances from a pilot are that uncertain, and a further round costs more
FEWEST_FURTHER = 50  # shots of a circuit: outcomes are discarded from less, and none may be left
MAX_ROUNDS = 8
RARE_SHOTS = 1.5  # at the largest deviation, in plans of a round: with 1, more of them seen make a further round likely
PLANNING_STEPS = 8  # of the allocation; each halves what is left of the logarithm
MAX_EXACT_ROUNDS = 2  # the second has the shots that bring the rounding down


def neyman_allocation(
    shot_variances: Sequence[float], measured: Sequence[int], target_variance: float, *, most: int = MAX_SHOTS
) -> list[int]:
    """Neyman allocation: the fewest further shots for each group, so that Σ variance_g / shots_g meets the target.

    Optimal totals are proportional to the standard deviation (J. Neyman, J. R. Stat. Soc. 97 (1934) 558). A group that
    already has more than its share gets none, and the others are allocated again without it. The sum is scaled down to
    `most`.

    >>> neyman_allocation([1.0, 4.0], [0, 0], target_variance=0.09)
    [34, 67]
    """
    deviations = [math.sqrt(variance) for variance in shot_variances]
    # drop the groups that have their share, until all others need more
    pending = set(range(len(measured)))
    while True:
        done_variance = math.fsum(
            variance / shots  # a group without shots is done if it does not vary
            for g, (variance, shots) in enumerate(zip(shot_variances, measured, strict=True))
            if g not in pending and shots
        )
        scale = math.fsum(deviations[g] for g in pending) / (target_variance - done_variance)
        done = {g for g in pending if deviations[g] * scale <= measured[g]}
        if not done:
            break
        pending -= done
        if not pending:
            return [0] * len(measured)
    further = [math.ceil(deviations[g] * scale) - measured[g] if g in pending else 0 for g in range(len(measured))]
    excess = sum(further) / most
    return further if excess <= 1 else [math.floor(shots / excess) for shots in further]


def uniform_allocation(
    shot_variances: Sequence[float], measured: Sequence[int], target_variance: float, *, most: int = MAX_SHOTS
) -> list[int]:
    """Uniform allocation: bring each group to the same shots, so that Σ variance_g / shots_g meets the target.

    A group that already has more gets none. The common number is the smallest that meets the target. The sum is scaled
    down to `most`.

    >>> uniform_allocation([1.0, 4.0], [0, 0], target_variance=0.09)
    [56, 56]
    """
    # bisect for the smallest common number of shots
    least, enough = 0, math.ceil(math.fsum(shot_variances) / target_variance)
    while least < enough:
        level = (least + enough) // 2
        pairs = [(variance, max(level, shots)) for variance, shots in zip(shot_variances, measured, strict=True)]
        met = math.fsum(variance / shots if shots else math.inf for variance, shots in pairs) <= target_variance
        least, enough = (least, level) if met else (level + 1, enough)
    further = [max(0, enough - shots) for shots in measured]
    excess = sum(further) / most
    return further if excess <= 1 else [math.floor(shots / excess) for shots in further]


@dataclass(frozen=True, slots=True)
class FinalMeasurement:
    """The estimate from all shots at the final point; `is_precise` is true if it reached the requested precision.

    `others` are the results of the other PUBs that were measured with it. `cap` names the caps that allowed no further
    shots; empty if enough were allowed. `drifted` are the shots of earlier stages that were not pooled. `pooled` has
    the statistics of each group.
    """

    estimate: Estimate
    is_precise: bool
    others: tuple[MeasuredPub, ...] = ()
    cap: str = ""
    drifted: int = 0
    pooled: tuple[GroupStatistics, ...] = ()

    def with_counts(self, evaluation: Evaluation, found: Mapping[int, Counts]) -> FinalMeasurement:
        """Return it with further counts at its point, of the evaluation's groups or of the other PUBs, by place."""
        pooled, others, first = [*self.pooled], [*self.others], len(evaluation.observable.groups)
        for place, counts in found.items():
            if place >= first:
                result = others[place - first]
                parts = [each for each in result if isinstance(each, Counts)]
                others[place - first] = MeasuredPub(result.points, (merge_counts([*parts, counts]),))
                continue
            statistics = evaluation.reduce_counts(evaluation.observable.groups[place], counts)
            if isinstance(statistics, GroupStatistics):
                pooled[place] = pooled[place].merge(statistics)
        estimate = evaluation.combine_groups(evaluation.observable.constant, pooled)
        return replace(self, estimate=estimate, others=tuple(others), pooled=tuple(pooled))

    @property
    def warnings(self) -> tuple[str, ...]:
        """A warning about shots of earlier stages that disagree with later ones; empty without any."""
        if not self.drifted:
            return ()
        apart = f"{self.drifted:,} shots of an earlier stage of the run disagree with later ones by more than"
        return (f"{apart} {DRIFT_SIGMAS:g} standard errors, and are not counted: the target has drifted",)

    def limit(self, precision: float, shots: int) -> str:
        """Return what the caps have ended, and what to raise, after so many shots of the run; empty without caps."""
        if not self.cap or self.is_precise:
            return f"{self.cap} ended the measurement; to extend it, raise it" if self.cap else ""
        missing = self._missing(precision)
        more = f" to about {shots + missing:.2g}" if self.cap == "max_shots" else f": {missing:.2g} shots are missing"
        error = self.estimate.expected_error
        return f"precision not reached: ± {error:.2g} in place of {precision:.2g}; to extend it, raise {self.cap}{more}"

    def _missing(self, precision: float) -> int:
        # with the shots, the variance of those seen falls as their number, that of outcomes not seen as its square
        scatter, rare = (each / precision**2 for each in (self.estimate.sampled_error**2, self.estimate.rare_variance))
        ratio = 0.5 * (scatter + math.sqrt(scatter**2 + 4.0 * rare))
        return math.ceil(self.estimate.shots * (ratio - 1.0))


FurtherShots = Callable[[Sequence[float], Sequence[int], float], list[int]]  # see `neyman_allocation`
NeededError = Callable[[Estimate, float], float]  # of the estimate so far and the requested precision


def requested_error(_estimate: Estimate, precision: float) -> float:
    """Return the requested precision for any estimate."""
    return precision


Stage = list[GroupStatistics | None]  # of each circuit; None where it was not measured


class Stages:
    """Statistics of the same circuits from stages of a run, the last of which is being measured.

    The number of further shots follows from variances, and not from values, so pooling leaves the mean nearly unbiased
    (J. Wittes and E. Brittain, Stat. Med. 9 (1990) 65). A stage that disagrees with those after it is left out: the
    target has drifted.
    """

    def __init__(self, earlier: Sequence[Stage], circuits: int) -> None:
        self._stages: list[Stage] = [*earlier, [None] * circuits]
        self.pooled: Stage = []
        self.drifted = 0  # shots that are left out
        self._pool()

    def add(self, results: Mapping[int, GroupStatistics]) -> None:
        """Add results of the last stage, by circuit."""
        last = self._stages[-1]
        for index, result in results.items():
            last[index] = _merged(last[index], result)
        self._pool()

    def _pool(self) -> None:
        self.pooled, self.drifted = self._stages[-1], 0
        for stage in reversed(self._stages[:-1]):
            if _have_drifted(stage, self.pooled):
                self.drifted += sum(each.shots for each in stage if each is not None)
            else:
                self.pooled = [_merged(*pair) for pair in zip(stage, self.pooled, strict=True)]


def _merged(one: GroupStatistics | None, other: GroupStatistics | None) -> GroupStatistics | None:
    return one.merge(other) if one is not None and other is not None else one or other


def _have_drifted(one: Stage, other: Stage) -> bool:
    """Return whether two stages differ by more than chance: a χ² test of the means that both have.

    The variance of a shot is that of both together: few shots of one may have missed what is rare.
    """
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    terms = [
        (a.mean - b.mean, a.merge(b).shot_variance * (1.0 / a.shots + 1.0 / b.shots))
        for a, b in pairs
        if not (a.is_exact or b.is_exact)
    ]
    squares = [difference**2 / variance for difference, variance in terms if variance > 0.0]
    return is_drift(math.fsum(squares), len(squares))


def measure_final_estimate(
    evaluation: Evaluation,
    point: NDArray[np.float64],
    *,
    pilot: Sequence[int],
    precision: float,
    on_round: Callable[[Estimate, NDArray[np.float64], int, int], None],
    needed_error: NeededError = requested_error,
    allocate: FurtherShots = neyman_allocation,
    others: Sequence[SamplerPub] = (),
) -> FinalMeasurement:
    """Measure a pilot, then further rounds of the allocation until the standard error is at most `precision`.

    `precision` is in the observable's unit. `needed_error` may ask for another standard error after each round. All
    shots at the point are pooled, the pilot's too: the allocation uses variances, not values. A target that
    does not sample is measured again only if its rounding bound is too large. The first round has the PUBs `others`
    too. `on_round` is called with the estimate so far, the point, and the round's circuits and shots. A group whose job
    failed is measured again in the next round. What earlier stages of a run measured here (`ExtendedRounds`) is pooled
    with it, and counts as part of the pilot: see `Stages`.
    Until every group has a result there is no estimate; the circuits and shots of such rounds are reported with the
    first one. Raises JobFailed if a group failed in every round, or for counts that cannot be used: a retry would not
    help.
    """
    groups = evaluation.circuits
    none: list[MeasuredPub | None] = [None] * len(others)
    earlier, answers = evaluation.measured_before(point, others) if groups else ([], none)
    stages = Stages(earlier, len(groups))
    estimate = combine(evaluation.observable.constant, [])
    failed: FailedPoint | None = None
    needed, cap = precision, ""
    asked = [place for place, answer in enumerate(answers) if answer is None]
    known = [answer for answer in answers if answer is not None]
    circuits, shots = len(known), _shots_of(known)  # since the last estimate
    if earlier:
        circuits, shots = circuits + len(groups), shots + sum(each.shots for each in stages.pooled if each is not None)

    def report() -> None:
        nonlocal estimate, needed, circuits, shots
        measured = [group for group in stages.pooled if group is not None]
        if len(measured) == len(groups):  # an estimate, once all groups have a result
            estimate = evaluation.combine_groups(evaluation.observable.constant, measured)
            on_round(estimate, point, circuits, shots)
            needed = needed_error(estimate, precision)
            circuits = shots = 0

    if earlier:
        report()
        if estimate.is_exact and estimate.shots:  # the shots that it can be compared with
            pilot = [0 if each is None else each.shots for each in stages.pooled]
    for _ in range(MAX_ROUNDS if groups else 0):
        next_shots = _next_shots(evaluation, stages.pooled, pilot, needed, allocate, fills=math.isinf(precision))
        if not any(next_shots) and not asked:
            break
        # one round, pooled with the rounds before
        submitted = [index for index, group_shots in enumerate(next_shots) if group_shots]
        circuits, shots = circuits + len(submitted), shots + sum(next_shots)
        try:
            results, answered = evaluation.measure_groups(point[None, :], next_shots, [others[each] for each in asked])
        except RoundTooLarge as reached:
            if None in stages.pooled:
                raise
            cap = reached.cap
            break
        for place, answer in zip(asked, answered, strict=True):
            answers[place] = answer
        asked, found = [], dict[int, GroupStatistics]()
        circuits, shots = circuits + len(answered), shots + _shots_of(answered)
        for index, (result,) in zip(submitted, results, strict=True):
            if isinstance(result, UnusablePoint):
                problem = f"the counts of the final measurement cannot be used: {result.reason}"
                remedy = "Choose another start, check ansatz and electrons, or give none as the mitigation."
                raise JobFailed(problem, "The search is over and its point is known, its energy is not.", remedy)
            if isinstance(result, FailedPoint):
                failed = result
                continue
            if not result.is_exact:  # a cap may have allowed fewer shots
                shots -= max(0, next_shots[index] - result.shots)
            found[index] = result
        stages.add(found)
        report()
    if None in stages.pooled:
        raise JobFailed(
            f"the same circuit failed in all {MAX_ROUNDS} rounds of the final measurement"
            f" ({failed.reason if failed else ''})",
            "The search is over and its point is known, its energy is not.",
            "Run again.",
        )
    uncertainty = estimate.rounding_bound if estimate.is_exact else estimate.expected_error
    pooled = tuple(group for group in stages.pooled if group is not None)
    answered_all = tuple(answer for answer in answers if answer is not None)
    return FinalMeasurement(estimate, uncertainty <= precision, answered_all, cap, stages.drifted, pooled)


def _shots_of(results: Sequence[MeasuredPub]) -> int:
    return sum(counts.shots for result in results for counts in result if isinstance(counts, Counts))


def _next_shots(
    evaluation: Evaluation,
    statistics: Stage,
    pilot: Sequence[int],
    needed: float,
    allocate: FurtherShots,
    *,
    fills: bool,
) -> list[int]:
    """Return the shots of each circuit in the next round; all 0 once the standard error is at most `needed`.

    A group that has fewer than in its pilot gets those first: its variance, and so the allocation, is too uncertain.
    With `fills` it gets them in any case.
    """
    measured = [group for group in statistics if group is not None]
    if all(group.is_exact for group in measured) and len(measured) == len(statistics):
        return _rounded_shots(measured, pilot, needed)
    error = 0.0
    if len(measured) == len(statistics):
        error = evaluation.combine_groups(evaluation.observable.constant, measured).expected_error
        if not fills and error <= needed:
            return [0] * len(measured)
    missing = [
        shots if group is None else 0 if group.is_exact else max(0, shots - group.shots)
        for group, shots in zip(statistics, pilot, strict=True)
    ]
    if any(missing):
        return missing
    weighed = evaluation.weigh(measured)
    share = combine(0.0, weighed).expected_error / error if error else 1.0  # a curve's slopes are not the line's
    return _further_shots(weighed, (PRECISION_MARGIN * needed * share) ** 2, allocate)


def _further_shots(measured: Sequence[GroupStatistics], target_variance: float, allocate: FurtherShots) -> list[int]:
    """Allocate the further shots by the variances that are expected after them.

    Those of few shots are mostly that of the fictitious shot of `GroupStatistics.shot_variance`, which falls as
    1 / shots; of all groups the largest of it counts (`combine`). Each step takes the geometric mean of the shots
    before it and those of the allocation: at a fixed point the two agree.
    """
    shots, totals = [group.shots for group in measured], [float(group.shots) for group in measured]
    for step in range(PLANNING_STEPS):
        reaches = [(group.reach / total) ** 2 for group, total in zip(measured, totals, strict=True)]
        share = max(reaches) / math.fsum(reaches) if any(reaches) else 0.0
        variances = [
            0.0
            if group.is_exact
            else (
                group.squared_deviations / group.shots
                + RARE_SHOTS * max(share * group.reach**2, group.fault_deviation**2) / total
            )
            * (group.shots / group.kept) ** 2
            for group, total in zip(measured, totals, strict=True)
        ]
        further = [max(each, FEWEST_FURTHER) if each else 0 for each in allocate(variances, shots, target_variance)]
        wanted = [before + more for before, more in zip(shots, further, strict=True)]
        totals = [math.sqrt(a * b) if step else float(b) for a, b in zip(totals, wanted, strict=True)]
    return further


def _rounded_shots(measured: Sequence[GroupStatistics], pilot: Sequence[int], needed: float) -> list[int]:
    """Return the shots of each exact distribution that bring the rounding bound to `needed`; all 0 if it is met.

    Once only, and not where the target took fewer shots than it was asked for.
    """
    bound = sum((group.rounding for group in measured), Rounding()).bound
    is_pilot = [group.shots for group in measured] == list(pilot)
    most = MAX_SHOTS // len(pilot)
    shots = [math.ceil(min(most, each * bound / (PRECISION_MARGIN * needed))) for each in pilot]
    return shots if bound > needed and is_pilot and shots > list(pilot) else [0] * len(pilot)
