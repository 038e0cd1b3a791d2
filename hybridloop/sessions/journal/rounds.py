"""Rounds and their jobs: written before they are submitted, and read back when a run is gone over again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, func, select

from hybridloop.errors import JournalDamaged
from hybridloop.sessions.journal import programs
from hybridloop.sessions.journal.encoding import (
    decode_counts,
    decode_json,
    decode_pubs,
    encode_counts,
    encode_json,
    encode_pubs,
)
from hybridloop.sessions.journal.records import JobIntent, JobOutcome, JobRecord, RoundRecord
from hybridloop.sessions.journal.rows import decoding, insert, read_by, read_one, rewrite
from hybridloop.sessions.journal.runs import count_up
from hybridloop.sessions.journal.schema import jobs, rounds

DONE = "done"


def _span_of(table: Table) -> Select[Any]:
    here = table.c.run_uid == bindparam("at_run"), table.c.stream == bindparam("at_stream")
    within = table.c.sequence >= bindparam("at_first"), table.c.sequence < bindparam("at_end")
    return select(table).where(*here, *within).order_by(*table.primary_key)


_SPAN_OF_ROUNDS, _SPAN_OF_JOBS = _span_of(rounds), _span_of(jobs)
_JOBS_BY_ID = (
    select(jobs)
    .where(jobs.c.run_uid == bindparam("at_run"), jobs.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(*jobs.primary_key)
)
_LAST_OF_STREAM = select(func.max(rounds.c.sequence)).where(
    rounds.c.run_uid == bindparam("at_run"), rounds.c.stream == bindparam("at_stream")
)


def begin(
    connection: Connection,
    state: dict[str, Any],
    asked: RoundRecord,
    intents: Sequence[JobIntent],
    bodies: Mapping[str, bytes],
) -> None:
    """Write a round that is to be submitted: its PUBs, its jobs, and the programs that are not there yet."""
    uid = state["run_uid"]
    last = connection.execute(_LAST_OF_STREAM, {"at_run": uid, "at_stream": asked.stream}).scalar()
    due = 0 if last is None else last + 1
    if asked.sequence != due:
        at = f"{uid}/{asked.stream}/{asked.sequence}"
        raise JournalDamaged(rounds.name, at, f"it was to be begun, and number {due} is the next that is not there")
    programs.keep(connection, uid, bodies, [*(pub.program for pub in asked.pubs), *(job.program for job in intents)])
    row = {
        "run_uid": uid,
        "stream": asked.stream,
        "sequence": asked.sequence,
        "target": asked.target,
        "pubs": encode_pubs(asked.pubs),
        "jobs": len(intents),
        "complete": 0,
    }
    insert(connection, rounds, [row])
    insert(connection, jobs, [_new_job(row, intent) for intent in intents])
    count_up(connection, state, rounds=1, jobs=len(intents))


def add_attempts(
    connection: Connection,
    state: dict[str, Any],
    stream: str,
    sequence: int,
    intents: Sequence[JobIntent],
    bodies: Mapping[str, bytes],
) -> None:
    """Write further jobs of a round that is there."""
    row = _round_row(connection, state["run_uid"], stream, sequence)
    programs.keep(connection, row["run_uid"], bodies, [job.program for job in intents])
    insert(connection, jobs, [_new_job(row, intent) for intent in intents])
    rewrite(connection, rounds, [row | {"jobs": row["jobs"] + len(intents)}])
    count_up(connection, state, jobs=len(intents))


def mark_submitted(connection: Connection, run_uid: str, ids: Sequence[str]) -> None:
    """The service has these jobs. One that has ended already stays as it is."""
    found = _jobs_by_id(connection, run_uid, ids)
    rewrite(connection, jobs, [job | {"state": "submitted"} for job in found.values() if job["state"] == "intended"])


def finish(
    connection: Connection,
    run_uid: str,
    stream: str,
    sequence: int,
    outcomes: Sequence[JobOutcome],
    *,
    complete: bool,
) -> None:
    """Write what became of jobs, and whether the round is complete. Counts that are there are never replaced."""
    found = _jobs_by_id(connection, run_uid, [outcome.id for outcome in outcomes])
    rewrite(connection, jobs, [_ended(found[outcome.id], outcome) for outcome in outcomes])
    if complete:
        row = _round_row(connection, run_uid, stream, sequence)
        rewrite(connection, rounds, [row | {"complete": 1}])


def span(connection: Connection, run_uid: str, stream: str, first: int, number: int) -> list[RoundRecord]:
    """The rounds of a stream from number `first` on, at most `number` of them."""
    at = {"at_run": run_uid, "at_stream": stream, "at_first": first, "at_end": first + number}
    heads = read_by(connection, rounds, _SPAN_OF_ROUNDS, at)
    of_round: dict[int, list[dict[str, Any]]] = {}
    for job in read_by(connection, jobs, _SPAN_OF_JOBS, at):
        of_round.setdefault(job["sequence"], []).append(job)
    there = {head["sequence"] for head in heads}
    if there != set(range(first, first + len(heads))) or not of_round.keys() <= there:
        raise JournalDamaged(rounds.name, f"{run_uid}/{stream}/{first}", "rounds after it are there without it")
    return [_round(head, of_round.get(head["sequence"], [])) for head in heads]


def streams(connection: Connection, state: dict[str, Any]) -> dict[str, int]:
    """How many rounds each stream of a run has; JournalDamaged if one of those that were begun is missing."""
    uid = state["run_uid"]
    query = (
        select(rounds.c.stream, func.count(), func.min(rounds.c.sequence), func.max(rounds.c.sequence))
        .where(rounds.c.run_uid == uid)
        .group_by(rounds.c.stream)
        .order_by(rounds.c.stream)
    )
    found = {}
    for stream, number, first, last in connection.execute(query):
        if first != 0 or last != number - 1:
            raise JournalDamaged(rounds.name, f"{uid}/{stream}", f"{number} are there, numbered from {first} to {last}")
        found[stream] = number
    if (total := sum(found.values())) != state["rounds"]:
        raise JournalDamaged(rounds.name, uid, f"{state['rounds']} were begun, and {total} are there")
    return found


def _round(head: dict[str, Any], found: Sequence[dict[str, Any]]) -> RoundRecord:
    at = f"{head['run_uid']}/{head['stream']}/{head['sequence']}"
    if len(found) != head["jobs"]:
        raise JournalDamaged(jobs.name, at, f"{head['jobs']} were written, and {len(found)} are there")
    with decoding(rounds, at):
        return RoundRecord(
            stream=head["stream"],
            sequence=head["sequence"],
            target=head["target"],
            pubs=decode_pubs(head["pubs"]),
            jobs=tuple(map(_job, found)),
            complete=bool(head["complete"]),
        )


def _job(row: dict[str, Any]) -> JobRecord:
    return JobRecord(
        id=row["id"],
        pub=row["pub"],
        point=row["point"],
        part=row["part"],
        attempt=row["attempt"],
        shots=row["shots"],
        program=row["program"],
        session=row["session"],
        reserved=decode_json(row["reserved"]),
        state=row["state"],
        counts=None if row["counts"] is None else decode_counts(row["counts"]),
        reason=row["reason"],
        billed=None if row["billed"] is None else decode_json(row["billed"]),
    )


def _new_job(round_row: dict[str, Any], intent: JobIntent) -> dict[str, Any]:
    return {
        "run_uid": round_row["run_uid"],
        "stream": round_row["stream"],
        "sequence": round_row["sequence"],
        "pub": intent.pub,
        "point": intent.point,
        "part": intent.part,
        "attempt": intent.attempt,
        "id": intent.id,
        "shots": intent.shots,
        "program": intent.program,
        "session": intent.session,
        "reserved": encode_json(intent.reserved),
        "state": "intended",
        "counts": None,
        "reason": "",
        "billed": None,
    }


def _ended(job: dict[str, Any], outcome: JobOutcome) -> dict[str, Any]:
    billed = job["billed"] if outcome.billed is None else encode_json(outcome.billed)
    if job["state"] == DONE:
        return job | {"billed": billed}
    counts = None if outcome.counts is None else encode_counts(outcome.counts)
    return job | {"state": outcome.state, "counts": counts, "reason": outcome.reason, "billed": billed}


def _round_row(connection: Connection, run_uid: str, stream: str, sequence: int) -> dict[str, Any]:
    row = read_one(connection, rounds, run_uid=run_uid, stream=stream, sequence=sequence)
    if row is None:
        raise JournalDamaged(rounds.name, f"{run_uid}/{stream}/{sequence}", "it is missing")
    return row


def _jobs_by_id(connection: Connection, run_uid: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The jobs of these ids, in the order of their places."""
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ids), 500):  # databases bound the number of a statement's parameters
        rows = read_by(connection, jobs, _JOBS_BY_ID, {"at_run": run_uid, "ids": ids[start : start + 500]})
        found |= {row["id"]: row for row in rows}
    if missing := set(ids) - found.keys():
        raise JournalDamaged(jobs.name, min(missing), "it is missing")
    return found
