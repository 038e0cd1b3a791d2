"""QAOA (quantum approximate optimization algorithm): measure at fixed angles, optionally optimized first.

Angles are changed and layers added only where the measured gain exceeds noise. The best feasible assignment among all
sampled bitstrings is kept.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.binary.ising import Ising
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.doubt import Doubt
from hybridloop.algorithms.error_budget import NO_MINIMUM
from hybridloop.algorithms.estimation.estimates import (
    Estimate,
    Evaluation,
    combine,
)
from hybridloop.algorithms.estimation.final import measure_final_estimate
from hybridloop.algorithms.estimation.observable import Observable, observable
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.optimizers.base import Optimizer, PointEstimate, Stop, check_at_least_one
from hybridloop.algorithms.optimizers.missing_points import (
    FAIL,
    MissingPointPolicy,
    apply_missing_point_policy,
    check_missing_point_policy,
)
from hybridloop.algorithms.outcome import Outcome, RoundLog, RoundProgress, Table, measured_value
from hybridloop.algorithms.qaoa.angles import with_added_layer, with_tree_angles
from hybridloop.algorithms.qaoa.circuit import QaoaCircuit
from hybridloop.algorithms.qaoa.final_shots import FinalShots, cvar_statistics
from hybridloop.algorithms.rounds import (
    Counts,
    FailedPoint,
    KeptCounts,
    MeasuredPub,
    RunRound,
    larger_cap_of,
    left_of,
    share_caps,
)
from hybridloop.algorithms.search import DEFAULT_MAX_ROUNDS, Search, cap_limit
from hybridloop.errors import InputError, InvalidValue, RoundTooLarge

SIGNIFICANT_SIGMAS = 2.0  # standard errors that another layer must gain
FIXED_ANGLES = Stop(converged=False, reason="fixed angles; no search was requested", is_requested=True)


@dataclass(frozen=True, slots=True)
class Assignment:
    """A feasible assignment (rightmost character = variable 0) and its objective value."""

    bitstring: str
    value: float


def best_assignment(problem: BinaryProblem, bits: NDArray[np.uint8], incumbent: Assignment | None) -> Assignment | None:
    """Return the best of the rows of bits (k, n) and the incumbent (the best so far); None where none is feasible.

    Slack bits behind the n bits of the variables are left out.
    Ties go to the incumbent, else to the first row.
    """
    bits = bits[problem.is_feasible(bits), : problem.num_variables]
    if not len(bits):
        return incumbent
    values = problem.objective.energies(bits) + 0.0  # -0.0 is 0
    row, sign = int(np.argmin(problem.sign * values)), problem.sign
    if incumbent is None or is_better(sign, float(values[row]), incumbent.value):
        return Assignment("".join(str(bit) for bit in bits[row][::-1]), float(values[row]))
    return incumbent


def is_better(sign: float, value: float, other: float) -> bool:
    """Return true if `value` is better than `other` by more than rounding; `sign` is 1 to minimize, −1 to maximize."""
    return sign * value < sign * other - 1e-12 * abs(other)


class AssignmentTracker:
    """RunRound wrapper that keeps the best feasible assignment sampled in any round.

    Of equal assignments in a result, it keeps the one with the smallest number.
    """

    def __init__(self, problem: BinaryProblem, run_round: RunRound) -> None:
        self._problem = problem
        self._run_round = run_round
        self.best: Assignment | None = None

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        results = self._run_round(pubs)
        self._keep(results)
        return results

    def left(self, pubs: Sequence[SamplerPub], /) -> list[list[MeasuredPub]]:
        """Return what was measured before, whose assignments count too."""
        stages = left_of(self._run_round, pubs)
        self._keep(itertools.chain.from_iterable(stages))
        return stages

    def _keep(self, results: Iterable[MeasuredPub]) -> None:
        for counts in itertools.chain.from_iterable(results):
            if isinstance(counts, Counts):
                self.best = best_assignment(self._problem, counts.bits, self.best)


@dataclass(frozen=True, slots=True)
class QaoaSearch:
    """Optimization of a QAOA circuit beyond its first point.

    `optimizer` makes the optimizer of the angles, a new one for each number of layers, which `max_rounds` bounds; None:
    keep the angles.
    `extend_to` is the largest number of layers, added one at a time; None: keep the number. `cvar` is the fraction of
    the best shots whose mean is optimized (conditional value at risk); 1 for the mean of all. `shots` are those of each
    point; None: as many as the final measurement has.
    """

    optimizer: Callable[[QaoaCircuit], Optimizer] | None = None
    extend_to: int | None = None
    cvar: float = 1.0
    max_rounds: int = DEFAULT_MAX_ROUNDS
    shots: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.cvar <= 1:
            raise InvalidValue("cvar", f"must be a number above 0 and at most 1, got {self.cvar}")

    def check(self, ansatz: QaoaCircuit, on_lost: MissingPointPolicy) -> None:
        """Raise InputError for settings that do not fit this circuit."""
        if self.optimizer is not None:
            check_missing_point_policy(on_lost, self.optimizer(ansatz))
        if self.extend_to is not None and self.extend_to <= ansatz.layers:
            problem = f"{self.extend_to} layers are not more than the {ansatz.layers} to start with"
            raise InputError("extend_to", problem, "Give more, or lower layers.")

    @property
    def is_empty(self) -> bool:
        return self.optimizer is None and self.extend_to is None


@dataclass(frozen=True, slots=True, eq=False)
class _SearchRun:
    """One run of a QAOA search, with the means to measure its rounds."""

    search: QaoaSearch
    run_round: RunRound
    shots: int
    on_lost: MissingPointPolicy
    log: RoundLog

    def run(self, ansatz: QaoaCircuit) -> tuple[QaoaCircuit, Stop]:
        """Optimize angles and layers in turns; return the circuit with the point to measure, and the reason to stop."""
        if self.search.is_empty:
            return ansatz, FIXED_ANGLES
        try:
            ansatz, stop, best = self._optimize_angles(ansatz)
            while self.search.extend_to is not None and ansatz.layers < self.search.extend_to:
                pubs = _evaluation(ansatz, self.run_round).group_pubs(ansatz.initial_point[None, :], [1])
                left_of(self.run_round, pubs)  # the assignments that an extended run has measured at its end
                if best is None:
                    ansatz, layer_stop = self._add_layers(ansatz)
                    if layer_stop is not None:
                        return ansatz, layer_stop
                    ansatz, stop, best = self._optimize_angles(ansatz)
                    continue
                longer, stop, reached = self._optimize_angles(self._longer(ansatz))
                assert reached is not None
                if (missing := _insignificant_gain(best, reached)) is not None:
                    reason = f"another layer gains nothing beyond noise: {missing}"
                    return ansatz, _with_layers(ansatz, replace(stop, reason=reason))
                ansatz, best = longer, reached
        except RoundTooLarge as reached_cap:
            stop = cap_limit(reached_cap)
        return ansatz, stop if self.search.extend_to is None else _with_layers(ansatz, stop)

    def _optimize_angles(self, ansatz: QaoaCircuit) -> tuple[QaoaCircuit, Stop, Estimate | None]:
        """Optimize the angles; return the circuit at the best ones, the reason to stop, and their estimate."""
        if self.search.optimizer is None:
            reason = f"extend_to={self.search.extend_to}, as requested, and each layer showed a gain"
            return ansatz, Stop(converged=False, reason=reason, is_requested=True), None
        optimizer = self.search.optimizer(ansatz)
        evaluated = _evaluation(ansatz, self.run_round, self.search.cvar)
        search = Search(optimizer, self.search.max_rounds, self.on_lost)
        end = search.run(evaluated, ansatz.initial_point, Sampling(self.shots), self.log)
        best = end.measured
        estimate = None if best is None else Estimate(best.value, best.standard_error**2, 0)
        return ansatz.with_initial_point(end.point), end.stop, estimate

    def _longer(self, ansatz: QaoaCircuit) -> QaoaCircuit:
        """Return the circuit with one more layer, at the better one of two starts by a round.

        They are the interpolated angles (L. Zhou et al., Phys. Rev. X 10 (2020) 021067), and those of the tree of
        couplings.
        """
        starts = [ansatz.with_added_layer(), with_tree_angles(ansatz.with_added_layer())[0]]
        points = np.array([start.initial_point for start in starts])
        evaluated = _evaluation(starts[0], self.run_round, self.search.cvar)
        measured, estimates = evaluated.energies(points, self.shots)
        known = [(each.value, row) for row, each in enumerate(estimates) if isinstance(each, Estimate)]
        _, row = min(known, default=(0.0, len(starts) - 1))
        found = estimates[row]
        current = PointEstimate.of(found, measured[row]) if isinstance(found, Estimate) else None
        self.log.add("search", current, len(starts), len(starts), len(starts) * self.shots)
        return starts[0].with_initial_point(measured[row])

    def _add_layers(self, ansatz: QaoaCircuit) -> tuple[QaoaCircuit, Stop | None]:
        """Add layers while each gains more than noise; return the circuit, and None where only the limit ended it.

        One round measures all numbers of layers, at angles that are not optimized.
        """
        assert self.search.extend_to is not None
        # Measure the circuits with one, two, ... layers more in one round.
        circuits = [ansatz]
        while circuits[-1].layers < self.search.extend_to:
            circuits.append(with_added_layer(circuits[-1]))
        measured = observable(ansatz.cost.operator())
        (group,) = measured.groups
        pubs = [
            SamplerPub.coerce((group.measurement_circuit(circuit.circuit), circuit.initial_point[None, :], self.shots))
            for circuit in circuits
        ]
        results = self.run_round(pubs)
        circuits = [
            circuit.with_initial_point(result.points[0]) for circuit, result in zip(circuits, results, strict=True)
        ]
        estimates = [self._estimate(measured, result[0]) for result in results]
        # Take the deepest circuit to which each layer gained more than noise.
        estimates = apply_missing_point_policy(estimates, self.on_lost, can_skip=True)
        index, reason = _last_gain(estimates)
        deepest, estimate = circuits[index], estimates[index]
        current = PointEstimate.of(estimate, deepest.initial_point) if isinstance(estimate, Estimate) else None
        self.log.add("search", current, len(circuits), len(circuits), len(circuits) * self.shots)
        return deepest, None if reason is None else _with_layers(deepest, Stop(converged=True, reason=reason))

    def _estimate(self, measured: Observable, counts: Counts | FailedPoint) -> Estimate | FailedPoint:
        if isinstance(counts, FailedPoint):
            return counts
        (group,) = measured.groups
        return combine(measured.constant, [cvar_statistics(self.search.cvar, group, counts)])


def _evaluation(ansatz: QaoaCircuit, run_round: RunRound, cvar: float = 1.0) -> Evaluation:
    """Return the evaluation of a circuit's cost, or of its CVaR."""
    measured = observable(ansatz.cost.operator())
    circuits = tuple(group.measurement_circuit(ansatz.circuit) for group in measured.groups)
    return Evaluation(measured, circuits, run_round, partial(cvar_statistics, cvar))


