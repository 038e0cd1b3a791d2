"""Prune old runs from the journal; their jobs in flight at the service are cancelled first.

As long as a run can be resumed, its jobs are left to the service: they are paid for, and a resume takes their results.
The ids of a pruned run's jobs are gone with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.listing import open_client
from hybridloop.azure.workspace import identity_of
from hybridloop.data.states import State
from hybridloop.data.statuses import STATUSES, WITH_RESULT
from hybridloop.errors import HybridloopError, ServiceBusy, ServiceUnreachable
from hybridloop.journal import Journal, RunRecord
from hybridloop.tasks.orphans import unfinished_jobs
from hybridloop.tasks.submission.jobs import TERMINAL

UNFINISHED = frozenset({State.NEW, State.PREPARING, *STATUSES.keys() - WITH_RESULT})
_ENDABLE = UNFINISHED | {State.RUNNING}  # also those of which a process may be at work


@dataclass(slots=True)
class PruningResult:
    """Number of pruned runs, of runs of which only the result is kept (`stripped`), and of cancelled jobs.

    `kept` has the runs that could not be pruned, by key (by uid, if that can't be read), with the reason.
    """

    runs: int = 0
    stripped: int = 0
    cancelled_jobs: int = 0
    freed_bytes: int = 0
    kept: dict[str, str] = field(default_factory=dict)


def prune_runs(
    journal: Journal,
    workspace: Callable[[], Any],
    *,
    ended_before: float | None = None,
    given_up_before: float | None = None,
    keeps_results: bool = False,
) -> PruningResult:
    """Prune finished runs, and runs that ended early, before moments in seconds since the epoch (None: no runs).

    If `keeps_results`, the results of finished runs are kept. Jobs in flight of the other runs are cancelled;
    `workspace` is called only if there may be some. A run whose jobs can't be cancelled is kept: they are in another
    workspace, a process holds the run, or the service did not cancel them; so is one whose session may be open. The
    disk space is released.
    """
    result = PruningResult()
    if ended_before is not None:
        uids = journal.old_runs(older_than=ended_before)
        if keeps_results:
            result.stripped = journal.delete_measurements(uids)
        else:
            result.runs = journal.delete_runs(uids)
    if given_up_before is not None:
        _prune_unfinished(journal, workspace, given_up_before, result)
    result.freed_bytes = journal.compact()
    return result


def find_prunable(
    journal: Journal, *, ended_before: float, given_up_before: float | None, keeps_results: bool
) -> PruningResult:
    """Return the numbers of runs that `prune_runs` would take; a run that is held then, or can't be pruned, stays."""
    ended, given_up = len(journal.old_runs(older_than=ended_before)), 0
    if given_up_before is not None:
        given_up = len(journal.old_runs(older_than=given_up_before, statuses=UNFINISHED))
    return PruningResult(given_up, ended) if keeps_results else PruningResult(ended + given_up)


def _prune_unfinished(journal: Journal, workspace: Callable[[], Any], before: float, result: PruningResult) -> None:
    in_flight: dict[str, list[str]] = {}
    kept = dict[str, str]()
    uids = journal.old_runs(older_than=before, statuses=UNFINISHED)
    for uid in uids:
        try:
            in_flight[uid] = unfinished_jobs(journal, uid)
        except HybridloopError as error:
            kept[uid] = str(error)
    if any(in_flight.values()):
        result.cancelled_jobs = _cancel(journal, workspace(), in_flight, kept)
    result.runs += journal.delete_runs([uid for uid in uids if uid not in kept])
    for record in journal.runs_by_status(_ENDABLE):
        if record.updated_at < before and (record.uid in kept or record.uid not in uids):
            result.kept[record.key] = kept.pop(record.uid, "") or _reason_to_keep(record)
    result.kept |= kept  # damaged ones


def _reason_to_keep(record: RunRecord) -> str:
    """Return why a run is kept that has begun and has not ended, or whose session is open."""
    if record.is_held(time.time()):
        return f"{record.owner} works on it"
    return "its process has ended, and its session may be open; it is deleted after: hybridloop sessions close-orphans"


def _cancel(journal: Journal, workspace: Any, in_flight: dict[str, list[str]], kept: dict[str, str]) -> int:
    """Cancel the jobs in flight of runs; return their number, and add the runs whose jobs can't be cancelled."""
    number = 0
    here, failure = identity_of(workspace), ""  # of a service that did not answer: it is not called again
    with open_client(workspace) as service:
        for uid, jobs in in_flight.items():
            if not jobs:
                continue
            if failure:
                kept[uid] = failure
                continue
            try:
                record = journal.run(uid)
                if record.settings.get("workspace", here) != here:
                    kept[uid] = "its jobs are in another workspace"
                elif record.is_held(time.time()):
                    kept[uid] = "it is being resumed"
                else:
                    number += _cancel_jobs(service, jobs)
            except HybridloopError as error:
                kept[uid] = str(error)
                failure = str(error) if isinstance(error, (ServiceBusy, ServiceUnreachable)) else ""
    return number


def _cancel_jobs(service: ServiceClient, jobs: Sequence[str]) -> int:
    """Cancel the jobs that have not ended; return their number."""
    number = 0
    for job_id in jobs:
        job = service.find_job(job_id)
        if job is not None and job.get("status") not in TERMINAL:
            service.cancel_job(job_id)
            number += 1
    return number
