"""Records of stored sessions, jobs and blobs, and their conversion from and to rows of the database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from hybridloop.emulator.model.billing import Bill
from hybridloop.emulator.model.job import JobError, JobState, JobStatus
from hybridloop.emulator.model.requests import JobRequest
from hybridloop.emulator.model.session import JobFailurePolicy, SessionState, SessionStatus


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A stored session; `key` is its primary key, ascending in the order of opening."""

    key: int
    id: str
    name: str
    provider_id: str
    target: str
    priority: str | None
    tags: tuple[str, ...] | None
    state: SessionState


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A stored job; `key` is its primary key, ascending in the order of submission.

    `name`, `priority` and `tags` are the current ones; `request` has those of the submission. `shots` are the
    requested ones until the job has succeeded, then those that were run. Only a job that succeeded has a bill.
    """

    key: int
    id: str
    session_key: int | None
    name: str | None
    priority: str | None
    tags: tuple[str, ...] | None
    output_blob: str
    request: JobRequest
    state: JobState
    shots: int | None
    bill: Bill | None = None


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A stored blob's properties; `modified` in seconds since 1970."""

    container: str
    name: str
    size: int
    content_type: str
    content_encoding: str
    etag: str
    modified: float


def session_columns(state: SessionState) -> dict[str, object]:
    """Return the columns of a session that change, by name."""
    return {
        "status": state.status,
        "pending": state.pending,
        "failed": state.failed,
        "closing": state.closing,
        "last_submission": state.last_submission,
        "last_job_end": state.last_job_end,
        "ended": state.ended,
    }


def job_columns(state: JobState) -> dict[str, object]:
    """Return the columns of a job that change, by name."""
    return {
        "status": state.status,
        "began": state.began,
        "finished": state.finished,
        "ended": state.ended,
        "cancelled": state.cancelled,
        "modified": state.modified,
        "error": None if state.error is None else json.dumps([state.error.code, state.error.message]),
    }


def tags_to_json(tags: Sequence[str] | None) -> str | None:
    """Return tags as a JSON text; None if there are none."""
    return None if tags is None else json.dumps(tags)


def _tags_from_json(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))


def session_from_row(row: sqlite3.Row) -> StoredSession:
    """Return the session in a row with all columns of the sessions table."""
    state = SessionState(
        policy=JobFailurePolicy(row["policy"]),
        opened=row["created"],
        status=SessionStatus(row["status"]),
        pending=row["pending"],
        failed=row["failed"],
        closing=bool(row["closing"]),
        last_submission=row["last_submission"],
        last_job_end=row["last_job_end"],
        ended=row["ended"],
    )
    names = (row["id"], row["name"], row["provider_id"], row["target"], row["priority"])
    return StoredSession(row["key"], *names, _tags_from_json(row["tags"]), state)


def job_from_row(row: sqlite3.Row) -> StoredJob:
    """Return the job in a row with all columns of the jobs table."""
    state = JobState(
        created=row["created"],
        status=JobStatus(row["status"]),
        began=row["began"],
        finished=row["finished"],
        ended=row["ended"],
        cancelled=row["cancelled"],
        modified=row["modified"],
        error=None if row["error"] is None else JobError(*json.loads(row["error"])),
    )
    names = (
        row["id"],
        row["session_key"],
        row["name"],
        row["priority"],
        _tags_from_json(row["tags"]),
        row["output_blob"],
    )
    bill = None if row["bill"] is None else Bill.from_json(row["bill"])
    request = JobRequest.from_document(json.loads(row["request"]))
    return StoredJob(row["key"], *names, request, state, row["shots"], bill)
