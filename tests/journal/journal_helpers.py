"""Helpers of the journal's tests: runs, rounds, jobs and owners to write."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import sqlalchemy

from hybridloop.algorithms.rounds import Counts
from hybridloop.journal import (
    Job,
    Journal,
    Lease,
    Owner,
    Ping,
    PubRecord,
    RoundRecord,
    RunRecord,
    SessionRow,
)
from hybridloop.journal.storage.location import Location

PROGRAM = "structure:0a1b:base"
BODY = b'{"qir": "..."}'
TARGET = "rigetti.sim.qvm"


def new_run(key: str = "h2-night", *, flow_run_id: str | None = None) -> RunRecord:
    """Return a new run with a random uid."""
    settings = {"shots": 1000, "problem": "h2", "bond": 0.735, "none": None, "text": "Ångström \0 \udce9"}
    return RunRecord(
        str(uuid.uuid4()), key, "vqe", "h2", TARGET, 2**70 + 1, settings, flow_run_id, {"hybridloop": "0.1.0"}
    )


def add_claimed_run(journal: Journal, key: str = "h2-night") -> Lease:
    """Add a run and claim it for this process."""
    return journal.take_lease(journal.add_run(new_run(key)).uid)


def owner_elsewhere(pid: int = 17) -> Owner:
    """Return an owner on another machine: it can't be known here if it is alive."""
    return Owner("node3", "another-boot", pid, 1000.0, uuid.uuid4().hex)


def pub(*, points: int = 8, seed: int = 0) -> PubRecord:
    """Return a PUB of two parameters and three slots."""
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


def intents(*, points: int = 8, attempt: int = 0) -> list[Job]:
    """Return the jobs of `pub`."""
    return [
        Job(str(uuid.uuid4()), 0, point, 0, attempt, 1000, None, 0, {"USD": 0.5, "HQC": 3.0}) for point in range(points)
    ]


def counts(seed: int = 0, *, outcomes: int = 20) -> Counts:
    """Return counts over 12 bits."""
    generator = np.random.default_rng(seed)
    values = generator.choice(2**12, outcomes, replace=False)
    return Counts.from_bitstrings({f"{value:012b}": int(generator.integers(1, 99)) for value in values})


def outcomes(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs, all done."""
    return [replace(job, state="done", counts=(counts(seed),), billed={"USD": 0.25}) for seed, job in enumerate(jobs)]


def measure(journal: Journal, lease: Lease, sequence: int, *, points: int = 8, stream: str = "main") -> list[str]:
    """Write a complete round, and return its jobs' ids."""
    jobs = intents(points=points)
    ids = [job.id for job in jobs]
    journal.begin_round(lease, stream, sequence, TARGET, [pub(points=points, seed=sequence)], jobs, {PROGRAM: BODY})
    journal.mark_submitted(lease, ids)
    journal.record_outcomes(lease, stream, sequence, outcomes(jobs), complete=True)
    return ids


def session(ordinal: int = 0) -> SessionRow:
    """Return an open session."""
    return SessionRow(ordinal, f"session-{ordinal}", TARGET, "Open", "" if ordinal == 0 else "timed out", 100.0)


def ping(n: int = 0) -> Ping:
    """Return a ping that was not sent yet."""
    return Ping(str(uuid.uuid4()), 0, n, {"USD": 0.01})


def round_values(record: RoundRecord) -> object:
    """Return all values of a round in types that compare with ==."""
    return (
        record.stream,
        record.sequence,
        record.target,
        record.complete,
        [
            (p.fingerprint, p.program, p.shots, p.points.tolist(), p.slots.tolist(), p.measured, p.num_clbits)
            for p in record.pubs
        ],
        [
            (
                *(j.id, j.pub, j.point, j.part, j.attempt, j.shots, j.program, j.session, dict(j.reserved)),
                *(j.state, j.reason, j.billed, j.counts and [(part.bitstrings(), part.exact) for part in j.counts]),
            )
            for j in record.jobs
        ],
    )


def execute(url: str, statement: str) -> None:
    """Execute a statement past the journal."""
    location = Location.parse(url)
    engine = sqlalchemy.create_engine(location.url)
    with engine.begin() as connection:
        if not location.is_file:
            connection.exec_driver_sql(f"SET search_path TO {location.schema}")
        connection.exec_driver_sql(statement)
    engine.dispose()
