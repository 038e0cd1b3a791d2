"""Housekeeping flow, for a schedule: close orphaned sessions, resume runs, prune old runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from functools import cache, partial
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.listing import open_client, unavailable_targets
from hybridloop.azure.workspace import identity_of
from hybridloop.data.states import State, Who
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import HybridloopError, JournalDamaged, RunBusy
from hybridloop.flows.in_prefect.algorithm_run import run_order
from hybridloop.flows.in_prefect.dead_flow_runs import (
    mark_dead_flow_runs,
    reported_crash_age,
    restart_flow_run,
    tell_person,
    was_cancelled,
)
from hybridloop.flows.lifecycle.classical_part import is_classical_alone
from hybridloop.flows.lifecycle.workspace import find_workspace
from hybridloop.journal import Journal, RunRecord, open_journal
from hybridloop.runs.order import algorithm_order
from hybridloop.runs.over_runs import limit_waited_for
from hybridloop.runs.recorded import flow_runs_of, problem_of, settings_of
from hybridloop.runs.resumable import FOR_A_PERSON, reason_to_skip
from hybridloop.settings import Duration, WorkspaceName, parse_duration
from hybridloop.tasks.orphans import close_orphaned_sessions, unfinished_jobs
from hybridloop.tasks.prefect_tasks import tasks_untagged
from hybridloop.tasks.pruning import PruningResult, prune_runs
from hybridloop.tasks.submission.jobs import TERMINAL

CANDIDATES = frozenset({State.PREPARING, State.PARKED, State.INTERRUPTED, State.FAILED})


class HousekeepingSettings(BaseModel):
    """Settings of housekeeping; closing orphaned sessions and marking dead flow runs are always done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resume_runs: bool = Field(
        default=True, description="resume runs as the settings of each say (resume_automatically)"
    )
    settle: Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=float | str)] = Field(
        120.0, ge=0, description="seconds after a worker reported a crash before the flow run is restarted"
    )
    forget_after: Duration | None = Field(
        None, description="age at which finished runs are deleted from the journal; left out: never", examples=["90d"]
    )
    keep_results: bool = Field(
        default=True, description="keep their results, settings and sessions, and delete only the measurements"
    )
    forget_unfinished_after: Duration | None = Field(
        None,
        description="age at which runs that ended early are deleted, their jobs in flight cancelled; left out: never",
        examples=["180d"],
    )


DEFAULTS = HousekeepingSettings()


@flow(name="housekeeping", persist_result=False)
def housekeeping(settings: HousekeepingSettings = DEFAULTS, workspace: WorkspaceName = None) -> dict[str, str]:
    """Run housekeeping once; return the outcome by run key, for each run that was changed.

    Flow runs of dead processes are marked and their sessions are closed. Runs that can resume are resumed: by workers
    if they have a deployment, else in this process, one after the other, each as a flow run of its own.

    Args:
        settings: optional steps, besides closing sessions and marking dead flow runs.
        workspace: saved block of the workspace, or its resource id. By default the workspace of the environment.
    """
    return do_housekeeping(settings, workspace, find_workspace(workspace))


def do_housekeeping(settings: HousekeepingSettings, workspace: str | None, sdk_workspace: Any) -> dict[str, str]:
    """Run housekeeping inside a flow run; `workspace` is the name of the workspace's saved block, if it has one."""
    with tasks_untagged(), open_journal() as journal:
        marked = mark_dead_task(journal)
        outcomes = marked | close_orphans_task(journal, sdk_workspace)
        if settings.resume_runs:
            for record in find_resumable_task(journal, sdk_workspace):
                settle_s = 0.0 if record.key in marked else settings.settle  # no worker reported those
                outcomes[record.key] = _resume(journal, record, settle_s, workspace, sdk_workspace)
        if settings.forget_after is not None or settings.forget_unfinished_after is not None:
            prune_task(journal, sdk_workspace, settings)
    return outcomes


@task(name="mark dead flow runs", cache_policy=NO_CACHE, persist_result=False)
def mark_dead_task(journal: Journal) -> dict[str, str]:
    """Set the flow runs of dead processes to Crashed or Cancelled."""
    with get_client(sync_client=True) as client:
        return mark_dead_flow_runs(journal, client, now=time.time())


@task(name="close orphaned sessions", cache_policy=NO_CACHE, persist_result=False)
def close_orphans_task(journal: Journal, workspace: Any) -> dict[str, str]:
    """Close the sessions of runs whose process is gone."""
    return {closed.run_key: closed.done for closed in close_orphaned_sessions(journal, workspace)}


