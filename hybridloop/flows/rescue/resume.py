"""Runs that can resume without a person: find them, and give each to its deployment's workers or to this machine."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectException

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.listing import open_client, unavailable_targets
from hybridloop.azure.workspace import identity_of
from hybridloop.data.states import State, Who
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import HybridloopError, JournalDamaged, RunBusy
from hybridloop.flows.in_prefect.algorithm_run import run_order
from hybridloop.flows.lifecycle.classical_part import is_classical_alone
from hybridloop.flows.rescue.dead_flow_runs import is_of_live_sweep, restart_flow_run, tell_person, was_cancelled
from hybridloop.journal import Journal, RunRecord
from hybridloop.journal.held_run import HOUSEKEEPING, held_name
from hybridloop.runs.order import algorithm_order
from hybridloop.runs.over_runs import limit_waited_for
from hybridloop.runs.recorded import flow_runs_of, problem_of, settings_of
from hybridloop.runs.resumable import FOR_A_PERSON, reason_to_skip
from hybridloop.tasks.orphans import unfinished_jobs
from hybridloop.tasks.submission.jobs import TERMINAL

ELSEWHERE = "left: another process resumed it"
LOOK_S = 120  # a look at all dead runs takes seconds
CANDIDATES = frozenset({State.PREPARING, State.PARKED, State.INTERRUPTED, State.FAILED})
_log = logging.getLogger(__name__)


@contextmanager
def alone(journal: Journal) -> Iterator[None]:
    """Do the block's housekeeping while no other process does any for the journal: two would start a run twice.

    Another one is waited for as long as it takes to look; one that takes longer waits for a server itself.
    """
    for _ in range(LOOK_S):
        with held_name(journal, HOUSEKEEPING) as is_held:
            if is_held:
                yield
                return
        threading.Event().wait(1.0)
    yield


def resumable_runs(journal: Journal, workspace: Any, *, parked: bool = True) -> Iterator[RunRecord]:
    """Yield the runs of this workspace that can resume now; those of a sweep that lives are the sweep's to resume.

    Without `parked` no run is looked at that waits for the service: each of its jobs is a request.
    """
    identity, now = identity_of(workspace), time.time()
    candidates = {record.uid: record for record in (*journal.runs_by_status(CANDIDATES), *journal.runs_to_resume())}
    unavailable = cache(lambda: unavailable_targets(workspace))
    with open_client(workspace) as service:
        for record in candidates.values():
            if record.settings.get("workspace") != identity or record.is_held(now) or record.state is State.ENDED:
                continue
            if record.state is State.PARKED and not parked:
                continue
            if is_of_live_sweep(journal, record.settings.get("sweep")):
                continue
            try:
                reason = reason_to_skip(record, journal.events(record.uid), rounds=partial(_rounds, journal, record))
                reason = reason or _pending_work(journal, record, service, unavailable)
            except JournalDamaged as error:  # it must not keep other runs from being resumed
                _log.warning("run %s was skipped: %s", record.key, error)
                continue
            if reason is None:
                yield record
                continue
            _log.debug("run %s was skipped: %s", record.key, reason)
            if reason in FOR_A_PERSON:
                tell_person(record, flow_runs_of(journal, record)[-1], reason)


def give_to_deployment(journal: Journal, client: SyncPrefectClient, record: RunRecord) -> str | None:
    """Leave a run to its deployment or its script; return the outcome, or None if it must be resumed here.

    What fails is an outcome too: it is tried again the next time, and keeps no other run from being resumed.
    """
    try:
        return _give_to_deployment(journal, client, record)
    except (HybridloopError, HTTPError, PrefectException, RuntimeError) as error:
        return f"failed: {error}"


def _give_to_deployment(journal: Journal, client: SyncPrefectClient, record: RunRecord) -> str | None:
    if _is_resumed(journal, record):
        return ELSEWHERE
    *_, last = flow_runs_of(journal, record)
    is_algorithm = record.algorithm in ALGORITHMS
    # all settings as they were: the deployment's own may have changed
    settings = {"settings": settings_of(journal, record).model_dump(mode="json")} if is_algorithm else {}
    outcome = restart_flow_run(client, record, last, {**settings, "run_key": record.key})
    if outcome is not None:
        return outcome
    if not record.resume_requested and record.status == "interrupted" and was_cancelled(client, last):
        return "left: it was cancelled in Prefect"
    return None if is_algorithm else "left: only its own script can resume it"


def resume_here(journal: Journal, record: RunRecord, workspace: str | None, sdk_workspace: Any) -> str:
    """Resume a run in this process, as a flow run of its own; return its status, or why it has none."""
    if _is_resumed(journal, record):
        return ELSEWHERE
    try:
        order = algorithm_order(
            record.algorithm, problem_of(record), settings_of(journal, record), record.key, who=Who.HOUSEKEEPING
        )
        result = run_order(order, sdk_workspace, workspace)
    except RunBusy as error:
        return f"left: it is held by {error.holder}"
    except HybridloopError as error:  # it is stored with the run's own flow run; other runs may still resume
        _log.warning("run %s failed: %s", record.key, error)
        return f"failed: {error}"
    return result.status


def _is_resumed(journal: Journal, record: RunRecord) -> bool:
    """Return True if another process resumed a run since its record was read: earlier runs may have taken long."""
    present = journal.run(record.uid)
    return present.is_held(time.time()) or present.status != record.status


def _rounds(journal: Journal, record: RunRecord) -> int:
    return journal.progress(record.uid).rounds_complete


def _pending_work(
    journal: Journal, record: RunRecord, service: ServiceClient, unavailable: Callable[[], Collection[str]]
) -> str | None:
    """Return what a run waits for at the service; None if for nothing, or if its resumption was requested."""
    if record.resume_requested or is_classical_alone(journal, record):
        return None
    if record.target.lower() in unavailable():
        return "its target is unavailable"
    if record.state is not State.PARKED:
        return None
    if limit := limit_waited_for(journal, record):
        return f"limit {limit} has too little left"
    jobs = (service.find_job(job_id) for job_id in unfinished_jobs(journal, record.uid))
    return None if all(job is None or job.get("status") in TERMINAL for job in jobs) else "its jobs are not done"
