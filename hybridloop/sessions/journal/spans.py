"""When rounds and pings were in flight, by the run's own clock: what a picture of its time is drawn from."""

from __future__ import annotations

from sqlalchemy import Connection

from hybridloop.sessions.journal.records import Span
from hybridloop.sessions.journal.rows import insert, read, read_one, rewrite
from hybridloop.sessions.journal.schema import spans


def round_place(stream: str, sequence: int) -> str:
    """The place of a round."""
    return f"round/{stream}/{sequence}"


def ping_place(session: int, n: int) -> str:
    """The place of a ping."""
    return f"ping/{session}/{n}"


def begin(connection: Connection, run_uid: str, place: str, at: float) -> None:
    """It is in flight from now on; one that was before, in an earlier process, stays as it is."""
    if read_one(connection, spans, run_uid=run_uid, place=place) is None:
        insert(connection, spans, [{"run_uid": run_uid, "place": place, "begun_at": at, "ended_at": None}])


def end(connection: Connection, run_uid: str, place: str, at: float) -> None:
    """It is in flight no longer; of what began before spans were kept there is nothing to say."""
    row = read_one(connection, spans, run_uid=run_uid, place=place)
    if row is not None:
        rewrite(connection, spans, [row | {"ended_at": at}])


def of_run(connection: Connection, run_uid: str) -> dict[str, Span]:
    """All of a run's, by place."""
    rows = read(connection, spans, run_uid=run_uid)
    return {row["place"]: Span(row["begun_at"], row["ended_at"]) for row in rows}