def _insignificant_gain(start: Estimate, candidate: Estimate) -> str | None:
    """Return None if the gain exceeds rounding and `SIGNIFICANT_SIGMAS` standard errors; else a text with both."""
    gain = start.value - candidate.value
    noise = SIGNIFICANT_SIGMAS * math.hypot(start.standard_error, candidate.standard_error)
    rounding = start.rounding_bound + candidate.rounding_bound
    if gain > noise + rounding:
        return None
    if rounding:
        return f"gain {gain:.4g}, rounding up to {rounding:.4g}"
    return f"gain {gain:.4g}, {SIGNIFICANT_SIGMAS:g} standard errors {noise:.4g}"


def _with_layers(ansatz: QaoaCircuit, stop: Stop) -> Stop:
    return replace(stop, reason=f"{ansatz.layers} layer{'s' * (ansatz.layers > 1)}: {stop.reason}")


def _last_gain(estimates: Sequence[Estimate | FailedPoint]) -> tuple[int, str | None]:
    """Find the last index up to which each estimate gains on the one before; return it and why the next one does not.

    The reason is None at the end of the estimates.
    """
    for index, (start, candidate) in enumerate(itertools.pairwise(estimates)):
        for estimate in (start, candidate):
            if isinstance(estimate, FailedPoint):
                return index, f"a job of the comparison with another layer failed ({estimate.reason})"
        assert isinstance(start, Estimate)
        assert isinstance(candidate, Estimate)
        if (missing := _insignificant_gain(start, candidate)) is not None:
            return index, f"another layer gains nothing beyond noise: {missing}"
    return len(estimates) - 1, None


