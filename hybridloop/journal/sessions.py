"""A run's sessions in order, their keep-alive jobs (pings), and the run's events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from hybridloop.errors import JournalDamaged
from hybridloop.journal import runs
from hybridloop.journal.records import DamagedRun, Event, Ping, RunRecord, SessionRow, Settle
from hybridloop.journal.storage.encoding import decode_json, encode_json
from hybridloop.journal.storage.rows import insert_rows, read_row, translate_decode_errors, update_rows, verify
from hybridloop.journal.storage.schema import events, pings, sessions


def add_session(connection: Connection, state: dict[str, Any], row: SessionRow) -> None:
    """Write a session before it is opened."""
    insert_rows(connection, sessions, [{"run_uid": state["run_uid"], **asdict(row)}])
    runs.add_to_counts(connection, state, sessions=1)


def end_session(connection: Connection, run_uid: str, ordinal: int, status: str, now: float) -> None:
    """Write a session's last status; a later one replaces it if jobs were running when the session was closed."""
    row = read_row(connection, sessions, run_uid=run_uid, ordinal=ordinal)
    if row is None:
        raise JournalDamaged(sessions.name, f"{run_uid}/{ordinal}", "it is missing")
    if row["ended_at"] is None:
        update_rows(connection, sessions, [row | {"status": status, "ended_at": now}])
    elif _session(row).is_draining:
        update_rows(connection, sessions, [row | {"status": status}])


def read_sessions(connection: Connection, run_uid: str) -> list[SessionRow]:
    """Return the run's sessions in the order in which they were opened."""
    return [_session(row) for row in runs.read_run_rows(connection, sessions, run_uid)]


def read_open_sessions(connection: Connection) -> list[tuple[RunRecord, SessionRow] | DamagedRun]:
    """Return all sessions that have not ended, with their runs; a DamagedRun if either is damaged."""
    opened: list[tuple[RunRecord, SessionRow] | DamagedRun] = []
    for row in connection.execute(sessions.select().where(sessions.c.ended_at.is_(None))).all():
        try:
            session = _session(verify(sessions, row))
            opened.append((runs.by_uid(connection, row.run_uid), session))
        except JournalDamaged as error:
            opened.append(runs.damaged_run(connection, row.run_uid, error))
    return opened


def run_of_session(connection: Connection, session_id: str) -> RunRecord | None:
    """Return the run that has a session with this id, of several the one that joined it last; None if no run has it."""
    query = sessions.select().where(sessions.c.id == session_id).order_by(sessions.c.ended_at.is_not(None))
    row = connection.execute(query.limit(1)).first()
    return None if row is None else runs.by_uid(connection, verify(sessions, row)["run_uid"])


def add_ping(connection: Connection, state: dict[str, Any], ping: Ping, day: int) -> dict[str, Any]:
    """Write a ping before it is submitted, reserved on a day; return its row."""
    billed = None if ping.billed is None else encode_json(ping.billed)
    stored = {"run_uid": state["run_uid"], "reserved": encode_json(ping.reserved), "billed": billed, "day": day}
    row = asdict(ping) | stored
    insert_rows(connection, pings, [row])
    runs.add_to_counts(connection, state, pings=1)
    return row


def end_ping(
    connection: Connection, run_uid: str, ping_id: str, state: str, billed: Mapping[str, float] | None, settle: Settle
) -> dict[str, Any]:
    """Write a ping's state and bill, which `settle` counts; return its row."""
    row = read_row(connection, pings, run_uid=run_uid, id=ping_id)
    if row is None:
        raise JournalDamaged(pings.name, ping_id, "it is missing")
    stored = row["billed"] if billed is None else encode_json(billed)
    (after,) = settle([row], [row | {"state": state, "billed": stored}])
    update_rows(connection, pings, [after])
    return after


def read_pings(connection: Connection, run_uid: str) -> list[Ping]:
    """Return the run's pings in the order of their sessions and numbers."""
    return [_ping(row) for row in runs.read_run_rows(connection, pings, run_uid)]


def add_event(connection: Connection, state: dict[str, Any], kind: str, facts: Mapping[str, Any], now: float) -> None:
    """Write an event with the run's next number."""
    uid, number = state["run_uid"], state["events"]
    row = {"run_uid": uid, "n": number, "at": now, "kind": kind, "facts": encode_json(facts)}
    insert_rows(connection, events, [row])
    runs.add_to_counts(connection, state, events=1)


def read_events(connection: Connection, run_uid: str) -> list[Event]:
    """Return the run's events in the order in which they were written."""
    records = []
    for row in runs.read_run_rows(connection, events, run_uid):
        with translate_decode_errors(events, f"{run_uid}/{row['n']}"):
            records.append(Event(row["n"], row["at"], row["kind"], decode_json(row["facts"])))
    return records


def _session(row: dict[str, Any]) -> SessionRow:
    return SessionRow(**{name: value for name, value in row.items() if name != "run_uid"})


def _ping(row: dict[str, Any]) -> Ping:
    with translate_decode_errors(pings, row["id"]):
        billed = None if row["billed"] is None else decode_json(row["billed"])
        values = row | {"reserved": decode_json(row["reserved"]), "billed": billed}
        return Ping(**{name: value for name, value in values.items() if name not in ("run_uid", "day")})
