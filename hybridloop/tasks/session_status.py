"""Session snapshot: a run's session, jobs and costs at a moment, taken without a request to the service."""

from __future__ import annotations

from dataclasses import dataclass, field

from hybridloop.budget.caps import Caps
from hybridloop.budget.cost_summary import NO_COST, CostSummary
from hybridloop.tasks.connection import Connection
from hybridloop.tasks.submission.streams import Streams


@dataclass(frozen=True, slots=True)
class SessionSnapshot:
    """A run's session and jobs at a moment; times in seconds.

    `idle_left_s` is the idle time left until the service ends the session; None while a job is queued or running, or
    if the session is not open. `waits_s` is the waiting time of the round in flight, None between rounds, and
    `expected_s` that at its end, where the local service states a long one. `left_s` is the time left until the
    deadline; None without a deadline.
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
    expected_s: float | None = None
    meter: CostSummary = NO_COST
    caps: Caps = field(default_factory=Caps)
    left_s: float | None = None


def take_snapshot(connection: Connection, streams: Streams, session_id: str, status: str) -> SessionSnapshot:
    """Return the state of a run's session now; thread-safe."""
    rounds, now, ledger = streams.in_flight(), connection.clock.now(), connection.ledger
    in_flight = sum(round_.in_flight for round_ in streams.rounds())  # those of stopped rounds, too
    lost = streams.lost + sum(round_.lost for round_ in rounds)
    started = [round_.started_at for round_ in rounds if round_.started_at is not None]
    return SessionSnapshot(
        session_id=session_id,
        session_status=status,
        sessions=len(connection.sessions.rows),
        idle_left_s=connection.keep_alive.idle_left(now),
        in_flight=in_flight,
        done=streams.jobs - in_flight - lost,
        lost=lost,
        retried=ledger.retried,
        expected_s=max((round_.expected_s for round_ in rounds if round_.expected_s is not None), default=None),
        waits_s=max(0.0, now - min(started)) if started else None,
        meter=ledger.summary,
        caps=ledger.budget.caps,
        left_s=ledger.budget.left_s(now),
    )
