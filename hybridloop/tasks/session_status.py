"""How a run stands at a moment: its session, its jobs and what they take, without a request to the service."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from hybridloop.budget.caps import Caps
from hybridloop.budget.cost_summary import NO_COST, CostSummary
from hybridloop.tasks.cost_ledger import CostLedger
from hybridloop.tasks.keepalive.session_keep_alive import SessionKeepAlive


@dataclass(frozen=True, slots=True)
class SessionSnapshot:
    """A run's session and jobs at a moment; times in seconds.

    `idle_left_s` is how long the service lets the session idle from now on; None while it has a job queued or running,
    or is not open. `waits_s` is how long the round in flight has waited so far; None between rounds. `left_s` is what
    is left until the deadline; None: there is none.
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


class _Round(Protocol):
    """A round in flight, as far as it is counted here."""

    started_at: float | None

    @property
    def in_flight(self) -> int: ...
    @property
    def lost(self) -> int: ...


class _Seen(Protocol):
    """An open session, as far as it is shown here."""

    jobs: int

    @property
    def id(self) -> str: ...
    @property
    def status(self) -> str: ...


def take_snapshot(
    session: _Seen,
    sessions: int,
    rounds: Collection[_Round],
    lost_before: int,
    account: CostLedger,
    keeper: SessionKeepAlive,
    now: float,
) -> SessionSnapshot:
    """How the session stands whose `rounds` are in flight, `lost_before` jobs of earlier ones having been lost."""
    in_flight = sum(each.in_flight for each in rounds)
    lost = lost_before + sum(each.lost for each in rounds)
    started = [each.started_at for each in rounds if each.started_at is not None]
    return SessionSnapshot(
        session_id=session.id,
        session_status=session.status,
        sessions=sessions,
        idle_left_s=keeper.idle_left(now),
        in_flight=in_flight,
        done=session.jobs - in_flight - lost,
        lost=lost,
        retried=account.retried,
        waits_s=max(0.0, now - min(started)) if started else None,
        meter=account.meter,
        caps=account.caps,
        left_s=account.left_s(now),
    )
