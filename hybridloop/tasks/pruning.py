"""Forgets old runs; what they left in flight at the service is cancelled first, since nobody will ever ask for it.

As long as a run can be gone on with, its jobs are left to the service: they are paid for, and a resume takes their
results. A run that is forgotten takes its jobs' ids with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.listing import open_client
from hybridloop.azure.workspace import identity_of
from hybridloop.errors import HybridloopError, ServiceBusy, ServiceUnreachable
from hybridloop.journal import Journal
from hybridloop.runtime.clock import RealClock
from hybridloop.tasks.orphans import is_held, unfinished_jobs
from hybridloop.tasks.submission.jobs import TERMINAL

UNFINISHED = frozenset({"created", "stopped", "parked", "interrupted", "failed"})


@dataclass(slots=True)
class PruningResult:
    """How many runs are forgotten whole, of how many only the result is kept, and what else was done.

    `kept` has the runs that were to be forgotten and could not be, by uid, with the reason.
    """

    runs: int = 0
    stripped: int = 0
    cancelled_jobs: int = 0
    freed_bytes: int = 0
    kept: dict[str, str] = field(default_factory=dict)


def forget_old(
    journal: Journal,
    workspace: Callable[[], Any],
    *,
    ended_before: float | None = None,
    given_up_before: float | None = None,
    keeps_results: bool = False,
) -> PruningResult:
    """Forget runs that came to their result, and runs that ended early, before moments in epoch seconds (None: none).

    Where it `keeps_results`, those of the former are kept. Of the latter jobs in flight are cancelled; `workspace` is
    asked for only where there may be some. A run whose jobs can't be cancelled is kept: those of another workspace,
    and those that the service keeps to itself. The room is given back to the disk.
    """
    done = PruningResult()
    if ended_before is not None:
        uids = journal.old_runs(older_than=ended_before)
        if keeps_results:
            done.stripped = journal.delete_measurements(uids)
        else:
            done.runs = journal.delete_runs(uids)
    if given_up_before is not None:
        _forget_unfinished(journal, workspace, given_up_before, done)
    done.freed_bytes = journal.compact()
    return done


def _forget_unfinished(journal: Journal, workspace: Callable[[], Any], before: float, done: PruningResult) -> None:
    in_flight: dict[str, list[str]] = {}
    uids = journal.old_runs(older_than=before, statuses=UNFINISHED)
    for uid in uids:
        try:
            in_flight[uid] = unfinished_jobs(journal, uid)
        except HybridloopError as error:
            done.kept[uid] = str(error)
    if any(in_flight.values()):
        _cancel(journal, workspace(), in_flight, done)
    done.runs += journal.delete_runs([uid for uid in uids if uid not in done.kept])


def _cancel(journal: Journal, workspace: Any, in_flight: dict[str, list[str]], done: PruningResult) -> None:
    here, away = identity_of(workspace), ""  # and what was said when the service did not answer: it is asked no more
    with open_client(workspace) as service:
        for uid, jobs in in_flight.items():
            if not jobs:
                continue
            if away:
                done.kept[uid] = away
                continue
            try:
                record = journal.run(uid)
                if record.settings.get("workspace", here) != here:
                    done.kept[uid] = "its jobs are in another workspace"
                elif is_held(record, RealClock().now()):
                    done.kept[uid] = "it is gone on with"
                else:
                    done.cancelled_jobs += _cancelled(service, jobs)
            except HybridloopError as error:
                done.kept[uid] = str(error)
                away = str(error) if isinstance(error, (ServiceBusy, ServiceUnreachable)) else ""


def _cancelled(service: ServiceClient, jobs: Sequence[str]) -> int:
    number = 0
    for job_id in jobs:
        found = service.find_job(job_id)
        if found is not None and found.get("status") not in TERMINAL:
            service.cancel_job(job_id)
            number += 1
    return number