DEFAULT_SHOTS = 1000
NO_SEARCH = QaoaSearch()


def qaoa(
    ansatz: QaoaCircuit,
    run_round: RunRound,
    *,
    shots: int = DEFAULT_SHOTS,
    precision: float = math.inf,
    search: QaoaSearch = NO_SEARCH,
    on_lost: MissingPointPolicy = FAIL,
    on_progress: Callable[[RoundProgress], None] = lambda _: None,
    assignment: NDArray[np.uint8] | None = None,
) -> QaoaResult:
    """Run QAOA: optimize angles and layers as `search` says, then measure the objective at the final point.

    `shots` are per point. A search may optimize the CVaR of the best shots (P. K. Barkoutsos et al., Quantum 4 (2020)
    256). The reported value is the mean over the final measurement alone, so it has no selection bias; of a problem
    with constraints it is that of the feasible shots. Where `run_round` has caps (`CappedRounds`), the search
    leaves the final measurement its share. The bits (n,) of an `assignment` are a candidate beside the samples.
    Raises InputError for invalid settings, JobFailed where a failed job ends the run.
    """
    check_at_least_one("shots", shots)
    search.check(ansatz, on_lost)
    # Search, and keep the best assignment of all samples.
    problem = ansatz.problem
    tracker = AssignmentTracker(problem, run_round)
    given = None if assignment is None else best_assignment(problem, assignment[None, :], None)
    tracker.best = given
    log = RoundLog(on_progress, problem.sign)
    kept = _evaluation(ansatz, tracker).group_pubs(ansatz.initial_point[None, :], [shots])
    with share_caps(run_round, lambda: kept):
        final_ansatz, stop = _SearchRun(search, tracker, search.shots or shots, on_lost, log).run(ansatz)
    # Measure the final point with fresh shots.
    point = final_ansatz.initial_point
    evaluated = _evaluation(final_ansatz, tracker)
    keeper = KeptCounts(tracker, evaluated.circuits)
    evaluated = replace(evaluated, run_round=keeper)

    def needed(cost: Estimate, asked: float) -> float:
        """Return the error of the cost at which that of the value is as asked: both fall with the shots alike."""
        if math.isinf(asked) or cost.is_exact or not problem.constraints:
            return asked
        found = FinalShots.of(problem, [*itertools.chain.from_iterable(keeper.at(point).values())]).objective()
        if found is None:  # four times the shots may have one
            return 0.5 * cost.expected_error
        return cost.expected_error * asked / found.expected_error if found.expected_error else math.inf

    with share_caps(run_round, None):
        final = measure_final_estimate(
            evaluated, point, pilot=[shots], precision=precision, needed_error=needed, on_round=log.final
        )
    measured = [*itertools.chain.from_iterable(keeper.at(point).values())]  # of an extended run those before, too
    constraints, share = constraints_met(problem, tracker.best, measured)
    shots_at = FinalShots.of(problem, measured[-1:] if final.drifted else measured)
    found = shots_at.objective() if problem.constraints else _in_sense(problem, final.estimate)
    none = _without_feasible(shots_at) if found is None else None
    is_precise = final.estimate.is_exact or (found is not None and found.expected_error <= precision)
    value = replace(final, estimate=found or shots_at.whole(), is_precise=is_precise or math.isinf(precision))
    limit = "" if math.isinf(precision) else value.limit(precision, sum(each.shots for each in log.history))
    if limit:
        stop = Stop(converged=False, reason=f"{limit}; {stop.reason}")
    outcome = QaoaResult(
        **measured_value(value, None, NO_MINIMUM),
        **_beside_value(shots_at, ansatz.cost, search.cvar, tracker.best),
        mean_cost=final.estimate,
        is_feasible=found is not None,
        parameters=tuple(point.tolist()),
        converged=stop.converged,
        reason=stop.reason + _penalty_note(ansatz),
        is_requested=stop.is_requested,
        larger_cap="" if stop.converged else larger_cap_of(run_round),
        rounds=len(log.history),
        history=tuple(log.history),
        best_bitstring=None if tracker.best is None else tracker.best.bitstring,
        best_value=None if tracker.best is None else tracker.best.value,
        choices=() if given is None else (_beside_start(given, tracker.best),),
        constraints=constraints,
        feasible_share=share,
    )
    return outcome.doubted(none)


