"""Effort of a run: its jobs, shots and bills in all sessions and processes, and the shots that were lost."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hybridloop.algorithms.outcome import Outcome
from hybridloop.budget.cost_summary import summarize_charges
from hybridloop.journal import UNSETTLED, Charge, Event, Ping, RoundRecord, RunRecord, SessionRow
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
    journal, uid = run.journal, run.uid
    return effort_in(run.record, journal.rounds(uid), journal.pings(uid), journal.sessions(uid))


def effort_in(
    record: RunRecord, rounds: Iterable[RoundRecord], pings: Iterable[Ping], sessions: Iterable[SessionRow]
) -> dict[str, Any]:
    """Return the fields of `RunResult` for jobs, shots and cost, from the records of a run."""
    jobs_by_session: Counter[int] = Counter()
    bills: defaultdict[str, list[float]] = defaultdict(list)
    charged = list[Charge]()
    jobs = retried = shots = lost = sent = 0
    target = recorded_target(record.target)
    for round_ in rounds:
        for job in round_.jobs:
            charged.append(Charge(job.shots, job.reserved, job.billed))
            jobs_by_session[job.session] += 1
            is_first = job.attempt == FIRST_ATTEMPT
            jobs += is_first
            shots += job.shots * is_first
            retried += not is_first
            lost += 0 if job.counts is None else lost_shots(job.parts, job.counts, target)
            _add(bills, job.billed)
    for ping in pings:
        if ping.state != "lost":  # it never arrived
            charged.append(Charge(ping.shots, ping.reserved, ping.billed, may_be_unsent=ping.state in UNSETTLED))
        if ping.state in _SENT:
            sent += 1
            jobs_by_session[ping.session] += 1
            _add(bills, ping.billed)
    charges = summarize_charges(charged, target)
    return {
        "jobs": jobs,
        "retried": retried,
        "pings": sent,
        "shots": shots,
        "lost_shots": lost,
        "cost": {unit: math.fsum(amounts) for unit, amounts in bills.items()},
        "sessions": tuple(SessionSummary(row.id, row.shown_status, jobs_by_session[row.ordinal]) for row in sessions),
        "estimated": charges.estimated,
        "reserved": charges.reserved,
    }


def of_whole_run(outcome: Outcome, result: RunResult, rounds: int, extensions: Sequence[Event]) -> Outcome:
    """Return an outcome that says which shots were lost, and which claim of the result before it is lost.

    Its `rounds` are all of the run's, as its jobs are: of an extended run the algorithm counts those after its end.
    """
    outcome = replace(of_extension(outcome, extensions), rounds=rounds)
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
