"""The end of a run: its effort, its stored result, and the state that Prefect shows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prefect.states import Cancelled, Completed

from hybridloop.azure.targets import find_target
from hybridloop.budget.cost_summary import summarize_charges
from hybridloop.errors import CapReached, RunCancelled, RunStopped
from hybridloop.flows.lifecycle.artifact import RunArtifact
from hybridloop.flows.lifecycle.caller_context import current_caller
from hybridloop.journal.claimed_run import ClaimedRun
from hybridloop.runs.holding import log_resume_command, write_status
from hybridloop.runs.result import RunResult, SessionSummary
from hybridloop.runs.statuses import status_after
from hybridloop.tasks.submission.jobs import FIRST_ATTEMPT

_SENT = frozenset({"submitted", "done", "failed"})


def effort_of(run: ClaimedRun) -> dict[str, Any]:
    """Return the fields of `RunResult` for jobs, shots and cost so far, in all sessions and processes of the run."""
    journal, record = run.journal, run.record
    in_session: Counter[int] = Counter()
    bills: defaultdict[str, list[float]] = defaultdict(list)
    evaluations = retried = shots = 0
    for round_ in journal.rounds(record.uid):
        for job in round_.jobs:
            in_session[job.session] += 1
            is_first = job.attempt == FIRST_ATTEMPT
            evaluations += is_first
            shots += job.shots * is_first
            retried += not is_first
            _add(bills, job.billed)
    meter = summarize_charges(journal.charges(record.uid), find_target(record.target))
    pings = [ping for ping in journal.pings(record.uid) if ping.state in _SENT]
    for ping in pings:
        in_session[ping.session] += 1
        _add(bills, ping.billed)
    return {
        "jobs": evaluations,
        "retried": retried,
        "pings": len(pings),
        "shots": shots,
        "cost": {unit: math.fsum(amounts) for unit, amounts in bills.items()},
        "sessions": tuple(
            SessionSummary(row.id, row.status, in_session[row.ordinal]) for row in journal.sessions(record.uid)
        ),
        "estimated": meter.estimated,
        "reserved": meter.reserved,
    }


def finish(run: ClaimedRun, result: RunResult, artifact: RunArtifact) -> RunResult:
    """Store the result of a run, show it in Prefect, and return it."""
    write_status(run, result.status, result.reason, result.as_dict())
    artifact.write(lambda: result)
    current_caller().end = result
    return result


def stop_early(
    run: ClaimedRun, result: RunResult, error: CapReached | RunStopped, artifact: RunArtifact, *, cancelled: bool
) -> Any:
    """Store the result so far of a run that this error ended, and return the state in which its flow run ends.

    Completed, so that no retry starts it again by itself; Cancelled where Prefect asked for it. Raises the error where
    nobody asked for it.
    """
    if cancelled and isinstance(error, RunStopped):
        error = RunCancelled(error.in_flight)
    status = status_after(error)
    if status == "interrupted" and not isinstance(error, RunCancelled):
        raise error
    result = replace(result, status=status, reason=str(error))
    write_status(run, result.status, result.reason, result.as_dict())
    artifact.write(lambda: result)
    if isinstance(error, RunCancelled):
        current_caller().end = error
        log_resume_command(run, status)
        return Cancelled(message=str(error))
    current_caller().end = result
    return Completed(name=status.capitalize(), message=str(error), data=result)


def _add(bills: defaultdict[str, list[float]], billed: Mapping[str, float] | None) -> None:
    for unit, amount in (billed or {}).items():
        bills[unit].append(amount)
