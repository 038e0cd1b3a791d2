"""Rounds and their jobs: they are written before they are submitted, and read when a run is resumed (replayed)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, func, select

from hybridloop.errors import JournalDamaged
from hybridloop.journal import programs
from hybridloop.journal.records import UNSETTLED, Job, RoundRecord, Settle
from hybridloop.journal.runs import add_to_counts
from hybridloop.journal.storage.encoding import (
    decode_counts,
    decode_json,
    decode_request,
    encode_counts,
    encode_json,
    encode_request,
)
from hybridloop.journal.storage.rows import insert_rows, read_query, read_row, translate_decode_errors, update_rows
from hybridloop.journal.storage.schema import jobs, rounds

DONE = "done"
_ROUND_KEY = ("run_uid", "stream", "sequence")
_NOT_OF_A_JOB = (*_ROUND_KEY, "day")


def _select_range(table: Table) -> Select[Any]:
    stream = table.c.run_uid == bindparam("at_run"), table.c.stream == bindparam("at_stream")
    within = table.c.sequence >= bindparam("at_first"), table.c.sequence < bindparam("at_end")
    return select(table).where(*stream, *within).order_by(*table.primary_key)


_RANGE_OF_ROUNDS, _RANGE_OF_JOBS = _select_range(rounds), _select_range(jobs)
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
    round_: RoundRecord,
    intents: Sequence[Job],
    bodies: Mapping[str, bytes],
    day: int,
) -> list[dict[str, Any]]:
    """Write a round before it is submitted: its PUBs, its jobs, and the programs that are not stored yet.

    Its jobs are reserved on a `day`. Returns their rows. Raises JournalDamaged if its sequence number is not the next
    one of its stream.
    """
    # a gap or a repeat would mean that rows were lost or that another process wrote
    uid = state["run_uid"]
    key = {"run_uid": uid, "stream": round_.stream, "sequence": round_.sequence}
    last = connection.execute(_LAST_OF_STREAM, {"at_run": uid, "at_stream": round_.stream}).scalar()
    due = 0 if last is None else last + 1
    if round_.sequence != due:
        row_key = f"{uid}/{round_.stream}/{round_.sequence}"
        raise JournalDamaged(rounds.name, row_key, f"this round can't begin: the next one of its stream is {due}")
    # write programs, round and jobs, and count them in the run's state
    programs.store(connection, uid, bodies, [*(pub.program for pub in round_.pubs), *(job.program for job in intents)])
    new_jobs = [_new_job(key, intent, day) for intent in intents]
    slices = [intent.slices for intent in intents if intent.slices]
    pubs = encode_request(round_.pubs, slices, round_.shared_seed)
    row = {**key, "target": round_.target, "pubs": pubs, "jobs": len(intents), "complete": 0}
    insert_rows(connection, rounds, [row])
    insert_rows(connection, jobs, new_jobs)
    add_to_counts(connection, state, rounds=1, jobs=len(intents))
    return new_jobs


def add_attempts(
    connection: Connection,
    state: dict[str, Any],
    stream: str,
    sequence: int,
    intents: Sequence[Job],
    bodies: Mapping[str, bytes],
    day: int,
) -> list[dict[str, Any]]:
    """Write further attempts of jobs of a stored round, reserved on a `day`; return their rows."""
    row = _round_row(connection, state["run_uid"], stream, sequence)
    programs.store(connection, row["run_uid"], bodies, [job.program for job in intents])
    new_jobs = [_new_job(row, intent, day) for intent in intents]
    insert_rows(connection, jobs, new_jobs)
    update_rows(connection, rounds, [row | {"jobs": row["jobs"] + len(intents)}])
    add_to_counts(connection, state, jobs=len(intents))
    return new_jobs


def mark_submitted(connection: Connection, run_uid: str, ids: Sequence[str]) -> None:
    """Mark jobs as known to the service; a job that has ended stays as it is."""
    rows = _jobs_by_id(connection, run_uid, ids).values()
    update_rows(connection, jobs, [row | {"state": "submitted"} for row in rows if row["state"] == "intended"])


def record_outcomes(
    connection: Connection,
    run_uid: str,
    stream: str,
    sequence: int,
    ended: Sequence[Job],
    settle: Settle,
    *,
    complete: bool,
) -> None:
    """Write how jobs ended, which `settle` counts, and that the round is complete if it is.

    Stored counts are never replaced.
    """
    rows = _jobs_by_id(connection, run_uid, [job.id for job in ended])
    before = [dict(row) for row in rows.values()]
    for job in ended:
        row = rows[job.id]
        if job.billed is not None:
            row["billed"] = encode_json(job.billed)
        if row["state"] != DONE:
            counts = None if job.counts is None else encode_counts(job.counts)
            row |= {"state": job.state, "counts": counts, "reason": job.reason}
    update_rows(connection, jobs, settle(before, list(rows.values())))
    if complete:
        row = _round_row(connection, run_uid, stream, sequence)
        update_rows(connection, rounds, [row | {"complete": 1}])


def read_range(connection: Connection, run_uid: str, stream: str, first: int, number: int) -> list[RoundRecord]:
    """Return the rounds of a stream from sequence number `first` on, at most `number` of them."""
    # read the rows of the rounds and of their jobs
    values = {"at_run": run_uid, "at_stream": stream, "at_first": first, "at_end": first + number}
    heads = read_query(connection, rounds, _RANGE_OF_ROUNDS, values)
    jobs_of: dict[int, list[dict[str, Any]]] = {}
    for job in read_query(connection, jobs, _RANGE_OF_JOBS, values):
        jobs_of.setdefault(job["sequence"], []).append(job)
    stored = {head["sequence"] for head in heads}
    if stored != set(range(first, first + len(heads))) or not jobs_of.keys() <= stored:
        raise JournalDamaged(rounds.name, f"{run_uid}/{stream}/{first}", "a round is missing before later ones")
    # decode each round with its jobs
    records = []
    for head in heads:
        key, job_rows = f"{run_uid}/{stream}/{head['sequence']}", jobs_of.get(head["sequence"], [])
        if len(job_rows) != head["jobs"]:
            raise JournalDamaged(jobs.name, key, f"{head['jobs']} were written, and {len(job_rows)} are stored")
        with translate_decode_errors(rounds, key):
            request = decode_request(head["pubs"])
            slices_of = {slices[0][:3]: slices for slices in request.slices}
            for job in job_rows:
                job["slices"] = slices_of.get((job["pub"], job["point"], job["part"]), ())
                job["reserved"] = decode_json(job["reserved"])
                job["counts"] = None if job["counts"] is None else decode_counts(job["counts"])
                job["billed"] = None if job["billed"] is None else decode_json(job["billed"])
            job_records = tuple(
                Job(**{name: value for name, value in job.items() if name not in _NOT_OF_A_JOB}) for job in job_rows
            )
            if any(job.counts is not None and len(job.counts) != len(job.parts) for job in job_records):
                raise ValueError("a job has counts of other slices than its own")
        record = RoundRecord(
            stream,
            head["sequence"],
            head["target"],
            request.pubs,
            job_records,
            complete=bool(head["complete"]),
            shared_seed=request.shared_seed,
        )
        records.append(record)
    return records


def count_by_stream(connection: Connection, state: dict[str, Any]) -> dict[str, int]:
    """Return the number of rounds by stream. Raises JournalDamaged if one is missing."""
    uid = state["run_uid"]
    query = (
        select(rounds.c.stream, func.count(), func.min(rounds.c.sequence), func.max(rounds.c.sequence))
        .where(rounds.c.run_uid == uid)
        .group_by(rounds.c.stream)
        .order_by(rounds.c.stream)
    )
    numbers = {}
    for stream, number, first, last in connection.execute(query):
        if first != 0 or last != number - 1:
            raise JournalDamaged(rounds.name, f"{uid}/{stream}", f"{number} are stored, numbered {first} to {last}")
        numbers[stream] = number
    if (total := sum(numbers.values())) != state["rounds"]:
        raise JournalDamaged(rounds.name, uid, f"{state['rounds']} were written, and {total} are stored")
    return numbers


def _new_job(round_row: dict[str, Any], job: Job, day: int) -> dict[str, Any]:
    return {
        **{name: round_row[name] for name in _ROUND_KEY},
        **{field.name: getattr(job, field.name) for field in fields(job) if field.name != "slices"},
        "reserved": encode_json(job.reserved),
        "day": day,
    }


def _round_row(connection: Connection, run_uid: str, stream: str, sequence: int) -> dict[str, Any]:
    row = read_row(connection, rounds, run_uid=run_uid, stream=stream, sequence=sequence)
    if row is None:
        raise JournalDamaged(rounds.name, f"{run_uid}/{stream}/{sequence}", "it is missing")
    return row


def _jobs_by_id(connection: Connection, run_uid: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the rows of these jobs by id. Raises JournalDamaged if one is missing."""
    rows_by_id: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ids), 500):  # databases limit the parameters of a statement
        rows = read_query(connection, jobs, _JOBS_BY_ID, {"at_run": run_uid, "ids": ids[start : start + 500]})
        rows_by_id |= {row["id"]: row for row in rows}
    if missing := set(ids) - rows_by_id.keys():
        raise JournalDamaged(jobs.name, min(missing), "it is missing")
    return rows_by_id


def count_unsettled(connection: Connection) -> int:
    """Return the number of jobs whose end is not recorded; no row is verified."""
    query = select(func.count()).select_from(jobs).where(jobs.c.state.in_(sorted(UNSETTLED)))
    return int(connection.execute(query).scalar_one())
