"""Leases: a process's exclusive hold on a run, renewed while it lives. A process that lost its lease can't write.

A named lease is one on other work that one process at a time does for the journal, such as a sweep.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from hybridloop.errors import LeaseLost, RunBusy
from hybridloop.journal.owner import Owner
from hybridloop.journal.records import LEASE_S, Lease
from hybridloop.journal.rounds import count_by_stream
from hybridloop.journal.runs import lock_state, read_key, read_owner
from hybridloop.journal.storage.encoding import encode_json
from hybridloop.journal.storage.rows import insert_rows, read_intact, read_row, translate_decode_errors, update_rows
from hybridloop.journal.storage.schema import named_leases, states


def take(connection: Connection, run_uid: str, owner: Owner, *, now: float) -> Lease:
    """Claim the run for `owner`; the previous owner can't write from then on. Raises RunBusy if that may be alive.

    Raises JournalDamaged if a round is missing. Holding the run fulfils a request to resume; a request to stop stays.
    """
    state = lock_state(connection, run_uid)
    if (holder := read_owner(state)) is not None and not is_free(state, now=now):
        until = datetime.fromtimestamp(state["lease_expires_at"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        raise RunBusy(read_key(connection, run_uid), str(holder), until)
    count_by_stream(connection, state)  # raises JournalDamaged
    state |= {
        "owner": encode_json(owner.as_mapping()),
        "lease_expires_at": now + LEASE_S,
        "epoch": state["epoch"] + 1,
        "resume_requested": 0,
        "updated_at": now,
    }
    update_rows(connection, states, [state])
    return Lease(run_uid, owner.token, state["epoch"])


def require_lease(connection: Connection, lease: Lease) -> dict[str, Any]:
    """Return the run's state, locked until the transaction ends. Raises LeaseLost if another process has the run."""
    state = lock_state(connection, lease.run_uid)
    holder = read_owner(state)
    if holder is None or holder.token != lease.token or state["epoch"] != lease.epoch:
        raise LeaseLost(read_key(connection, lease.run_uid), "nobody" if holder is None else str(holder))
    return state


def renew(connection: Connection, lease: Lease, *, now: float) -> dict[str, Any]:
    """Extend the lease, also an expired one, to 60 s from now; return the run's state. Raises LeaseLost."""
    state = require_lease(connection, lease) | {"lease_expires_at": now + LEASE_S}
    update_rows(connection, states, [state])
    return state


def release(connection: Connection, lease: Lease) -> None:
    """End the lease; do nothing if it was lost before."""
    state = lock_state(connection, lease.run_uid)
    holder = read_owner(state)
    if holder is not None and holder.token == lease.token and state["epoch"] == lease.epoch:
        update_rows(connection, states, [state | {"owner": None, "lease_expires_at": None}])


def take_named(connection: Connection, name: str, owner: Owner, *, now: float) -> bool:
    """Take or renew a lease of 60 s; return False if another process has it, which may be alive."""
    row = read_row(connection, named_leases, name=name)
    holder = _holder(row, now=now)
    if holder is not None and holder.token != owner.token:
        return False
    lease = {"name": name, "owner": encode_json(owner.as_mapping()), "expires_at": now + LEASE_S}
    (insert_rows if row is None else update_rows)(connection, named_leases, [lease])
    return True


def release_named(connection: Connection, name: str, owner: Owner, *, now: float) -> None:
    """End a lease of this owner."""
    row = read_row(connection, named_leases, name=name)
    if row is not None and _owner(row).token == owner.token:
        update_rows(connection, named_leases, [row | {"expires_at": min(now, float(row["expires_at"]))}])


def last_named(connection: Connection, name: str) -> float | None:
    """Return the time until which the lease on what has this name was held, or will be; None if it never was."""
    row = read_row(connection, named_leases, name=name)
    return None if row is None else float(row["expires_at"])


def is_named_held(connection: Connection, name: str, *, now: float) -> bool:
    """Return True if a process has the lease and may be alive."""
    return _holder(read_row(connection, named_leases, name=name), now=now) is not None


def _holder(row: dict[str, Any] | None, *, now: float) -> Owner | None:
    if row is None or now >= row["expires_at"]:
        return None
    owner = _owner(row)
    return None if owner.is_known_dead() else owner


def _owner(row: dict[str, Any]) -> Owner:
    with translate_decode_errors(named_leases, row["name"]):
        return Owner(**json.loads(row["owner"]))


def end_all(connection: Connection) -> None:
    """End all leases but those of damaged runs."""
    connection.execute(named_leases.delete())
    held = [state for state in read_intact(connection, states) if state["owner"] is not None]
    update_rows(connection, states, [state | {"owner": None, "lease_expires_at": None} for state in held])


def require_lease_or_free_run(connection: Connection, run_uid: str, lease: Lease | None, *, now: float) -> None:
    """Raise LeaseLost unless the lease is valid or, for a clean-up task without a lease, no owner is alive."""
    if lease is not None:
        require_lease(connection, lease)
        return
    state = lock_state(connection, run_uid)
    if not is_free(state, now=now):
        raise LeaseLost(read_key(connection, run_uid), str(read_owner(state)))


def is_free(state: dict[str, Any], *, now: float) -> bool:
    """Return True if no process owns the run: its owner released it, is dead on this host, or let the lease expire."""
    holder = read_owner(state)
    return holder is None or holder.is_known_dead() or now >= state["lease_expires_at"]
