"""Runs and rounds to fill a journal with."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import numpy as np
import sqlalchemy

from hybridloop.algorithms.rounds import Counts
from hybridloop.sessions.journal import (
    JobIntent,
    JobOutcome,
    JobRecord,
    Journal,
    Lease,
    NewRun,
    Owner,
    Ping,
    PubRecord,
    RoundRecord,
    SessionRow,
)
from hybridloop.sessions.journal.location import Location

PROGRAM = "structure:0a1b:base"
BODY = b'{"qir": "..."}'
TARGET = "rigetti.sim.qvm"


def new_run(key: str = "h2-night", *, flow_run_id: str | None = None) -> NewRun:
    """A run that was never there before, for this key."""
    settings = {"shots": 1000, "problem": "h2", "bond": 0.735, "none": None, "text": "Ångström \0 \udce9"}
    return NewRun(
        str(uuid.uuid4()), key, "vqe", "h2", TARGET, 2**70 + 1, settings, flow_run_id, {"hybridloop": "0.1.0"}
    )


def claimed(journal: Journal, key: str = "h2-night") -> Lease:
    """A new run that this process holds."""
    return journal.claim(journal.add_run(new_run(key)).uid)


def owner_elsewhere(pid: int = 17) -> Owner:
    """A process on another machine, of which nobody here knows whether it lives."""
    return Owner("node3", "another-boot", pid, 1000.0, uuid.uuid4().hex)


def pub(*, points: int = 8, seed: int = 0) -> PubRecord:
    """A PUB of two parameters and three slots."""
    generator = np.random.default_rng(seed)
    return PubRecord(
        f"{seed:064x}",
        PROGRAM,
        1000,
        generator.normal(size=(points, 2)),
        generator.normal(size=(points, 3)),
        (0, 2, 1),
        12,
    )


def intents(*, points: int = 8, attempt: int = 0) -> list[JobIntent]:
    """The jobs of `pub`."""
    return [
        JobIntent(str(uuid.uuid4()), 0, point, 0, attempt, 1000, None, 0, {"USD": 0.5, "HQC": 3.0})
        for point in range(points)
    ]


def counts(seed: int = 0, *, outcomes: int = 20) -> Counts:
    """Counts over 12 bits."""
    generator = np.random.default_rng(seed)
    values = generator.choice(2**12, outcomes, replace=False)
    return Counts.from_bitstrings({f"{value:012b}": int(generator.integers(1, 99)) for value in values})


def outcomes(jobs: Sequence[JobIntent | JobRecord]) -> list[JobOutcome]:
    """All of them done."""
    return [JobOutcome(job.id, "done", counts(seed), "", {"USD": 0.25}) for seed, job in enumerate(jobs)]


def measure(journal: Journal, lease: Lease, sequence: int, *, points: int = 8, stream: str = "main") -> list[str]:
    """Write a whole round; its jobs' ids."""
    asked = intents(points=points)
    ids = [job.id for job in asked]
    journal.begin_round(lease, stream, sequence, TARGET, [pub(points=points, seed=sequence)], asked, {PROGRAM: BODY})
    journal.submitted(lease, ids)
    journal.finished(lease, stream, sequence, outcomes(asked), complete=True)
    return ids


def session(ordinal: int = 0) -> SessionRow:
    """A session that was opened."""
    return SessionRow(ordinal, f"session-{ordinal}", TARGET, "Open", "" if ordinal == 0 else "timed out", 100.0)


def ping(n: int = 0) -> Ping:
    """A ping that is intended."""
    return Ping(str(uuid.uuid4()), 0, n, {"USD": 0.01})


def image(found: RoundRecord) -> object:
    """All that a round says, in values that compare."""
    return (
        found.stream,
        found.sequence,
        found.target,
        found.complete,
        [
            (p.fingerprint, p.program, p.shots, p.points.tolist(), p.slots.tolist(), p.measured, p.num_clbits)
            for p in found.pubs
        ],
        [
            (
                *(j.id, j.pub, j.point, j.part, j.attempt, j.shots, j.program, j.session, dict(j.reserved)),
                *(j.state, j.reason, j.billed, j.counts and (j.counts.bitstrings(), j.counts.exact)),
            )
            for j in found.jobs
        ],
    )


def execute(url: str, statement: str) -> None:
    """What somebody else does to the database."""
    location = Location.parse(url)
    engine = sqlalchemy.create_engine(location.url)
    with engine.begin() as connection:
        if not location.is_file:
            connection.exec_driver_sql(f"SET search_path TO {location.schema}")
        connection.exec_driver_sql(statement)
    engine.dispose()
