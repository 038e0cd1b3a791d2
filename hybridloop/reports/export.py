"""A run as one JSON document, for an archive or another program; it holds no secret, because the journal holds none."""

from __future__ import annotations

import dataclasses
from typing import Any

from hybridloop.journal import JobRecord, PubRecord, RoundRecord, RunRecord
from hybridloop.runs.stored_run import KeptRun

FORMAT = "hybridloop run, version 1"


def exported(kept: KeptRun) -> dict[str, Any]:
    """Settings, versions, result, sessions, pings, events, and every round with its counts. Times are epoch seconds."""
    record = kept.record
    return {
        "format": FORMAT,
        "run": run_fields(record),
        "settings": dict(record.settings),
        "versions": dict(record.versions),
        "result": None if record.result is None else dict(record.result),
        "sessions": [dataclasses.asdict(row) for row in kept.sessions],
        "pings": [dataclasses.asdict(ping) for ping in kept.pings],
        "events": [dataclasses.asdict(event) for event in kept.events],
        "rounds": [_round(each) for each in kept.rounds()],
    }


def run_fields(run: RunRecord) -> dict[str, Any]:
    """What a run is and how it stands, without what it was given and what it came to."""
    return {
        "uid": run.uid,
        "key": run.key,
        "algorithm": run.algorithm,
        "problem": run.problem,
        "target": run.target,
        "seed": run.seed,
        "flow_run_id": run.flow_run_id,
        "status": run.status,
        "reason": run.reason,
        "created_at": run.created_at,
        "updated_at": run.updated_at,
    }


def round_fields(round_: RoundRecord) -> dict[str, Any]:
    """A round without its circuits and jobs."""
    return {
        "stream": round_.stream,
        "sequence": round_.sequence,
        "target": round_.target,
        "complete": round_.complete,
    }


def circuit_fields(pub: PubRecord) -> dict[str, Any]:
    """A circuit of a round without the points that it was measured at."""
    return {
        "fingerprint": pub.fingerprint,
        "program": pub.program,
        "shots": pub.shots,
        "measured": list(pub.measured),
        "num_clbits": pub.num_clbits,
    }


def job_fields(job: JobRecord) -> dict[str, Any]:
    """A job without its counts."""
    return {
        "id": job.id,
        "circuit": job.pub,
        "point": job.point,
        "part": job.part,
        "attempt": job.attempt,
        "shots": job.shots,
        "session": job.session,
        "state": job.state,
        "reason": job.reason,
        "reserved": dict(job.reserved),
        "billed": None if job.billed is None else dict(job.billed),
    }


def _round(round_: RoundRecord) -> dict[str, Any]:
    return {
        **round_fields(round_),
        "circuits": [
            {**circuit_fields(pub), "points": pub.points.tolist(), "angles": pub.slots.tolist()} for pub in round_.pubs
        ],
        "jobs": [_job(job) for job in round_.jobs],
    }


def _job(job: JobRecord) -> dict[str, Any]:
    return {
        **job_fields(job),
        "counts": None if job.counts is None else job.counts.bitstrings(),
        "exact": None if job.counts is None else job.counts.exact,
    }