@dataclass(frozen=True, slots=True, kw_only=True)
class QaoaResult(Outcome):
    """Result of QAOA: `mean_cost` is that of all shots, with penalties; `is_feasible` if a shot of the value is."""

    mean_cost: Estimate
    is_feasible: bool = True


def _in_sense(problem: BinaryProblem, cost: Estimate) -> Estimate:
    return replace(cost, value=problem.sign * cost.value + 0.0)


def _without_feasible(final: FinalShots) -> Doubt:
    what = f"none of the {final.counts.shots:,} final shots meets all constraints"
    return Doubt(
        "nothing feasible",
        f"{what}, so that the value is the mean of the objective over shots that break one. Take more shots or layers.",
    )


def _beside_value(final: FinalShots, minimized: Ising, fraction: float, best: Assignment | None) -> dict[str, Any]:
    """Return what stands beside the value: what was minimized where that is another number, CVaR, and the best's share.

    What was minimized has the penalties, and is in the problem's sense.
    """
    values: dict[str, Any] = {}
    if final.problem.constraints or fraction < 1.0:
        cost = final.cost(minimized, fraction)
        values = {"search_value": cost.value, "search_error": cost.standard_error}
    if fraction < 1.0 and (cvar := final.objective(fraction)) is not None:
        values["cvar"] = {"share": fraction, "value": cvar.value, "standard_error": cvar.standard_error}
    if best is not None:
        values["best_share"], values["best_share_interval95"] = final.share_of(best.value)
    return values


