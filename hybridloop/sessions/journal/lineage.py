"""A run's sessions in their order, the pings that kept them alive, and the events worth telling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from hybridloop.errors import JournalDamaged
from hybridloop.sessions.journal import runs
from hybridloop.sessions.journal.encoding import decode_json, encode_json
from hybridloop.sessions.journal.records import DamagedRun, Event, Ping, RunRecord, SessionRow
from hybridloop.sessions.journal.rows import decoding, insert, read_one, rewrite, verified
from hybridloop.sessions.journal.schema import events, pings, sessions


def add_session(connection: Connection, state: dict[str, Any], row: SessionRow) -> None:
    """Write a session that is to be opened."""
    insert(
        connection,
        sessions,
        [
            {
                "run_uid": state["run_uid"],
                "ordinal": row.ordinal,
                "id": row.id,
                "target": row.target,
                "status": row.status,
                "reason": row.reason,
                "opened_at": row.opened_at,
                "ended_at": row.ended_at,
            }
        ],
    )
    runs.count_up(connection, state, sessions=1)


def end_session(connection: Connection, run_uid: str, ordinal: int, status: str, now: float) -> None:
    """Write how a session ended; of one that was closed over its running jobs, how it stands by now."""
    row = read_one(connection, sessions, run_uid=run_uid, ordinal=ordinal)
    if row is None:
        raise JournalDamaged(sessions.name, f"{run_uid}/{ordinal}", "it is missing")
    if row["ended_at"] is None:
        rewrite(connection, sessions, [row | {"status": status, "ended_at": now}])
    elif _session(row).is_running_out:
        rewrite(connection, sessions, [row | {"status": status}])


def sessions_of(connection: Connection, run_uid: str) -> list[SessionRow]:
    """The run's sessions in the order of their opening."""
    return [_session(row) for row in runs.read_all(connection, sessions, run_uid)]


def open_sessions(connection: Connection) -> list[tuple[RunRecord, SessionRow] | DamagedRun]:
    """All sessions that have not ended, with their runs; the run alone where either is damaged."""
    found: list[tuple[RunRecord, SessionRow] | DamagedRun] = []
    for row in connection.execute(sessions.select().where(sessions.c.ended_at.is_(None))).all():
        try:
            session = _session(verified(sessions, row))
            found.append((runs.by_uid(connection, row.run_uid), session))
        except JournalDamaged as error:
            found.append(runs.damaged(connection, row.run_uid, error))
    return found


def add_ping(connection: Connection, state: dict[str, Any], ping: Ping) -> None:
    """Write a ping that is to be submitted."""
    row = {
        "run_uid": state["run_uid"],
        "session": ping.session,
        "n": ping.n,
        "id": ping.id,
        "shots": ping.shots,
        "reserved": encode_json(ping.reserved),
        "billed": None if ping.billed is None else encode_json(ping.billed),
        "state": ping.state,
    }
    insert(connection, pings, [row])
    runs.count_up(connection, state, pings=1)


def end_ping(
    connection: Connection, run_uid: str, ping_id: str, state: str, billed: Mapping[str, float] | None
) -> tuple[int, int]:
    """Write how a ping ended, or that the service has it; its session's ordinal, and its number there."""
    row = read_one(connection, pings, run_uid=run_uid, id=ping_id)
    if row is None:
        raise JournalDamaged(pings.name, ping_id, "it is missing")
    known = row["billed"] if billed is None else encode_json(billed)
    rewrite(connection, pings, [row | {"state": state, "billed": known}])
    return int(row["session"]), int(row["n"])


def pings_of(connection: Connection, run_uid: str) -> list[Ping]:
    """The run's pings in the order of their sessions and numbers."""
    return [_ping(row) for row in runs.read_all(connection, pings, run_uid)]


def add_event(connection: Connection, state: dict[str, Any], kind: str, facts: Mapping[str, Any], now: float) -> None:
    """Write an event."""
    row = {
        "run_uid": state["run_uid"],
        "n": state["events"],
        "at": now,
        "kind": kind,
        "facts": encode_json(facts),
    }
    insert(connection, events, [row])
    runs.count_up(connection, state, events=1)


def events_of(connection: Connection, run_uid: str) -> list[Event]:
    """The run's events in the order of their writing."""
    found = []
    for row in runs.read_all(connection, events, run_uid):
        with decoding(events, f"{run_uid}/{row['n']}"):
            found.append(Event(row["n"], row["at"], row["kind"], decode_json(row["facts"])))
    return found


def _session(row: dict[str, Any]) -> SessionRow:
    return SessionRow(**{name: value for name, value in row.items() if name != "run_uid"})


def _ping(row: dict[str, Any]) -> Ping:
    with decoding(pings, row["id"]):
        return Ping(
            id=row["id"],
            session=row["session"],
            n=row["n"],
            reserved=decode_json(row["reserved"]),
            billed=None if row["billed"] is None else decode_json(row["billed"]),
            state=row["state"],
            shots=row["shots"],
        )
