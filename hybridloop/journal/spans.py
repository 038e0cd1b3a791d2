"""Spans: begin and end of each round and ping in flight, in seconds of the run's clock, for the timeline plot."""

from __future__ import annotations

from sqlalchemy import Connection

from hybridloop.journal.records import Span
from hybridloop.journal.storage.rows import insert_rows, read_row, read_rows, update_rows
from hybridloop.journal.storage.schema import spans


def round_span_key(stream: str, sequence: int) -> str:
    """Return the key of a round's span within its run.

    >>> round_span_key("main", 3)
    'round/main/3'
    """
    return f"round/{stream}/{sequence}"


def ping_span_key(session: int, n: int) -> str:
    """Return the key of the span of a session's ping number `n` within its run."""
    return f"ping/{session}/{n}"


def begin(connection: Connection, run_uid: str, key: str, at: float) -> None:
    """Write the begin of a span; one that an earlier process wrote is kept."""
    if read_row(connection, spans, run_uid=run_uid, place=key) is None:
        insert_rows(connection, spans, [{"run_uid": run_uid, "place": key, "begun_at": at, "ended_at": None}])


def end(connection: Connection, run_uid: str, key: str, at: float) -> None:
    """Write the span's end; do nothing if it has no begin, as in runs of versions without spans."""
    row = read_row(connection, spans, run_uid=run_uid, place=key)
    if row is not None:
        update_rows(connection, spans, [row | {"ended_at": at}])


def read_spans(connection: Connection, run_uid: str) -> dict[str, Span]:
    """Return all spans of a run by `round_span_key` and `ping_span_key`."""
    rows = read_rows(connection, spans, run_uid=run_uid)
    return {row["place"]: Span(row["begun_at"], row["ended_at"]) for row in rows}
