"""The quantum approximate optimization algorithm: fixed angles in one job, refined only where that can be shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from hybridloop.algorithms.evaluation import Evaluation
from hybridloop.algorithms.final import measure_finally
from hybridloop.algorithms.lost import FAIL, LostPoints
from hybridloop.algorithms.measurement import observable
from hybridloop.algorithms.outcome import Outcome, Progress, RoundLog
from hybridloop.algorithms.qaoa_circuit import QaoaCircuit
from hybridloop.algorithms.qaoa_rounds import SeenAssignments
from hybridloop.algorithms.qaoa_search import Search, Searching
from hybridloop.algorithms.rounds import RunRound
from hybridloop.errors import InputError

DEFAULT_SHOTS = 1000
NO_SEARCH = Search()


def qaoa(
    ansatz: QaoaCircuit,
    run_round: RunRound,
    *,
    shots: int = DEFAULT_SHOTS,
    search: Search = NO_SEARCH,
    on_lost: LostPoints = FAIL,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Outcome:
    """Measure the ansatz at its first point, or at what a search has found from there, with more layers perhaps.

    `shots` are for each point. A search may go by the best share of the shots (P. K. Barkoutsos et al., Quantum 4
    (2020) 256); what is reported is the mean, from the last measurement alone: nothing was chosen for it.
    """
    if shots < 1:
        raise InputError("shots", f"{shots} is below 1", "Give 1 or more per circuit.")
    search.check(ansatz, on_lost)
    problem, measured = ansatz.problem, observable(ansatz.cost.operator())
    seen = SeenAssignments(problem, run_round)
    log = RoundLog(on_progress, problem.sign)
    found, stop = Searching(search, seen, shots, on_lost, log).found(ansatz)
    point, circuits = found.initial_point, tuple(group.measured(found.circuit) for group in measured.groups)
    final = measure_finally(
        Evaluation(measured, circuits, seen),
        point,
        pilot=[shots],
        precision=math.inf,
        on_round=lambda estimate, asked, used: log.final(estimate, point, asked, used),
    )
    value = problem.sign * final.estimate.value
    return Outcome(
        final=replace(final, estimate=replace(final.estimate, value=value)),
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
