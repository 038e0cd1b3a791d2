"""A flow to be run on a schedule: closes what dead runs left open, and goes on with runs that wait for it."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from hybridloop.errors import HybridloopError
from hybridloop.flows.catalog import FLOWS
from hybridloop.flows.context import workspace_of_run
from hybridloop.flows.results import RunResult
from hybridloop.flows.runs import problem_of, settings_of
from hybridloop.sessions.catalog import service_of
from hybridloop.sessions.jobs import TERMINAL
from hybridloop.sessions.journal import Journal, RunRecord, open_journal
from hybridloop.sessions.service import Service
from hybridloop.sessions.sweep import sweep, unfinished_jobs
from hybridloop.sessions.workspace import identity_of

RESUMABLE = frozenset({"created", "stopped", "parked", "interrupted", "failed"})


@flow(name="housekeeping", persist_result=False)
def housekeeping(*, goes_on: bool = True) -> dict[str, str]:
    """Sweep the sessions, then go on (`goes_on`) with what may: what became of each run, by its key.

    These are runs that are parked and whose jobs are done by now, and runs that `hybridloop runs resume --later` left
    to this flow. They are gone on with one after the other, each as a flow run of its own.
    """
    workspace = workspace_of_run()
    with open_journal() as journal:
        became = sweep_task(journal, workspace)
        due = due_task(journal, workspace) if goes_on else []
        for record in due:
            became[record.key] = _gone_on(journal, record)
    return became


@task(name="sweep sessions", cache_policy=NO_CACHE, persist_result=False)
def sweep_task(journal: Journal, workspace: Any) -> dict[str, str]:
    """Close the sessions of runs whose process is gone."""
    return {each.run_key: each.done for each in sweep(journal, workspace)}


@task(name="find runs to go on with", cache_policy=NO_CACHE, persist_result=False)
def due_task(journal: Journal, workspace: Any) -> list[RunRecord]:
    """The runs of this workspace that wait for nothing any more."""
    here = identity_of(workspace)
    waiting = [
        record
        for record in journal.runs(limit=1000)
        if record.algorithm in FLOWS and record.status in RESUMABLE and record.settings.get("workspace") == here
    ]
    with service_of(workspace) as service:
        return [
            record
            for record in waiting
            if record.resume_requested or (record.status == "parked" and _are_done(journal, record, service))
        ]


def _are_done(journal: Journal, record: RunRecord, service: Service) -> bool:
    """Whether nothing of the run is in flight at the service."""
    found = (service.find_job(job_id) for job_id in unfinished_jobs(journal, record.uid))
    return all(job is None or job.get("status") in TERMINAL for job in found)


def _gone_on(journal: Journal, record: RunRecord) -> str:
    try:
        flow_of_run = FLOWS[record.algorithm]
        result: RunResult = flow_of_run(problem_of(record), settings_of(journal, record), record.key)
    except HybridloopError as error:  # the next run may fare better; this one's trouble is in its own flow run
        get_run_logger().warning("run %s did not come to its end: %s", record.key, error)
        return f"failed: {error}"
    return result.status
