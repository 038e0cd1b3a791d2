"""Schema of the database as a list of migrations; an older database gets those that it lacks when it is opened.

A released migration never changes; a change of the schema is a further migration. `PRAGMA user_version` holds the
number of migrations that a database has.
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

# `price` is in `unit`; `bill` is the whole bill as JSON; `duplicate_of` is the key of the earlier job of the same place
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

# `course` is the job's latency and fate as JSON; `finished` is the time when its execution was over
COURSES = """
ALTER TABLE jobs ADD COLUMN course TEXT;
ALTER TABLE jobs ADD COLUMN finished REAL;
"""

# for lists by state, and of jobs without a session
LISTS = """
CREATE INDEX jobs_by_state ON jobs (workspace, status, created, key);
CREATE INDEX session_jobs_by_state ON jobs (session_key, status, created, key);
CREATE INDEX lone_jobs_by_time ON jobs (workspace, created, key) WHERE session_key IS NULL;
"""

# for the ledger, whose session filter has no workspace
SESSIONS = """
CREATE INDEX sessions_by_id ON sessions (id);
"""

MIGRATIONS = (FIRST_TABLES, LEDGER, COURSES, LISTS, SESSIONS)


class UnknownSchema(Exception):
    """The database was written by a later version of hybridloop."""


def migrate(db: sqlite3.Connection) -> None:
    """Run the missing migrations, each in one transaction with the new version number.

    Raises UnknownSchema if the database has more migrations than this version of hybridloop.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        problem = f"its schema version is {version}, and this hybridloop knows versions up to {len(MIGRATIONS)}"
        raise UnknownSchema(problem)
    for number, migration in enumerate(MIGRATIONS[version:], version + 1):
        db.executescript(f"BEGIN IMMEDIATE; {migration} PRAGMA user_version = {number}; COMMIT;")
