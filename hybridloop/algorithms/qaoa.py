"""The quantum approximate optimization algorithm: fixed angles in one job, refined only where that can be shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hybridloop.algorithms.evaluation import Evaluation
from hybridloop.algorithms.final import measure_finally
from hybridloop.algorithms.lost import FAIL, LostPoints
from hybridloop.algorithms.measurement import observable
from hybridloop.algorithms.qaoa_circuit import QaoaCircuit
from hybridloop.algorithms.qaoa_rounds import RoundLog, SeenAssignments, reading
from hybridloop.algorithms.qaoa_search import Search, Searching
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.vqe import Z95, Progress
from hybridloop.errors import InputError

DEFAULT_SHOTS = 1000
NO_SEARCH = Search()


@dataclass(frozen=True, slots=True)
class QaoaResult:
    """What the circuit gives on average and at best, in the objective's unit and sense.

    `value` is the mean of the objective at `parameters` (with its penalty, where assignments can break a constraint),
    from the last measurement alone: nothing was chosen for it. Its error as in `VqeResult`. `best_bitstring`
    (rightmost character = variable 0) is the best assignment that was seen in any round and meets the constraint,
    `best_value` its objective; both are None where none does. `approximation_ratio` is that of `value`, None where the
    optimum is not known.
    """

    value: float
    standard_error: float
    interval95: tuple[float, float]
    is_exact: bool
    rounding_bound: float
    is_precise: bool
    parameters: tuple[float, ...]
    converged: bool
    reason: str
    rounds: int
    history: tuple[Progress, ...]
    best_bitstring: str | None
    best_value: float | None
    approximation_ratio: float | None


def qaoa(
    ansatz: QaoaCircuit,
    run_round: RunRound,
    *,
    shots: int = DEFAULT_SHOTS,
    search: Search = NO_SEARCH,
    on_lost: LostPoints = FAIL,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> QaoaResult:
    """Measure the ansatz at its first point, or at what a search has found from there, with more layers perhaps.

    `shots` are for each point. A search may go by the best share of the shots (P. K. Barkoutsos et al., Quantum 4
    (2020) 256); what is reported is the mean.
    """
    if shots < 1:
        raise InputError("shots", f"{shots} is below 1", "Give 1 or more per circuit.")
    search.check(ansatz, on_lost)
    problem, measured = ansatz.problem, observable(ansatz.cost.operator())
    seen = SeenAssignments(problem, run_round)
    log = RoundLog(problem.sign, on_progress)
    found, stop = Searching(search, seen, shots, on_lost, log).found(ansatz)
    point, circuits = found.initial_point, tuple(group.measured(found.circuit) for group in measured.groups)
    final = measure_finally(
        Evaluation(measured, circuits, seen),
        point,
        pilot=[shots],
        precision=math.inf,
        on_round=lambda estimate, asked, used: log.add("final", reading(point, estimate), 1, asked, used),
    ).estimate
    value = problem.sign * final.value
    half_width = final.rounding_bound if final.is_exact else Z95 * final.standard_error
    return QaoaResult(
        value=value,
        standard_error=final.standard_error,
        interval95=(value - half_width, value + half_width),
        is_exact=final.is_exact,
        rounding_bound=final.rounding_bound,
        is_precise=True,
        parameters=tuple(point.tolist()),
        converged=stop.converged,
        reason=stop.reason + _penalty_in_words(ansatz),
        rounds=len(log.history),
        history=tuple(log.history),
        best_bitstring=None if seen.best is None else seen.best.bitstring,
        best_value=None if seen.best is None else seen.best.value,
        approximation_ratio=problem.approximation_ratio(value),
    )


def _penalty_in_words(ansatz: QaoaCircuit) -> str:
    problem = ansatz.problem
    if problem.constraint is None or ansatz.cost is not problem.cost:  # the mixer keeps to it
        return ""
    return f"; the penalty for breaking a constraint is {problem.penalty:.4g}, because {problem.penalty_reason}"
