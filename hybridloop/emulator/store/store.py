"""SQLite database of the emulator: sessions, jobs, containers and the properties of blobs.

One connection, used from one thread; changes that belong together are one transaction. The write-ahead log is not
synced at each commit: commits survive the end of the process, however it ends, but a power cut may lose the last ones.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

from hybridloop.emulator.model.billing import JobBill
from hybridloop.emulator.model.job import JobState, JobStatus
from hybridloop.emulator.model.latency import JobTimeline
from hybridloop.emulator.model.requests import JobRequest, SessionRequest
from hybridloop.emulator.model.session import SessionState
from hybridloop.emulator.store.records import (
    StoredBlob,
    StoredJob,
    StoredSession,
    job_columns,
    job_from_row,
    session_columns,
    session_from_row,
    tags_to_json,
)
from hybridloop.emulator.store.schema import create_tables

LARGEST_KEY = 2**63 - 1
LAST_CHARACTER = "\U0010ffff"  # after a prefix: an upper bound for all texts that begin with it


class Store:
    """Tables of the service in the database file `path`; None keeps them in memory."""

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, cached_statements=512)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        create_tables(self._db)

    def close(self) -> None:
        """Close the database; everything committed is written."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one transaction, which is rolled back if the block raises."""
        with self._db:  # also rolls back after a failed commit, unless SQLite has done so by itself
            self._db.execute("BEGIN IMMEDIATE")
            yield

    def note(self, name: str) -> str | None:
        """Return the note of that name, a value beside the tables; None if it is not set."""
        row = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def put_note(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def add_session(self, workspace: str, session_id: str, request: SessionRequest, state: SessionState) -> None:
        columns = {
            "workspace": workspace,
            "id": session_id,
            "name": request.name,
            "provider_id": request.provider_id,
            "target": request.target,
            "priority": request.priority,
            "tags": tags_to_json(request.tags),
            "policy": state.policy,
            "created": state.opened,
            **session_columns(state),
        }
        self._insert("sessions", columns)

    def session(self, workspace: str, session_id: str) -> StoredSession | None:
        query = "SELECT * FROM sessions WHERE workspace = ? AND id = ?"
        row = self._db.execute(query, (workspace, session_id)).fetchone()
        return None if row is None else session_from_row(row)

    def session_by_key(self, key: int) -> StoredSession:
        """Return the session with that key, which must exist."""
        return session_from_row(self._db.execute("SELECT * FROM sessions WHERE key = ?", (key,)).fetchone())

    def live_sessions(self) -> list[StoredSession]:
        """Return all sessions that have not ended, in the order of opening."""
        return [
            session_from_row(row) for row in self._db.execute("SELECT * FROM sessions WHERE ended IS NULL ORDER BY key")
        ]

    def put_session_state(self, key: int, state: SessionState) -> None:
        self._update("sessions", key, session_columns(state))

    def add_job(
        self, workspace: str, job_id: str, session_key: int | None, request: JobRequest, state: JobState
    ) -> StoredJob:
        """Insert a new job; it is a duplicate if an earlier job of its place has neither failed nor been cancelled."""
        # `place` identifies the same circuit over several attempts; clients set it in the job's metadata
        place = (request.metadata or {}).get("place") or None
        columns = {
            "workspace": workspace,
            "id": job_id,
            "session_key": session_key,
            "name": request.name,
            "provider_id": request.provider_id,
            "target": request.target,
            "priority": request.priority,
            "tags": tags_to_json(request.tags),
            "created": state.created,
            "request": json.dumps(asdict(request)),
            "output_blob": "outputData",
            "place": place,
            "attempt": (request.metadata or {}).get("attempt"),
            "shots": request.shots,
            "duplicate_of": None if place is None else self._earlier_job(workspace, place),
            **job_columns(state),
        }
        key = self._insert("jobs", columns)
        # the record, as `job_by_key` would read it
        names = (request.name, request.priority, request.tags, "outputData")
        return StoredJob(key, job_id, session_key, *names, request, state, request.shots)

    def job(self, workspace: str, job_id: str) -> StoredJob | None:
        """Return the job with that id; None if there is none or it was deleted."""
        record, deleted = self.job_and_deletion(workspace, job_id)
        return None if deleted else record

    def job_and_deletion(self, workspace: str, job_id: str) -> tuple[StoredJob | None, bool]:
        """Return the job with that id, also a deleted one, and True if it was deleted: its id stays taken."""
        query = "SELECT * FROM jobs WHERE workspace = ? AND id = ?"
        row = self._db.execute(query, (workspace, job_id)).fetchone()
        return (None, False) if row is None else (job_from_row(row), bool(row["deleted"]))

    def find_job(self, workspace: str | None, job_id: str) -> StoredJob | None:
        """Return the job with that id, also a deleted one; for `workspace` None, the first one in any workspace."""
        if workspace is not None:
            return self.job_and_deletion(workspace, job_id)[0]
        row = self._db.execute("SELECT * FROM jobs WHERE id = ? LIMIT 1", (job_id,)).fetchone()
        return None if row is None else job_from_row(row)

    def job_by_key(self, key: int) -> StoredJob:
        """Return the job with that key, which must exist."""
        return job_from_row(self._db.execute("SELECT * FROM jobs WHERE key = ?", (key,)).fetchone())

    def pending_jobs(self, session_key: int | None = None) -> list[StoredJob]:
        """Return the jobs that have not ended, of one session or of all, in the order of submission."""
        if session_key is None:
            rows = self._db.execute("SELECT * FROM jobs WHERE ended IS NULL ORDER BY key")
        else:
            query = "SELECT * FROM jobs WHERE ended IS NULL AND session_key = ? ORDER BY key"
            rows = self._db.execute(query, (session_key,))
        return [job_from_row(row) for row in rows]

    def put_job_state(self, key: int, state: JobState, output_blob: str = "outputData") -> None:
        self._update("jobs", key, {**job_columns(state), "output_blob": output_blob})

    def timeline(self, key: int) -> JobTimeline | None:
        """Return a job's latency and fate; None if they have not been drawn, or if it has neither."""
        text = self._db.execute("SELECT course FROM jobs WHERE key = ?", (key,)).fetchone()[0]
        return None if text is None else JobTimeline.from_json(text)

    def put_timeline(self, key: int, course: JobTimeline) -> None:
        self._update("jobs", key, {"course": course.to_json()})

    def put_bill(self, key: int, bill: JobBill, shots: int) -> None:
        """Set a job's bill and the number of shots that were run."""
        self._update("jobs", key, {"bill": bill.to_json(), "price": bill.amount, "unit": bill.unit, "shots": shots})

    def put_job_details(self, job: StoredJob) -> None:
        names = {"name": job.name, "priority": job.priority, "tags": tags_to_json(job.tags)}
        self._update("jobs", job.key, {**names, "modified": job.state.modified})

    def delete_job(self, key: int) -> None:
        """Mark a job as deleted, which hides it from clients; its id stays taken."""
        self._update("jobs", key, {"deleted": 1})

    def each_row(self, sql: str, parameters: Sequence[object]) -> Iterator[sqlite3.Row]:
        """Yield the rows of a query of `listing` or `ledger`; `parameters` are bound to its placeholders."""
        with closing(self._db.execute(sql, tuple(parameters))) as cursor:
            yield from cursor

    def rows(self, sql: str, parameters: Sequence[object]) -> list[sqlite3.Row]:
        return list(self.each_row(sql, parameters))

    def add_container(self, name: str, now: float) -> bool:
        """Create the container; False if it existed."""
        cursor = self._db.execute("INSERT OR IGNORE INTO containers VALUES (?, ?)", (name, now))
        return cursor.rowcount == 1

    def has_container(self, name: str) -> bool:
        return self._db.execute("SELECT 1 FROM containers WHERE name = ?", (name,)).fetchone() is not None

    def put_blob(self, blob: StoredBlob) -> None:
        """Insert or replace a blob's properties, with which the blob exists."""
        self._db.execute(
            "INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?, ?, ?, ?)",
            (blob.container, blob.name, blob.size, blob.content_type, blob.content_encoding, blob.etag, blob.modified),
        )

    def blob(self, container: str, name: str) -> StoredBlob | None:
        query = "SELECT * FROM blobs WHERE container = ? AND name = ?"
        row = self._db.execute(query, (container, name)).fetchone()
        return None if row is None else StoredBlob(*row)

    def blobs(self, container: str, prefix: str) -> list[StoredBlob]:
        """Return the container's blobs with the name prefix, in the order of names."""
        query = "SELECT * FROM blobs WHERE container = ? AND name >= ? AND name < ? ORDER BY name"
        return [StoredBlob(*row) for row in self._db.execute(query, (container, prefix, prefix + LAST_CHARACTER))]

    def _earlier_job(self, workspace: str, place: str) -> int | None:
        """Return the key of the place's last job that succeeded or is pending; None if there is none."""
        query = (
            "SELECT key FROM jobs WHERE place = ? AND workspace = ? AND status NOT IN (?, ?) ORDER BY key DESC LIMIT 1"
        )
        row = self._db.execute(query, (place, workspace, JobStatus.FAILED, JobStatus.CANCELLED)).fetchone()
        return None if row is None else int(row[0])

    def _insert(self, table: str, columns: Mapping[str, object]) -> int:
        names, placeholders = ", ".join(columns), ", ".join(f":{name}" for name in columns)
        return self._db.execute(f"INSERT INTO {table} ({names}) VALUES ({placeholders})", columns).lastrowid or 0

    def _update(self, table: str, key: int, columns: Mapping[str, object]) -> None:
        changes = ", ".join(f"{name} = :{name}" for name in columns)
        self._db.execute(f"UPDATE {table} SET {changes} WHERE key = :key", {**columns, "key": key})
