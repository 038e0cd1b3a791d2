"""Hooks that Prefect calls after a crash or cancellation, possibly in another process than the run's."""

from __future__ import annotations

import logging
from typing import Any

from prefect.events import emit_event
from prefect.logging.loggers import flow_run_logger

from hybridloop.data.statuses import WITH_RESULT
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import HybridloopError
from hybridloop.flows.in_prefect.stored_result import SERIALIZER
from hybridloop.flows.lifecycle.workspace import find_workspace
from hybridloop.journal import Journal, RunRecord, open_journal
from hybridloop.journal.held_run import how_to_resume
from hybridloop.runs.resumable import reason_to_skip
from hybridloop.runs.run import run_of_key
from hybridloop.tasks.orphans import close_sessions_of_run, unfinished_jobs
from hybridloop.tasks.prefect_tasks import TAG

# A process worker sets Crashed before and after these hooks, and overwrites Scheduled (Prefect 3.9).
SECOND_REPORT = (
    "to retry this flow run instead, wait some seconds: its worker reports the crash again after this line, and then a "
    "retry that still waits for a worker becomes Crashed and must be repeated"
)


def close_open_session(flow: Any, flow_run: Any, state: Any) -> None:
    """Close the session that a flow run left open by the journal, and log what remains.

    The message is in the flow run's log, since a worker sets the state's message itself.
    """
    # a logger of this package does not reach Prefect's server from a process that runs hooks alone
    log = flow_run_logger(flow_run, flow)
    try:
        with open_journal() as journal:
            record = _run_of_parameter(journal, flow_run) or journal.run_by_flow_run(str(flow_run.id))
            if record is not None and record.status not in WITH_RESULT:
                # in a user's own flow a parameter of that name may be something else
                name = flow_run.parameters.get("workspace") if record.algorithm in ALGORITHMS else None
                _close(journal, record, name, log)
                if flow_run.deployment_id is not None and state.is_crashed():
                    log.warning(SECOND_REPORT)
    except HybridloopError as error:  # Prefect would only log it; `sessions close-orphans` does the same later
        log.warning("a session may still be open: %s", error)


def _close(
    journal: Journal, record: RunRecord, workspace_name: str | None, log: logging.LoggerAdapter[logging.Logger]
) -> None:
    if any(row.ended_at is None for row in journal.sessions(record.uid)):
        for closed in close_sessions_of_run(journal, record, find_workspace(workspace_name)):
            log.warning("session %s was open; %s", closed.session, closed.done)
    log.warning(
        "run %(key)s ended early with %(jobs)d job(s) in flight; all results are kept; to resume it: %(resume)s",
        {"key": record.key, "jobs": len(unfinished_jobs(journal, record.uid)), "resume": how_to_resume(record)},
    )


def tell_failure(flow: Any, flow_run: Any, state: Any) -> None:  # as Prefect calls it
    """Emit `hybridloop.flow-run.failed` after a flow run's last attempt, unless housekeeping will resume the run."""
    try:
        with open_journal() as journal:
            record = journal.run_by_flow_run(str(flow_run.id)) or _run_of_parameter(journal, flow_run)
            if record is not None and not reason_to_skip(
                record, journal.events(record.uid), rounds=lambda: journal.progress(record.uid).rounds_complete
            ):
                return
    except HybridloopError as error:  # the failure itself must be told
        flow_run_logger(flow_run, flow).warning("it is not known whether the run will be resumed: %s", error)
    flow_id = f"prefect.flow.{flow_run.flow_id}"
    related = [{"prefect.resource.id": flow_id, "prefect.resource.role": "flow"}] + [
        {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}
        for tag in sorted({*flow_run.tags, TAG})
    ]
    if flow_run.deployment_id is not None:
        deployment = f"prefect.deployment.{flow_run.deployment_id}"
        related.append({"prefect.resource.id": deployment, "prefect.resource.role": "deployment"})
    resource = {"prefect.resource.id": f"prefect.flow-run.{flow_run.id}", "prefect.resource.name": flow_run.name}
    emit_event("hybridloop.flow-run.failed", resource=resource, related=related, payload={"message": state.message})


def _run_of_parameter(journal: Journal, flow_run: Any) -> RunRecord | None:
    key = flow_run.parameters.get("run_key")
    return None if key is None else run_of_key(journal, key)


def run_flow_options() -> dict[str, Any]:
    """Return the options of all flows with a session; each has its own lists, as a user may add hooks to a flow."""
    return {
        "persist_result": False,
        "result_serializer": SERIALIZER,
        "on_failure": [tell_failure],
        "on_crashed": [close_open_session],
        "on_cancellation": [close_open_session],
    }
