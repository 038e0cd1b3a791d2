"""Statuses of a run, as the journal stores them and users read them."""

from __future__ import annotations

from hybridloop.errors import CapReached, RunParked, RunStopped, StopRequested

FINISHED = frozenset({"converged", "finished"})  # of a run that came to its result


def status_after(error: BaseException) -> str:
    """Return the status of a run that this error ended."""
    match error:
        case RunParked():
            return "parked"
        case StopRequested() | CapReached():
            return "stopped"
        case RunStopped():
            return "interrupted"
        case Exception():
            return "failed"
    return "interrupted"
