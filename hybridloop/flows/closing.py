"""What Prefect calls when a flow run has crashed or was cancelled, maybe in another process than the run's."""

from __future__ import annotations

import logging
from typing import Any

from hybridloop.errors import HybridloopError
from hybridloop.flows.context import workspace_of_run
from hybridloop.flows.runs import run_of_key
from hybridloop.sessions.journal import open_journal
from hybridloop.sessions.sweep import sweep_run

_log = logging.getLogger(__name__)


def close_what_is_left(flow: Any, flow_run: Any, state: Any) -> None:
    """Close the session that the flow run's run left open, by the journal; none is left after an orderly end."""
    try:
        with open_journal() as journal:
            key = flow_run.parameters.get("run_key")
            record = journal.run_of_flow(str(flow_run.id)) if key is None else run_of_key(journal, key)
            if record is not None and any(row.ended_at is None for row in journal.sessions(record.uid)):
                sweep_run(journal, record, workspace_of_run())
    except HybridloopError as error:  # Prefect would only log it; `hybridloop sessions sweep` does the same later
        _log.warning("a session may be open still: %s", error)
