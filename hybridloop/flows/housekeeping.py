"""A flow for a schedule: closes what dead runs left open, goes on with runs that wait for it, forgets old ones.

Which runs housekeeping goes on with: those that wait for nothing any more, as each run's settings say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, partial
from typing import Annotated, Any

from prefect import flow, get_run_logger, tags, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.listing import open_client, unavailable_targets
from hybridloop.azure.workspace import identity_of
from hybridloop.errors import HybridloopError, JournalDamaged, RunBusy
from hybridloop.flows.lifecycle.caller_context import TAG, find_workspace, tasks_untagged
from hybridloop.flows.lifecycle.dead_flow_runs import mark_zombies, started_again, was_cancelled
from hybridloop.flows.registry import FLOWS
from hybridloop.journal import Event, Journal, RunRecord, open_journal
from hybridloop.runs.holding import OUTAGE
from hybridloop.runs.lookup import RESUMED, flow_runs_of, limits_given, problem_of, recorded_settings, settings_of
from hybridloop.runs.result import RunResult
from hybridloop.runs.statuses import FINISHED
from hybridloop.settings import AutoResume, Duration, WorkspaceName, parse_duration
from hybridloop.settings.renamed import accept_former_names
from hybridloop.tasks.orphans import close_orphaned_sessions, is_held, unfinished_jobs
from hybridloop.tasks.pruning import PruningResult, forget_old
from hybridloop.tasks.submission.jobs import TERMINAL

IN_VAIN = 3  # times that a run is gone on with by housekeeping without one more round measured
LOOKED_AT = frozenset({"parked", "interrupted", "failed"})


def auto_resume_of(record: RunRecord, events: Sequence[Event]) -> AutoResume:
    """Return the early ends from which a run is resumed automatically, as its settings were last given."""
    name = "resume_automatically"
    given = limits_given(events).get(name, recorded_settings(record).get(name))
    return AutoResume.PARKED if given is None else AutoResume(given)


def why_not(record: RunRecord, events: Sequence[Event], *, rounds: Callable[[], int]) -> str | None:
    """Why a run that nobody holds is left alone, or None: it is to be gone on with as soon as its jobs are done.

    `rounds` counts those that are measured. Somebody's own request is always met.
    """
    if record.resume_requested:
        return None
    mode = auto_resume_of(record, events)
    match record.status:
        case "parked" if mode is not AutoResume.NEVER:
            pass
        case "interrupted" if mode is AutoResume.INTERRUPTED:
            pass
        case "failed" if mode is AutoResume.INTERRUPTED and _was_outage(events):
            pass
        case _:
            return "its settings leave it to you"
    before = [event.facts.get("rounds") for event in events if event.kind == RESUMED][-IN_VAIN:]
    if record.status != "parked" and len(before) == IN_VAIN and before == [rounds()] * IN_VAIN:
        return f"it was gone on with {IN_VAIN} times, and came no further"
    return None


def _was_outage(events: Sequence[Event]) -> bool:
    """Whether what ended the run last was the service or its target being away."""
    telling = [event.kind for event in events if event.kind in (RESUMED, OUTAGE)]
    return bool(telling) and telling[-1] == OUTAGE


class HousekeepingSettings(BaseModel):
    """What housekeeping does besides closing sessions and marking dead runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resume_runs: bool = Field(
        default=True, description="resume runs as the settings of each say (resume_automatically)"
    )
    settle: Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=float | str)] = Field(
        60.0, ge=0, description="seconds that a crashed flow run is left to its worker before it is started again"
    )
    forget_after: Duration | None = Field(
        None, description="age of runs that came to a result and are forgotten; left out: none", examples=["90d"]
    )
    keep_results: bool = Field(
        default=True, description="keep results, settings and sessions of those, and forget only what was measured"
    )
    forget_unfinished_after: Duration | None = Field(
        None,
        description="age of runs that ended early and are forgotten, their jobs in flight cancelled; left out: none",
        examples=["180d"],
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_former_names(cls, values: object) -> object:
        """Accept `goes_on`, the former name of `resume_runs`, for one release."""
        return accept_former_names(values, {"goes_on": "resume_runs"}) if isinstance(values, Mapping) else values


DEFAULTS = HousekeepingSettings()


@flow(name="housekeeping", persist_result=False)
def housekeeping(settings: HousekeepingSettings = DEFAULTS, workspace: WorkspaceName = None) -> dict[str, str]:
    """Keep house: what became of each run that something was done with, by its key.

    Flow runs of dead processes are marked, their sessions closed. Runs that wait for nothing any more are gone on with:
    by their deployment's workers if they have one, else here, one after the other, each as a flow run of its own.

    Args:
        settings: what is done besides closing sessions and marking dead runs.
        workspace: the workspace's saved block; left out: what the environment of whoever runs it names.
    """
    at = find_workspace(workspace)
    with tasks_untagged(), open_journal() as journal:
        became = mark_task(journal)
        became |= sweep_task(journal, at)
        if settings.resume_runs:
            for record in due_task(journal, at):
                became[record.key] = _gone_on(journal, record, settings.settle, workspace)
        if settings.forget_after is not None or settings.forget_unfinished_after is not None:
            forget_task(journal, at, settings)
    return became


@task(name="mark dead flow runs", cache_policy=NO_CACHE, persist_result=False)
def mark_task(journal: Journal) -> dict[str, str]:
    """Set the flow runs of dead processes to Crashed, or Cancelled."""
    with get_client(sync_client=True) as client:
        return mark_zombies(journal, client, now=time.time())


@task(name="sweep sessions", cache_policy=NO_CACHE, persist_result=False)
def sweep_task(journal: Journal, workspace: Any) -> dict[str, str]:
    """Close the sessions of runs whose process is gone."""
    return {orphan.run_key: orphan.done for orphan in close_orphaned_sessions(journal, workspace)}


@task(name="find runs to go on with", cache_policy=NO_CACHE, persist_result=False)
def due_task(journal: Journal, workspace: Any) -> list[RunRecord]:
    """The runs of this workspace that wait for nothing any more."""
    here, now, log = identity_of(workspace), time.time(), get_run_logger()
    looked_at = {record.uid: record for record in (*journal.runs_by_status(LOOKED_AT), *journal.runs_to_resume())}
    away = cache(lambda: unavailable_targets(workspace))
    due = []
    with open_client(workspace) as service:
        for record in looked_at.values():
            if record.settings.get("workspace") != here or is_held(record, now) or record.status in FINISHED:
                continue
            try:
                reason = why_not(record, journal.events(record.uid), rounds=partial(_rounds, journal, record))
                reason = reason or _waits_for(journal, record, service, away)
            except JournalDamaged as error:  # nobody can go on with it, which must keep no other from it
                log.warning("run %s is left alone: %s", record.key, error)
                continue
            if reason is None:
                due.append(record)
            else:
                log.debug("run %s is left alone: %s", record.key, reason)
    return due


@task(name="forget old runs", cache_policy=NO_CACHE, persist_result=False)
def forget_task(journal: Journal, workspace: Any, settings: HousekeepingSettings) -> PruningResult:
    """Forget old runs as the settings say, and give their room back to the disk."""
    now = time.time()
    done = forget_old(
        journal,
        lambda: workspace,
        ended_before=None if settings.forget_after is None else now - settings.forget_after,
        given_up_before=None if settings.forget_unfinished_after is None else now - settings.forget_unfinished_after,
        keeps_results=settings.keep_results,
    )
    get_run_logger().info(
        "%d run(s) forgotten, %d but for the result, %d job(s) cancelled, %d bytes given back; kept: %s",
        *(done.runs, done.stripped, done.cancelled_jobs, done.freed_bytes, done.kept or "none"),
    )
    return done


def _rounds(journal: Journal, record: RunRecord) -> int:
    return journal.progress(record.uid).rounds_complete


def _waits_for(
    journal: Journal, record: RunRecord, service: ServiceClient, away: Callable[[], Collection[str]]
) -> str | None:
    """What a run would have to wait for at the service, unless somebody asked for it."""
    if record.resume_requested:
        return None
    if record.target.lower() in away():
        return "its target is away"
    return None if record.status != "parked" or _are_done(journal, record, service) else "its jobs are not done"


def _are_done(journal: Journal, record: RunRecord, service: ServiceClient) -> bool:
    """Whether nothing of the run is in flight at the service."""
    found = (service.find_job(job_id) for job_id in unfinished_jobs(journal, record.uid))
    return all(job is None or job.get("status") in TERMINAL for job in found)


def _gone_on(journal: Journal, record: RunRecord, settle_s: float, workspace: str | None) -> str:
    try:
        present = journal.run(record.uid)  # those before it took their time
        if is_held(present, time.time()) or present.status != record.status:
            return "left: somebody else goes on with it"
        if (done := _left_to_others(journal, record, settle_s)) is not None:
            return done
        flow_of_run = FLOWS[record.algorithm]
        with tags(TAG):
            result: RunResult = flow_of_run(problem_of(record), settings_of(journal, record), record.key, workspace)
    except RunBusy as error:
        return f"left: it is held by {error.holder}"
    except HybridloopError as error:  # the next run may fare better; this one's trouble is in its own flow run
        get_run_logger().warning("run %s did not come to its end: %s", record.key, error)
        return f"failed: {error}"
    return result.status


def _left_to_others(journal: Journal, record: RunRecord, settle_s: float) -> str | None:
    """What became of a run that is not for housekeeping itself to go on with; None: it is."""
    *_, last = flow_runs_of(journal, record)
    with get_client(sync_client=True) as client:
        # settings as they were, all of them: the deployment's own may be others by now
        own = {"settings": settings_of(journal, record).model_dump(mode="json")} if record.algorithm in FLOWS else {}
        told = {**own, "run_key": record.key}
        if (done := started_again(client, record, last, told, now=time.time(), settle_s=settle_s)) is not None:
            return done
        if not record.resume_requested and record.status == "interrupted" and was_cancelled(client, last):
            return "left: it was cancelled in Prefect"
    return None if record.algorithm in FLOWS else "left: only its own program can go on with it"
