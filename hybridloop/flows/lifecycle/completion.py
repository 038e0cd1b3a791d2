"""The end of a run: its effort, its doubts, its stored result, and the state that Prefect shows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from prefect.states import Cancelled, Completed

from hybridloop.algorithms.diagnostics import below_exact_warning
from hybridloop.algorithms.outcome import Outcome
from hybridloop.azure.targets import recorded_target
from hybridloop.budget.cost_summary import summarize_charges
from hybridloop.errors import CapReached, RunCancelled, RunStopped
from hybridloop.flows.in_prefect.artifact import RunArtifact
from hybridloop.flows.in_prefect.beside import Ended
from hybridloop.flows.in_prefect.stored_result import stored
from hybridloop.journal.claimed_run import ClaimedRun
from hybridloop.preparation.prepared import ProblemFacts
from hybridloop.runs.claim import log_resume_command, write_end
from hybridloop.runs.result import RunResult, SessionSummary
from hybridloop.runs.statuses import status_after
from hybridloop.tasks.submission.jobs import FIRST_ATTEMPT
from hybridloop.tasks.submission.results import lost_shots

ENDED_EARLY = frozenset({"stopped", "parked"})  # statuses of runs whose flow runs are completed all the same
MAX_UNWARNED = 0.05  # share of lost shots
_SENT = frozenset({"submitted", "done", "failed"})


def effort_of(run: ClaimedRun) -> dict[str, Any]:
    """Return the fields of `RunResult` for jobs, shots and cost so far, in all sessions and processes of the run."""
    journal, record = run.journal, run.record
    jobs_by_session: Counter[int] = Counter()
    bills: defaultdict[str, list[float]] = defaultdict(list)
    jobs = retried = shots = lost = 0
    target = recorded_target(record.target)
    for round_ in journal.rounds(record.uid):
        for job in round_.jobs:
            jobs_by_session[job.session] += 1
            is_first = job.attempt == FIRST_ATTEMPT
            jobs += is_first
            shots += job.shots * is_first
            retried += not is_first
            lost += 0 if job.counts is None else lost_shots(job.parts, job.counts, target)
            _add(bills, job.billed)
    charges = summarize_charges(journal.charges(record.uid), target)
    pings = [ping for ping in journal.pings(record.uid) if ping.state in _SENT]
    for ping in pings:
        jobs_by_session[ping.session] += 1
        _add(bills, ping.billed)
    return {
        "jobs": jobs,
        "retried": retried,
        "pings": len(pings),
        "shots": shots,
        "lost_shots": lost,
        "cost": {unit: math.fsum(amounts) for unit, amounts in bills.items()},
        "sessions": tuple(
            SessionSummary(row.id, row.status, jobs_by_session[row.ordinal]) for row in journal.sessions(record.uid)
        ),
        "estimated": charges.estimated,
        "reserved": charges.reserved,
    }


def with_lost_shots(outcome: Outcome, lost: int, shots: int) -> Outcome:
    """Return an outcome that says how many of the run's shots lost a qubit; above 5 % that is a warning."""
    if not lost:
        return outcome
    text = f"{lost:,} of {shots:,} shots lost a qubit or failed, and are not counted"
    if lost <= MAX_UNWARNED * shots:
        return replace(outcome, choices=(*outcome.choices, text))
    bias = "a loss that depends on the state biases the value, and the error bar does not cover that"
    return replace(outcome, warnings=(*outcome.warnings, f"{text}: {bias}"))


def with_doubts(outcome: Outcome, facts: ProblemFacts, noise: str | None = None) -> Outcome:
    """Return an outcome with the problem's notes and its doubts, with which it is not converged.

    They are the target's `noise`, and an energy (hartree) below the exact one.
    """
    if notes := [note for note in (facts.orbitals, facts.note()) if note]:
        outcome = replace(outcome, choices=(*outcome.choices, *notes))
    doubts = [] if noise is None else [noise]
    if facts.unit == "hartree":
        below = below_exact_warning(outcome.value, outcome.standard_error, outcome.rounding_bound, facts.exact())
        doubts += [] if below is None else [below]
    if not doubts:
        return outcome
    table = outcome.table
    if noise is not None:
        table = tuple({**row, "converged": False} if "converged" in row else row for row in table)
    reason = "; ".join([*(doubt.split(":")[0] for doubt in doubts), outcome.reason])
    return replace(outcome, converged=False, reason=reason, warnings=(*outcome.warnings, *doubts), table=table)


def end_run(
    run: ClaimedRun,
    result: RunResult,
    ended_by: CapReached | RunStopped | None,
    artifact: RunArtifact,
    *,
    cancelled: bool,
) -> Ended[RunResult]:
    """Store the result of a run; return its end, which shows it in Prefect.

    The flow run of a run that `ended_by` ended is Completed, so that no retry starts the run again, or Cancelled if
    Prefect asked for it. Raises the error if the run was interrupted otherwise.
    """
    error = ended_by
    if cancelled and isinstance(ended_by, RunStopped):
        error = RunCancelled(ended_by.in_flight, ended_by.lost)
    if error is not None:
        larger_cap = error.larger_cap if isinstance(error, CapReached) else ""
        result = replace(result, status=status_after(error), reason=str(error), larger_cap=larger_cap)
        if result.status == "interrupted" and not isinstance(error, RunCancelled):
            raise error
    write_end(run, result.status, result.reason, result.as_dict())
    if isinstance(error, RunCancelled):
        log_resume_command(run, result.status)
        state = partial(Cancelled, message=str(error))
        return Ended(partial(_show, artifact, result, state), error=error)
    return Ended(partial(_show, artifact, result, partial(completed, result)), result)


def _show(artifact: RunArtifact, result: RunResult, state: Callable[[], Any]) -> Any:
    artifact.write(lambda: result)
    return state()


def completed(result: RunResult) -> Any:
    """Return the state of a flow run with this result."""
    return completed_state(result.status, result.reason, stored(result))


def completed_state(status: str, reason: str, data: Any = None) -> Any:
    """Return the state of a flow run whose run ended with this status: Completed, named after it if not converged."""
    name = None if status in ("converged", "measured") else status.capitalize()
    message = reason if status in ENDED_EARLY else f"{status}: {reason}"
    return Completed(name=name, message=message, data=data)


def _add(bills: defaultdict[str, list[float]], billed: Mapping[str, float] | None) -> None:
    for unit, amount in (billed or {}).items():
        bills[unit].append(amount)
