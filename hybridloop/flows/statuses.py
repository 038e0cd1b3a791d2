"""How a run stands that something ended."""

from __future__ import annotations

from hybridloop.errors import CapReached, RunParked, RunStopped, StopRequested


def status_after(error: BaseException) -> str:
    """How a run stands that this ended."""
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
