"""How a run ends: what it took, what is written down of it, and the state that Prefect shows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prefect.states import Cancelled, Completed

from hybridloop.errors import CapReached, RunCancelled, RunStopped
from hybridloop.flows.artifact import RunArtifact
from hybridloop.flows.context import keep, note_cancelled
from hybridloop.flows.results import Account, RunResult, SessionRecord
from hybridloop.flows.runs import say_how_to_go_on, write_status
from hybridloop.flows.statuses import status_after
from hybridloop.sessions.jobs import FIRST_ATTEMPT
from hybridloop.sessions.meter import meter_of
from hybridloop.sessions.run import ClaimedRun
from hybridloop.sessions.targets import find_target

_SENT = frozenset({"submitted", "done", "failed"})


def account(run: ClaimedRun, *, wall_seconds: float, resumed: bool) -> Account:
    """What the run took so far, in all its sessions and processes, as its journal has it."""
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
    meter = meter_of(journal.charges(record.uid), find_target(record.target))
    pings = [ping for ping in journal.pings(record.uid) if ping.state in _SENT]
    for ping in pings:
        in_session[ping.session] += 1
        _add(bills, ping.billed)
    return Account(
        run_key=record.key,
        target=record.target,
        seed=record.seed,
        jobs=evaluations,
        retried=retried,
        pings=len(pings),
        shots=shots,
        cost={unit: math.fsum(amounts) for unit, amounts in bills.items()},
        sessions=tuple(
            SessionRecord(row.id, row.status, in_session[row.ordinal]) for row in journal.sessions(record.uid)
        ),
        wall_seconds=wall_seconds,
        resumed=resumed,
        estimated=meter.estimated,
        reserved=meter.reserved,
    )


def finished(run: ClaimedRun, result: RunResult, artifact: RunArtifact) -> RunResult:
    """Write down the result of a run that has ended well, show it in Prefect, and hand it out."""
    write_status(run, result.status, result.reason, result.as_dict())
    artifact.write(lambda: result)
    return keep(result)


def stopped(
    run: ClaimedRun, result: RunResult, why: CapReached | RunStopped, artifact: RunArtifact, *, cancelled: bool
) -> Any:
    """Write down what a run has that was ended before its result, and the state in which its flow run ends.

    Completed, so that no retry starts it again by itself; Cancelled if Prefect was told to. Raises `why` where nobody
    asked for it.
    """
    if cancelled and isinstance(why, RunStopped):
        why = RunCancelled(why.in_flight)
    status = status_after(why)
    if status == "interrupted" and not isinstance(why, RunCancelled):
        raise why
    so_far = replace(result, status=status, reason=str(why))
    write_status(run, so_far.status, so_far.reason, so_far.as_dict())
    artifact.write(lambda: so_far)
    if isinstance(why, RunCancelled):
        note_cancelled(why)
        say_how_to_go_on(run, status)
        return Cancelled(message=str(why))
    return Completed(name=status.capitalize(), message=str(why), data=keep(so_far))


def _add(bills: defaultdict[str, list[float]], billed: Mapping[str, float] | None) -> None:
    for unit, amount in (billed or {}).items():
        bills[unit].append(amount)
