"""Schema of the database; `PRAGMA user_version` holds its version."""

from __future__ import annotations

import sqlite3

VERSION = 1
# Of a job, `price` is in `unit`; `bill` is the whole bill as JSON; `duplicate_of` is the key of the earlier job of the
# same place; `course` is its latency and fate as JSON; `finished` is the time when its execution was over.
TABLES = """
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (
    key INTEGER PRIMARY KEY, workspace TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, provider_id TEXT NOT NULL,
    target TEXT NOT NULL, priority TEXT, tags TEXT, policy TEXT NOT NULL, status TEXT NOT NULL, created REAL NOT NULL,
    pending INTEGER NOT NULL, failed INTEGER NOT NULL, closing INTEGER NOT NULL, last_submission REAL,
    last_job_end REAL, ended REAL, UNIQUE (workspace, id));
CREATE INDEX sessions_by_id ON sessions (id);
CREATE INDEX sessions_by_time ON sessions (workspace, created, key);
CREATE INDEX live_sessions ON sessions (key) WHERE ended IS NULL;
CREATE TABLE jobs (
    key INTEGER PRIMARY KEY, workspace TEXT NOT NULL, id TEXT NOT NULL, session_key INTEGER REFERENCES sessions (key),
    name TEXT, provider_id TEXT NOT NULL, target TEXT NOT NULL, priority TEXT, tags TEXT, status TEXT NOT NULL,
    created REAL NOT NULL, began REAL, ended REAL, cancelled REAL, modified REAL, error TEXT,
    output_blob TEXT NOT NULL, request TEXT NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
    place TEXT, attempt TEXT, shots INTEGER, price REAL, unit TEXT, bill TEXT, duplicate_of INTEGER, course TEXT,
    finished REAL, UNIQUE (workspace, id));
CREATE INDEX jobs_by_time ON jobs (workspace, created, key);
CREATE INDEX jobs_by_name ON jobs (workspace, name, created, deleted);
CREATE INDEX session_jobs_by_time ON jobs (session_key, created, key);
CREATE INDEX session_jobs_by_name ON jobs (session_key, name, created, deleted);
CREATE INDEX pending_jobs ON jobs (key) WHERE ended IS NULL;
CREATE INDEX jobs_by_place ON jobs (place, workspace, key) WHERE place IS NOT NULL;
CREATE INDEX duplicate_jobs ON jobs (key) WHERE duplicate_of IS NOT NULL;
CREATE INDEX jobs_by_price ON jobs (session_key, status, unit, price, shots);
CREATE INDEX jobs_by_state ON jobs (workspace, status, created, key);
CREATE INDEX session_jobs_by_state ON jobs (session_key, status, created, key);
CREATE INDEX lone_jobs_by_time ON jobs (workspace, created, key) WHERE session_key IS NULL;
CREATE TABLE containers (name TEXT PRIMARY KEY, created REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE blobs (
    container TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, content_type TEXT NOT NULL,
    content_encoding TEXT NOT NULL, etag TEXT NOT NULL, modified REAL NOT NULL,
    PRIMARY KEY (container, name)) WITHOUT ROWID;
"""


class UnknownSchema(Exception):
    """The database was written by another version of hybridloop."""


def create_tables(db: sqlite3.Connection) -> None:
    """Create the tables of a new database. Raises UnknownSchema for a database of another version."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version not in (0, VERSION):
        raise UnknownSchema(f"its schema version is {version}, and this hybridloop reads {VERSION}")
    if not version:
        db.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
