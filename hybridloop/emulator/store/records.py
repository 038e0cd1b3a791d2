"""Records of stored sessions, jobs and blobs, and their conversion from and to rows of the database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from hybridloop.emulator.model.billing import JobBill
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
    bill: JobBill | None = None


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


# the columns of a session and of a job that change, which have the names of their state's fields
SESSION_COLUMNS = ("status", "pending", "failed", "closing", "last_submission", "last_job_end", "ended")
JOB_COLUMNS = ("status", "began", "finished", "ended", "cancelled", "modified")


def session_columns(state: SessionState) -> dict[str, object]:
    return {name: getattr(state, name) for name in SESSION_COLUMNS}


def job_columns(state: JobState) -> dict[str, object]:
    error = None if state.error is None else json.dumps([state.error.code, state.error.message])
    return {**{name: getattr(state, name) for name in JOB_COLUMNS}, "error": error}


def tags_to_json(tags: Sequence[str] | None) -> str | None:
    return None if tags is None else json.dumps(tags)


def _tags_from_json(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))


def session_from_row(row: sqlite3.Row) -> StoredSession:
    columns = {name: row[name] for name in SESSION_COLUMNS}
    columns |= {"status": SessionStatus(row["status"]), "closing": bool(row["closing"])}
    state = SessionState(JobFailurePolicy(row["policy"]), row["created"], **columns)
    names = (row["id"], row["name"], row["provider_id"], row["target"], row["priority"])
    return StoredSession(row["key"], *names, _tags_from_json(row["tags"]), state)


def job_from_row(row: sqlite3.Row) -> StoredJob:
    columns = {**{name: row[name] for name in JOB_COLUMNS}, "status": JobStatus(row["status"])}
    error = None if row["error"] is None else JobError(*json.loads(row["error"]))
    state = JobState(row["created"], **columns, error=error)
    names = (row["id"], row["session_key"], row["name"], row["priority"], _tags_from_json(row["tags"]))
    bill = None if row["bill"] is None else JobBill.from_json(row["bill"])
    request = JobRequest.from_document(json.loads(row["request"]))
    return StoredJob(row["key"], *names, row["output_blob"], request, state, row["shots"], bill)
