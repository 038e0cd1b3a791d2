"""Status of a run by the outcome of its algorithm, or by the error that ended it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridloop.errors import CapReached, LimitReached, RunParked, RunStopped, StopRequested

if TYPE_CHECKING:  # it loads Qiskit
    from hybridloop.algorithms.outcome import Outcome


def status_of(outcome: Outcome) -> str:
    """Return the status of a run with this outcome; one with a reason to doubt its value is never "measured"."""
    if outcome.converged:
        return "converged"
    return "measured" if outcome.is_requested and not outcome.warnings else "finished"


def status_after(error: BaseException) -> str:
    """Return the status of a run that this error ended."""
    match error:
        case RunParked() | LimitReached(is_waited_for=True):
            return "parked"
        case StopRequested() | CapReached():
            return "stopped"
        case RunStopped():
            return "interrupted"
        case Exception():
            return "failed"
    return "interrupted"
