"""What Prefect calls when a flow run has crashed or was cancelled, maybe in another process than the run's."""

from __future__ import annotations

import logging
from typing import Any

from prefect.logging.loggers import flow_run_logger

from hybridloop.errors import HybridloopError
from hybridloop.flows.lifecycle.caller_context import find_workspace
from hybridloop.journal import Journal, RunRecord, open_journal
from hybridloop.runs.lookup import run_of_key
from hybridloop.runs.statuses import FINISHED
from hybridloop.settings import SETTINGS
from hybridloop.tasks.orphans import close_sessions_of_run, unfinished_jobs


def close_what_is_left(flow: Any, flow_run: Any, state: Any) -> None:
    """Close the session that the flow run's run left open, by the journal; none is left after an orderly end.

    The flow run's log is told what was left, since the state's message is Prefect's own where a worker ran it.
    """
    # a logger of this package does not reach Prefect's server from a process that runs hooks alone
    log = flow_run_logger(flow_run, flow)
    try:
        with open_journal() as journal:
            key = flow_run.parameters.get("run_key")
            record = journal.run_by_flow_run(str(flow_run.id)) if key is None else run_of_key(journal, key)
            if record is not None and record.status not in FINISHED:
                # a user's own flow may have a parameter of that name that is something else
                name = flow_run.parameters.get("workspace") if record.algorithm in SETTINGS else None
                _close(journal, record, name, log)
    except HybridloopError as error:  # Prefect would only log it; `sessions close-orphans` does the same later
        log.warning("a session may be open still: %s", error)


def _close(
    journal: Journal, record: RunRecord, workspace_name: str | None, log: logging.LoggerAdapter[logging.Logger]
) -> None:
    if any(row.ended_at is None for row in journal.sessions(record.uid)):
        for swept in close_sessions_of_run(journal, record, find_workspace(workspace_name)):
            log.warning("session %s was open; %s", swept.session, swept.done)
    log.warning(
        "run %(key)s ended early with %(jobs)d job(s) in flight; all results are kept; "
        "to go on with it: hybridloop runs resume %(key)s",
        {"key": record.key, "jobs": len(unfinished_jobs(journal, record.uid))},
    )
