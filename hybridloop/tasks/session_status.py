"""Session snapshot: a run's session, jobs and costs at a moment, taken without a request to the service."""

from __future__ import annotations

from dataclasses import dataclass, field

from hybridloop.budget.caps import Caps
from hybridloop.budget.cost_summary import NO_COST, CostSummary


@dataclass(frozen=True, slots=True)
class SessionSnapshot:
    """A run's session and jobs at a moment; times in seconds.

    `idle_left_s` is the idle time left until the service ends the session; None while a job is queued or running, or
    if the session is not open. `waits_s` is the waiting time of the round in flight; None between rounds. `left_s` is
    the time left until the deadline; None without a deadline.
    """

    session_id: str
    session_status: str
    sessions: int
    idle_left_s: float | None
    in_flight: int
    done: int
    lost: int
    retried: int
    waits_s: float | None = None
    meter: CostSummary = NO_COST
    caps: Caps = field(default_factory=Caps)
    left_s: float | None = None
