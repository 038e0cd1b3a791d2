"""The tables of the books, as the steps that made them: old books go through the steps that they lack.

A step that was released is never changed; a change is a further step. `PRAGMA user_version` holds how many were made.
"""

from __future__ import annotations

import sqlite3

FIRST_TABLES = """
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (
    key INTEGER PRIMARY KEY, workspace TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, provider_id TEXT NOT NULL,
    target TEXT NOT NULL, priority TEXT, tags TEXT, policy TEXT NOT NULL, status TEXT NOT NULL, created REAL NOT NULL,
    pending INTEGER NOT NULL, failed INTEGER NOT NULL, closing INTEGER NOT NULL, last_submission REAL,
    last_job_end REAL, ended REAL, UNIQUE (workspace, id));
CREATE INDEX sessions_by_time ON sessions (workspace, created, key);
CREATE INDEX live_sessions ON sessions (key) WHERE ended IS NULL;
CREATE TABLE jobs (
    key INTEGER PRIMARY KEY, workspace TEXT NOT NULL, id TEXT NOT NULL, session_key INTEGER REFERENCES sessions (key),
    name TEXT, provider_id TEXT NOT NULL, target TEXT NOT NULL, priority TEXT, tags TEXT, status TEXT NOT NULL,
    created REAL NOT NULL, began REAL, ended REAL, cancelled REAL, modified REAL, error TEXT,
    output_blob TEXT NOT NULL, request TEXT NOT NULL, deleted INTEGER NOT NULL DEFAULT 0, UNIQUE (workspace, id));
CREATE INDEX jobs_by_time ON jobs (workspace, created, key);
CREATE INDEX jobs_by_name ON jobs (workspace, name);
CREATE INDEX session_jobs_by_time ON jobs (session_key, created, key);
CREATE INDEX session_jobs_by_name ON jobs (session_key, name);
CREATE INDEX pending_jobs ON jobs (key) WHERE ended IS NULL;
CREATE TABLE containers (name TEXT PRIMARY KEY, created REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE blobs (
    container TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, content_type TEXT NOT NULL,
    content_encoding TEXT NOT NULL, etag TEXT NOT NULL, modified REAL NOT NULL,
    PRIMARY KEY (container, name)) WITHOUT ROWID;
"""

# `price` in `unit`; `bill` is the whole of it as JSON; `duplicate_of` the key of the job that a later one repeated
LEDGER = """
ALTER TABLE jobs ADD COLUMN place TEXT;
ALTER TABLE jobs ADD COLUMN attempt TEXT;
ALTER TABLE jobs ADD COLUMN shots INTEGER;
ALTER TABLE jobs ADD COLUMN price REAL;
ALTER TABLE jobs ADD COLUMN unit TEXT;
ALTER TABLE jobs ADD COLUMN bill TEXT;
ALTER TABLE jobs ADD COLUMN duplicate_of INTEGER;
UPDATE jobs SET place = json_extract(request, '$.metadata.place'),
    attempt = json_extract(request, '$.metadata.attempt'),
    shots = CASE json_type(request, '$.params.shots') WHEN 'integer' THEN json_extract(request, '$.params.shots') END;
CREATE INDEX jobs_by_place ON jobs (place, workspace, key) WHERE place IS NOT NULL;
CREATE INDEX duplicate_jobs ON jobs (key) WHERE duplicate_of IS NOT NULL;
CREATE INDEX jobs_by_price ON jobs (session_key, status, unit, price, shots);
"""

# `course` is what a job goes through besides its computing, as JSON; `finished` when its execution was over
COURSES = """
ALTER TABLE jobs ADD COLUMN course TEXT;
ALTER TABLE jobs ADD COLUMN finished REAL;
"""

# for lists by state, and of what belongs to no session
LISTS = """
CREATE INDEX jobs_by_state ON jobs (workspace, status, created, key);
CREATE INDEX session_jobs_by_state ON jobs (session_key, status, created, key);
CREATE INDEX lone_jobs_by_time ON jobs (workspace, created, key) WHERE session_key IS NULL;
"""

# for the ledger, which is asked for a session without its workspace
SESSIONS = """
CREATE INDEX sessions_by_id ON sessions (id);
"""

STEPS = (FIRST_TABLES, LEDGER, COURSES, LISTS, SESSIONS)


class UnknownSchema(Exception):
    """The books were written by a later version of this program."""


def bring_up_to_date(db: sqlite3.Connection) -> None:
    """Make the steps that are missing, each with its record in one transaction."""
    made = int(db.execute("PRAGMA user_version").fetchone()[0])
    if made > len(STEPS):
        raise UnknownSchema(f"they are in form {made} and this program knows the forms up to {len(STEPS)}")
    for number, step in enumerate(STEPS[made:], made + 1):
        db.executescript(f"BEGIN IMMEDIATE; {step} PRAGMA user_version = {number}; COMMIT;")
