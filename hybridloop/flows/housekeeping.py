"""Housekeeping flow, for a schedule: close orphaned sessions, resume runs, prune old runs."""

from __future__ import annotations

import threading
import time
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hybridloop.flows.in_prefect.flow_run_log import log_sent_to_prefect
from hybridloop.flows.lifecycle.workspace import find_workspace
from hybridloop.flows.rescue.dead_flow_runs import SETTLE_S, mark_dead_flow_runs, seconds_to_settle
from hybridloop.flows.rescue.resume import alone, give_to_deployment, resumable_runs, resume_here
from hybridloop.journal import Journal, RunRecord, open_journal
from hybridloop.settings import Duration, WorkspaceName, parse_duration
from hybridloop.tasks.orphans import close_orphaned_sessions
from hybridloop.tasks.prefect_tasks import tasks_untagged
from hybridloop.tasks.pruning import PruningResult, prune_runs

HOUSEKEEPING_POOL = "-housekeeping"  # ends the name of the pool of housekeeping, after that of its runs


class HousekeepingSettings(BaseModel):
    """Settings of housekeeping; closing orphaned sessions and marking dead flow runs are always done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resume_runs: bool = Field(
        default=True, description="resume runs as the settings of each say (resume_automatically)"
    )
    settle: Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=float | str)] = Field(
        SETTLE_S, ge=0, description="seconds after a worker reported a crash before the flow run is restarted"
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
    with tasks_untagged(), log_sent_to_prefect(), open_journal() as journal:
        left: list[RunRecord] = []
        with alone(journal), get_client(sync_client=True) as client:
            marked = mark_dead_task(journal, pool_of_this_flow_run())
            outcomes = marked | close_orphans_task(journal, sdk_workspace)
            for record in find_resumable_task(journal, sdk_workspace) if settings.resume_runs else []:
                settle_s = 0.0 if record.key in marked else settings.settle  # no worker reported those
                threading.Event().wait(seconds_to_settle(journal, client, record, settle_s))
                outcome = give_to_deployment(journal, client, record)
                if outcome is None:
                    left.append(record)
                else:
                    outcomes[record.key] = outcome
        for record in left:
            outcomes[record.key] = resume_here(journal, record, workspace, sdk_workspace)
        if settings.forget_after is not None or settings.forget_unfinished_after is not None:
            prune_task(journal, sdk_workspace, settings)
    return outcomes


@task(name="mark dead flow runs", cache_policy=NO_CACHE, persist_result=False)
def mark_dead_task(journal: Journal, pool: str | None) -> dict[str, str]:
    """Set the flow runs of dead processes to Crashed or Cancelled."""
    with get_client(sync_client=True) as client:
        return mark_dead_flow_runs(journal, client, now=time.time(), pool=pool)


@task(name="close orphaned sessions", cache_policy=NO_CACHE, persist_result=False)
def close_orphans_task(journal: Journal, workspace: Any) -> dict[str, str]:
    """Close the sessions of runs whose process is gone."""
    return {closed.run_key: closed.done for closed in close_orphaned_sessions(journal, workspace)}


@task(name="find runs to resume", cache_policy=NO_CACHE, persist_result=False)
def find_resumable_task(journal: Journal, workspace: Any) -> list[RunRecord]:
    """Return the runs of this workspace that can resume now."""
    return list(resumable_runs(journal, workspace))


def pool_of_this_flow_run() -> str | None:
    """Return the work pool for which this flow run does housekeeping; None for one of no deployment."""
    context = FlowRunContext.get()
    pool = None if context is None or context.flow_run is None else context.flow_run.work_pool_name
    return None if pool is None else pool.removesuffix(HOUSEKEEPING_POOL)


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
