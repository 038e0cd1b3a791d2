"""Sessions, jobs and blobs as the store keeps them, and how they become rows and come back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from hybridloop.emulator.billing import Bill
from hybridloop.emulator.job import JobError, JobState, JobStatus
from hybridloop.emulator.requests import JobRequest
from hybridloop.emulator.session import JobFailurePolicy, SessionState, SessionStatus


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A stored session; `key` is the store's own number of it, ascending with its opening."""

    key: int
    id: str
    name: str
    provider_id: str
    target: str
    priority: str | None
    tags: tuple[str, ...] | None
    state: SessionState


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A stored job; `key` is the store's own number of it, ascending with its submission.

    `name`, `priority` and `tags` are the present ones; the request keeps those it was submitted with. A job that
    succeeded has a bill; its `shots` are those that were run, before that those that it asks for.
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
class BlobRecord:
    """A stored blob's properties; `modified` in seconds since 1970."""

    container: str
    name: str
    size: int
    content_type: str
    content_encoding: str
    etag: str
    modified: float


def session_columns(state: SessionState) -> dict[str, object]:
    """The columns that change in a session's life."""
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
    """The columns that change in a job's life."""
    return {
        "status": state.status,
        "began": state.began,
        "finished": state.finished,
        "ended": state.ended,
        "cancelled": state.cancelled,
        "modified": state.modified,
        "error": None if state.error is None else json.dumps([state.error.code, state.error.message]),
    }


def tags_text(value: Sequence[str] | None) -> str | None:
    """Tags as one text, None for none."""
    return None if value is None else json.dumps(value)


def _tags(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))


def session_of(row: sqlite3.Row) -> SessionRecord:
    """A whole row of the sessions table as a record."""
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
    return SessionRecord(row["key"], *names, _tags(row["tags"]), state)


def job_of(row: sqlite3.Row) -> JobRecord:
    """A whole row of the jobs table as a record."""
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
    names = (row["id"], row["session_key"], row["name"], row["priority"], _tags(row["tags"]), row["output_blob"])
    bill = None if row["bill"] is None else Bill.from_json(row["bill"])
    request = JobRequest.from_document(json.loads(row["request"]))
    return JobRecord(row["key"], *names, request, state, row["shots"], bill)
