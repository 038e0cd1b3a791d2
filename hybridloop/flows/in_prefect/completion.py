"""The state that Prefect shows of a run that has ended."""

from __future__ import annotations

from typing import Any

from prefect.states import Completed

from hybridloop.flows.in_prefect.stored_result import stored
from hybridloop.runs.result import RunResult

ENDED_EARLY = frozenset({"stopped", "parked"})  # statuses of runs whose flow runs are completed all the same


def completed(result: RunResult) -> Any:
    """Return the state of a flow run with this result."""
    return completed_state(result.status, result.reason, stored(result))


def completed_state(status: str, reason: str, data: Any = None) -> Any:
    """Return the state of a flow run whose run ended with this status: Completed, named after it if not converged."""
    name = None if status in ("converged", "measured") else status.capitalize()
    message = reason if status in ENDED_EARLY else f"{status}: {reason}"
    return Completed(name=name, message=message, data=data)