def constraints_met(
    problem: BinaryProblem, best: Assignment | None, measured: Sequence[Counts]
) -> tuple[Table, float | None]:
    """Return a row for each constraint, and the share of the measured shots that meet all; None without any.

    A row has the constraint's name, whether the best assignment meets it (without a feasible one, the measured
    assignment of the least cost), and the share of the shots that do.
    """
    if not problem.constraints or not (measured or best):
        return (), None
    total = sum(counts.shots for counts in measured)
    if best is not None:
        bits = np.array([[int(bit) for bit in reversed(best.bitstring)]], np.uint8)
    else:
        rows = np.concatenate([counts.bits for counts in measured])
        bits = rows[[int(np.argmin(problem.cost.energies(rows)))]]

    def share(is_met: Callable[[NDArray[np.uint8]], NDArray[np.bool_]]) -> float | None:
        met = sum(int(counts.counts @ is_met(counts.bits[:, : problem.num_variables])) for counts in measured)
        return met / total if total else None

    table = [
        {"constraint": each.description, "met": bool(each.is_met(bits[:, : problem.num_variables])[0])}
        | {"share": share(each.is_met)}
        for each in problem.constraints
    ]
    return tuple(table), share(problem.is_feasible)


def _beside_start(given: Assignment, best: Assignment | None) -> str:
    if best is given:
        return f"start assignment: no sample is better than its objective {given.value:.12g}"
    return f"start assignment: its objective is {given.value:.12g}, and a sample is better"


def _penalty_note(ansatz: QaoaCircuit) -> str:
    problem = ansatz.problem
    if all(each.group in ansatz.groups for each in problem.constraints):  # the mixer conserves them
        return ""
    return f"; the penalty for violating a constraint is {problem.penalty:.4g}, because {problem.penalty_reason}"
