"""Effort of a run: its jobs, shots and bills in all sessions and processes, and the shots that were lost."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hybridloop.algorithms.outcome import Outcome
from hybridloop.budget.cost_summary import summarize_charges
from hybridloop.journal.held_run import HeldRun
from hybridloop.results.result import RunResult, SessionSummary
from hybridloop.runs.extension import of_extension
from hybridloop.targets import recorded_target
from hybridloop.tasks.submission.jobs import FIRST_ATTEMPT
from hybridloop.tasks.submission.results import lost_shots

MAX_UNWARNED = 0.05  # share of lost shots
_SENT = frozenset({"submitted", "done", "failed"})


def effort_of(run: HeldRun) -> dict[str, Any]:
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
            SessionSummary(row.id, row.shown_status, jobs_by_session[row.ordinal])
            for row in journal.sessions(record.uid)
        ),
        "estimated": charges.estimated,
        "reserved": charges.reserved,
    }


def of_whole_run(outcome: Outcome, result: RunResult, run: HeldRun) -> Outcome:
    """Return an outcome that says which shots were lost, and which claim of the result before it is lost.

    Its rounds are all of the run's, as its jobs are: of an extended run the algorithm counts those after its end.
    """
    rounds = run.journal.progress(run.uid).rounds
    outcome = replace(of_extension(outcome, run.extensions), rounds=rounds)
    return with_lost_shots(outcome, result.lost_shots, result.shots)


def with_lost_shots(outcome: Outcome, lost: int, shots: int) -> Outcome:
    """Return an outcome that says how many of the run's shots lost a qubit; above 5 % that is a warning."""
    if not lost:
        return outcome
    text = f"{lost:,} of {shots:,} shots lost a qubit or failed, and are not counted"
    if lost <= MAX_UNWARNED * shots:
        return replace(outcome, choices=(*outcome.choices, f"lost: {text}"))
    bias = "a loss that depends on the state biases the value, and the error bar does not cover that"
    return replace(outcome, warnings=(*outcome.warnings, f"{text}: {bias}"))


def _add(bills: defaultdict[str, list[float]], billed: Mapping[str, float] | None) -> None:
    for unit, amount in (billed or {}).items():
        bills[unit].append(amount)
