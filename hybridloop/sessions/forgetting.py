"""Forgets old runs; what they left in flight at the service is cancelled first, since nobody will ever ask for it.

As long as a run can be gone on with, its jobs are left to the service: they are paid for, and a resume takes their
results. A run that is forgotten takes its jobs' ids with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybridloop.errors import HybridloopError, ServiceBusy, ServiceUnreachable
from hybridloop.sessions.catalog import service_of
from hybridloop.sessions.jobs import TERMINAL
from hybridloop.sessions.journal import Journal
from hybridloop.sessions.service import Service
from hybridloop.sessions.sweep import unfinished_jobs
from hybridloop.sessions.workspace import identity_of

UNFINISHED = frozenset({"created", "stopped", "parked", "interrupted", "failed"})


@dataclass(slots=True)
class Forgotten:
    """How many runs are forgotten whole, of how many only the result is kept, and what else was done.

    `kept` has the runs that were to be forgotten and could not be, by uid, with the reason.
    """

    runs: int = 0
    stripped: int = 0
    cancelled_jobs: int = 0
    freed_bytes: int = 0
    kept: dict[str, str] = field(default_factory=dict)


def forget_ended_well(journal: Journal, *, older_than: float, keeps_results: bool) -> Forgotten:
    """Forget runs that came to their result before a moment (epoch seconds), or all of them but their results."""
    uids = journal.old_runs(older_than=older_than)
    if keeps_results:
        return Forgotten(stripped=journal.strip(uids))
    return Forgotten(runs=journal.forget(uids))


def forget_unfinished(journal: Journal, workspace: Callable[[], Any], *, older_than: float) -> Forgotten:
    """Forget runs that ended early before a moment; `workspace` is asked for only where jobs may be in flight.

    A run whose jobs can't be cancelled is kept: those of another workspace, and those that the service keeps to itself.
    """
    done = Forgotten()
    in_flight: dict[str, list[str]] = {}
    uids = journal.old_runs(older_than=older_than, statuses=UNFINISHED)
    for uid in uids:
        try:
            in_flight[uid] = unfinished_jobs(journal, uid)
        except HybridloopError as error:
            done.kept[uid] = str(error)
    if any(in_flight.values()):
        _cancel(journal, workspace(), in_flight, done)
    done.runs = journal.forget([uid for uid in uids if uid not in done.kept])
    return done


def _cancel(journal: Journal, workspace: Any, in_flight: dict[str, list[str]], done: Forgotten) -> None:
    here, away = identity_of(workspace), ""  # and what was said when the service did not answer: it is asked no more
    with service_of(workspace) as service:
        for uid, jobs in in_flight.items():
            if not jobs:
                continue
            if journal.run(uid).settings.get("workspace", here) != here:
                done.kept[uid] = "its jobs are in another workspace"
                continue
            if away:
                done.kept[uid] = away
                continue
            try:
                done.cancelled_jobs += _cancelled(service, jobs)
            except HybridloopError as error:
                done.kept[uid] = str(error)
                away = str(error) if isinstance(error, (ServiceBusy, ServiceUnreachable)) else ""


def _cancelled(service: Service, jobs: Sequence[str]) -> int:
    number = 0
    for job_id in jobs:
        found = service.find_job(job_id)
        if found is not None and found.get("status") not in TERMINAL:
            service.cancel_job(job_id)
            number += 1
    return number
