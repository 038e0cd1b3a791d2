"""The books: sessions, jobs, blobs' properties, in SQLite.

One connection, used from one thread; what belongs together is written in one transaction. Write-ahead log without a
sync at each commit: what is committed survives the end of the process, however it ends (a power cut may take the
last moments).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from hybridloop.emulator.billing import Bill
from hybridloop.emulator.job import JobState, JobStatus
from hybridloop.emulator.latency import Course
from hybridloop.emulator.records import (
    BlobRecord,
    JobRecord,
    SessionRecord,
    job_columns,
    job_of,
    session_columns,
    session_of,
    tags_text,
)
from hybridloop.emulator.requests import JobRequest, SessionRequest
from hybridloop.emulator.schema import bring_up_to_date
from hybridloop.emulator.session import SessionState

LARGEST_KEY = 2**63 - 1
LAST_CHARACTER = "\U0010ffff"  # behind a prefix: after all that begins with it


class Store:
    """The tables behind the service; `path` None keeps them in memory."""

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, cached_statements=512)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        bring_up_to_date(self._db)

    def close(self) -> None:
        """Write everything out and let go of the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside happen together or not at all."""
        with self._db:  # which rolls back where the commit fails too, but not twice where SQLite has done it by itself
            self._db.execute("BEGIN IMMEDIATE")
            yield

    def note(self, name: str) -> str | None:
        """A value kept beside the tables."""
        row = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def put_note(self, name: str, value: str) -> None:
        """Keep a value beside the tables."""
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def add_session(self, workspace: str, session_id: str, request: SessionRequest, state: SessionState) -> None:
        """Write a new session."""
        self._insert(
            "sessions",
            {
                "workspace": workspace,
                "id": session_id,
                "name": request.name,
                "provider_id": request.provider_id,
                "target": request.target,
                "priority": request.priority,
                "tags": tags_text(request.tags),
                "policy": state.policy,
                "created": state.opened,
                **session_columns(state),
            },
        )

    def session(self, workspace: str, session_id: str) -> SessionRecord | None:
        """The session of that id."""
        query = "SELECT * FROM sessions WHERE workspace = ? AND id = ?"
        row = self._db.execute(query, (workspace, session_id)).fetchone()
        return None if row is None else session_of(row)

    def session_by_key(self, key: int) -> SessionRecord:
        """The session of that number, which must be there."""
        return session_of(self._db.execute("SELECT * FROM sessions WHERE key = ?", (key,)).fetchone())

    def live_sessions(self) -> list[SessionRecord]:
        """All sessions that have not ended."""
        return [session_of(row) for row in self._db.execute("SELECT * FROM sessions WHERE ended IS NULL ORDER BY key")]

    def put_session_state(self, key: int, state: SessionState) -> None:
        """Write how far a session is."""
        self._update("sessions", key, session_columns(state))

    def add_job(
        self, workspace: str, job_id: str, session_key: int | None, request: JobRequest, state: JobState
    ) -> JobRecord:
        """Write a new job; it is a duplicate if an earlier one of its place did not end in failure or cancellation."""
        place = (request.metadata or {}).get("place") or None
        key = self._insert(
            "jobs",
            {
                "workspace": workspace,
                "id": job_id,
                "session_key": session_key,
                "name": request.name,
                "provider_id": request.provider_id,
                "target": request.target,
                "priority": request.priority,
                "tags": tags_text(request.tags),
                "created": state.created,
                "request": json.dumps(request.to_document()),
                "output_blob": "outputData",
                "place": place,
                "attempt": (request.metadata or {}).get("attempt"),
                "shots": request.shots,
                "duplicate_of": None if place is None else self._living(workspace, place),
                **job_columns(state),
            },
        )
        names = (request.name, request.priority, request.tags, "outputData")
        return JobRecord(key, job_id, session_key, *names, request, state, request.shots)

    def job(self, workspace: str, job_id: str) -> JobRecord | None:
        """The job of that id, unless it was deleted."""
        record, deleted = self.job_even_deleted(workspace, job_id)
        return None if deleted else record

    def job_even_deleted(self, workspace: str, job_id: str) -> tuple[JobRecord | None, bool]:
        """The job of that id and whether it was deleted: its id stays taken."""
        query = "SELECT * FROM jobs WHERE workspace = ? AND id = ?"
        row = self._db.execute(query, (workspace, job_id)).fetchone()
        return (None, False) if row is None else (job_of(row), bool(row["deleted"]))

    def find_job(self, workspace: str | None, job_id: str) -> JobRecord | None:
        """The job of that id, in a workspace or, for None, in whichever has it first; deleted ones too."""
        if workspace is not None:
            return self.job_even_deleted(workspace, job_id)[0]
        row = self._db.execute("SELECT * FROM jobs WHERE id = ? LIMIT 1", (job_id,)).fetchone()
        return None if row is None else job_of(row)

    def job_by_key(self, key: int) -> JobRecord:
        """The job of that number, which must be there."""
        return job_of(self._db.execute("SELECT * FROM jobs WHERE key = ?", (key,)).fetchone())

    def pending_jobs(self, session_key: int | None = None) -> list[JobRecord]:
        """The jobs that have not ended, of one session or all, in the order of submission."""
        if session_key is None:
            rows = self._db.execute("SELECT * FROM jobs WHERE ended IS NULL ORDER BY key")
        else:
            query = "SELECT * FROM jobs WHERE ended IS NULL AND session_key = ? ORDER BY key"
            rows = self._db.execute(query, (session_key,))
        return [job_of(row) for row in rows]

    def put_job_state(self, key: int, state: JobState, output_blob: str = "outputData") -> None:
        """Write how far a job is."""
        self._update("jobs", key, {**job_columns(state), "output_blob": output_blob})

    def course(self, key: int) -> Course | None:
        """What a job goes through besides its computing, if it has been drawn and is anything."""
        text = self._db.execute("SELECT course FROM jobs WHERE key = ?", (key,)).fetchone()[0]
        return None if text is None else Course.from_json(text)

    def put_course(self, key: int, course: Course) -> None:
        """Write what a job goes through besides its computing."""
        self._update("jobs", key, {"course": course.to_json()})

    def put_bill(self, key: int, bill: Bill, shots: int) -> None:
        """Write what a job costs, and the shots that were run for that."""
        self._update("jobs", key, {"bill": bill.to_json(), "price": bill.amount, "unit": bill.unit, "shots": shots})

    def put_job_names(self, job: JobRecord) -> None:
        """Write a job's name, priority, tags and time of change."""
        names = {"name": job.name, "priority": job.priority, "tags": tags_text(job.tags)}
        self._update("jobs", job.key, {**names, "modified": job.state.modified})

    def delete_job(self, key: int) -> None:
        """Hide a job from all reads; its id stays taken."""
        self._update("jobs", key, {"deleted": 1})

    def rows(self, sql: str, parameters: Sequence[object]) -> list[sqlite3.Row]:
        """The rows of a query that `listing` has put together; parameters are bound, never pasted."""
        return self._db.execute(sql, tuple(parameters)).fetchall()

    def add_container(self, name: str, now: float) -> bool:
        """Make the container; False where it was there."""
        cursor = self._db.execute("INSERT OR IGNORE INTO containers VALUES (?, ?)", (name, now))
        return cursor.rowcount == 1

    def has_container(self, name: str) -> bool:
        """Whether the container is there."""
        return self._db.execute("SELECT 1 FROM containers WHERE name = ?", (name,)).fetchone() is not None

    def put_blob(self, blob: BlobRecord) -> None:
        """Write a blob's properties: from then on it is there."""
        self._db.execute(
            "INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?, ?, ?, ?)",
            (blob.container, blob.name, blob.size, blob.content_type, blob.content_encoding, blob.etag, blob.modified),
        )

    def blob(self, container: str, name: str) -> BlobRecord | None:
        """The blob's properties."""
        query = "SELECT * FROM blobs WHERE container = ? AND name = ?"
        row = self._db.execute(query, (container, name)).fetchone()
        return None if row is None else BlobRecord(*row)

    def blobs(self, container: str, prefix: str) -> list[BlobRecord]:
        """The container's blobs whose names begin with `prefix`, by name."""
        query = "SELECT * FROM blobs WHERE container = ? AND name >= ? AND name < ? ORDER BY name"
        return [BlobRecord(*row) for row in self._db.execute(query, (container, prefix, prefix + LAST_CHARACTER))]

    def _living(self, workspace: str, place: str) -> int | None:
        """The number of the last job of that place that has given or may still give an answer."""
        query = (
            "SELECT key FROM jobs WHERE place = ? AND workspace = ? AND status NOT IN (?, ?) ORDER BY key DESC LIMIT 1"
        )
        row = self._db.execute(query, (place, workspace, JobStatus.FAILED, JobStatus.CANCELLED)).fetchone()
        return None if row is None else int(row[0])

    def _insert(self, table: str, columns: Mapping[str, object]) -> int:
        names, places = ", ".join(columns), ", ".join(f":{name}" for name in columns)
        return self._db.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", columns).lastrowid or 0

    def _update(self, table: str, key: int, columns: Mapping[str, object]) -> None:
        changes = ", ".join(f"{name} = :{name}" for name in columns)
        self._db.execute(f"UPDATE {table} SET {changes} WHERE key = :key", {**columns, "key": key})
