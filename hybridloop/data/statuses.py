"""Statuses of a run, as the journal stores them and users read them: meaning and exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

NEVER_OPENED = "never opened"  # status of a session of which the journal has only that it was to be opened


@dataclass(frozen=True, slots=True)
class FinalStatus:
    """Final status of a run; `exit_code` is the command's, `has_result` is true if there is nothing to resume.

    A failed command exits with its error's code, which is 2 if nothing was started; SIGTERM interrupts with 143.
    """

    meaning: str
    exit_code: int
    has_result: bool = False


STATUSES: Mapping[str, FinalStatus] = {
    "converged": FinalStatus("convergence was sought and shown by a stated rule", 0, has_result=True),
    "measured": FinalStatus("nothing was sought beyond the measurement that was asked for", 0, has_result=True),
    "finished": FinalStatus("convergence was sought and not shown; the reason says why", 4, has_result=True),
    "stopped": FinalStatus("a cap, a deadline or a request ended it; it can be resumed", 3),
    "parked": FinalStatus("it waits for its jobs; it can be resumed", 3),
    "interrupted": FinalStatus("a signal or a cancellation ended it; it can be resumed", 130),
    "failed": FinalStatus("an error ended it", 1),
    "refused": FinalStatus("its input was refused on a worker; nothing was submitted, and nothing can be resumed", 2),
}
WITH_RESULT = frozenset(name for name, status in STATUSES.items() if status.has_result)


def sweep_exit_code(statuses: Iterable[str]) -> int:
    """Return the exit code of a sweep: that of its worst point.

    From the worst: 1 if a point failed, was interrupted or was not begun; 3 if one was stopped or parked; 4 if one is
    finished, not converged; else 0.
    """
    codes = {STATUSES[status].exit_code if status in STATUSES else 1 for status in statuses}
    return 1 if codes - {0, 3, 4} else next((code for code in (3, 4) if code in codes), 0)