@task(name="find runs to resume", cache_policy=NO_CACHE, persist_result=False)
def find_resumable_task(journal: Journal, workspace: Any) -> list[RunRecord]:
    """Return the runs of this workspace that can resume now."""
    identity, now, log = identity_of(workspace), time.time(), get_run_logger()
    candidates = {record.uid: record for record in (*journal.runs_by_status(CANDIDATES), *journal.runs_to_resume())}
    unavailable = cache(lambda: unavailable_targets(workspace))
    resumable = []
    with open_client(workspace) as service:
        for record in candidates.values():
            if record.settings.get("workspace") != identity or record.is_held(now) or record.state is State.ENDED:
                continue
            try:
                reason = reason_to_skip(record, journal.events(record.uid), rounds=partial(_rounds, journal, record))
                reason = reason or _pending_work(journal, record, service, unavailable)
            except JournalDamaged as error:  # it must not keep other runs from being resumed
                log.warning("run %s was skipped: %s", record.key, error)
                continue
            if reason is None:
                resumable.append(record)
                continue
            log.debug("run %s was skipped: %s", record.key, reason)
            if reason in FOR_A_PERSON:
                tell_person(record, flow_runs_of(journal, record)[-1], reason)
    return resumable


@task(name="delete old runs", cache_policy=NO_CACHE, persist_result=False)
def prune_task(journal: Journal, workspace: Any, settings: HousekeepingSettings) -> PruningResult:
    """Delete old runs from the journal as the settings say, and return their disk space."""
    now = time.time()
    done = prune_runs(
        journal,
        lambda: workspace,
        ended_before=None if settings.forget_after is None else now - settings.forget_after,
        given_up_before=None if settings.forget_unfinished_after is None else now - settings.forget_unfinished_after,
        keeps_results=settings.keep_results,
    )
    get_run_logger().info(
        "%d run(s) deleted, %d reduced to their result, %d job(s) cancelled, %d bytes freed; kept: %s",
        *(done.runs, done.stripped, done.cancelled_jobs, done.freed_bytes, done.kept or "none"),
    )
    return done


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


def _let_settle(journal: Journal, record: RunRecord, settle_s: float) -> None:
    """Wait until a crash was reported `settle_s` ago: a worker reports it again after its hooks.

    The second report would make a Crashed flow run of one that waits for a worker.
    """
    with get_client(sync_client=True) as client:
        age_s = reported_crash_age(client, flow_runs_of(journal, record)[-1], now=time.time())
    if age_s is not None and age_s < settle_s:
        threading.Event().wait(settle_s - age_s)


def _resume(journal: Journal, record: RunRecord, settle_s: float, workspace: str | None, sdk_workspace: Any) -> str:
    try:
        if settle_s:
            _let_settle(journal, record, settle_s)
        present = journal.run(record.uid)  # earlier runs of this loop may have taken long
        if present.is_held(time.time()) or present.status != record.status:
            return "left: another process resumed it"
        if (outcome := _delegate(journal, record)) is not None:
            return outcome
        order = algorithm_order(
            record.algorithm, problem_of(record), settings_of(journal, record), record.key, who=Who.HOUSEKEEPING
        )
        result = run_order(order, sdk_workspace, workspace)
    except RunBusy as error:
        return f"left: it is held by {error.holder}"
    except HybridloopError as error:  # it is stored with the run's own flow run; other runs may still resume
        get_run_logger().warning("run %s failed: %s", record.key, error)
        return f"failed: {error}"
    return result.status


def _delegate(journal: Journal, record: RunRecord) -> str | None:
    """Leave a run to its deployment or its script; return the outcome, or None if it must be resumed here."""
    *_, last = flow_runs_of(journal, record)
    is_algorithm = record.algorithm in ALGORITHMS
    with get_client(sync_client=True) as client:
        # all settings as they were: the deployment's own may have changed
        settings = {"settings": settings_of(journal, record).model_dump(mode="json")} if is_algorithm else {}
        parameters = {**settings, "run_key": record.key}
        outcome = restart_flow_run(client, record, last, parameters)
        if outcome is not None:
            return outcome
        if not record.resume_requested and record.status == "interrupted" and was_cancelled(client, last):
            return "left: it was cancelled in Prefect"
    return None if is_algorithm else "left: only its own script can resume it"
