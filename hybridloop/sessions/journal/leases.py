"""A process's claim on a run: at most one holds it, and whoever lost it writes nothing more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from hybridloop.errors import LeaseLost, RunBusy
from hybridloop.sessions.journal.encoding import encode_json
from hybridloop.sessions.journal.owner import Owner
from hybridloop.sessions.journal.records import Lease
from hybridloop.sessions.journal.rounds import streams
from hybridloop.sessions.journal.rows import rewrite
from hybridloop.sessions.journal.runs import key_of, locked_state_of, owner_of
from hybridloop.sessions.journal.schema import states

LEASE_S = 60.0


def claim(connection: Connection, run_uid: str, owner: Owner, *, now: float) -> Lease:
    """The run for `owner`, unless one who may live holds it (RunBusy); whoever held it before writes no more.

    The record of what was measured is checked for holes first (JournalDamaged). A request to go on is met by this, a
    request to stop is not.
    """
    state = locked_state_of(connection, run_uid)
    if (holder := owner_of(state)) is not None and not is_gone(state, now=now):
        until = datetime.fromtimestamp(state["lease_expires_at"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        raise RunBusy(key_of(connection, run_uid), str(holder), until)
    streams(connection, state)
    state |= {
        "owner": encode_json(owner.as_mapping()),
        "lease_expires_at": now + LEASE_S,
        "epoch": state["epoch"] + 1,
        "resume_requested": 0,
        "updated_at": now,
    }
    rewrite(connection, states, [state])
    return Lease(run_uid, owner.token, state["epoch"])


def held(connection: Connection, lease: Lease) -> dict[str, Any]:
    """The run's state, kept from all other writers to the transaction's end; LeaseLost if another took it over."""
    state = locked_state_of(connection, lease.run_uid)
    holder = owner_of(state)
    if holder is None or holder.token != lease.token or state["epoch"] != lease.epoch:
        raise LeaseLost(key_of(connection, lease.run_uid), "nobody" if holder is None else str(holder))
    return state


def renew(connection: Connection, lease: Lease, *, now: float) -> dict[str, Any]:
    """Hold the run for another 60 s, even if the lease had lapsed and nobody took it; the run's state."""
    state = held(connection, lease) | {"lease_expires_at": now + LEASE_S}
    rewrite(connection, states, [state])
    return state


def release(connection: Connection, lease: Lease) -> None:
    """Hold the run no longer; nothing if it was lost before."""
    state = locked_state_of(connection, lease.run_uid)
    holder = owner_of(state)
    if holder is not None and holder.token == lease.token and state["epoch"] == lease.epoch:
        rewrite(connection, states, [state | {"owner": None, "lease_expires_at": None}])


def held_or_gone(connection: Connection, run_uid: str, lease: Lease | None, *, now: float) -> None:
    """For whoever only cleans up: LeaseLost unless the lease holds, or there is none and the owner is gone."""
    if lease is not None:
        held(connection, lease)
        return
    state = locked_state_of(connection, run_uid)
    if not is_gone(state, now=now):
        raise LeaseLost(key_of(connection, run_uid), str(owner_of(state)))


def is_gone(state: dict[str, Any], *, now: float) -> bool:
    """Whether nobody holds the run: its owner released it, is dead on this host, or let its lease lapse."""
    holder = owner_of(state)
    return holder is None or holder.is_dead_here() or now >= state["lease_expires_at"]
