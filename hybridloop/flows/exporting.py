"""A run as one JSON document, for an archive or another program; it holds no secret, because the journal holds none."""

from __future__ import annotations

import dataclasses
from typing import Any

from hybridloop.flows.kept import KeptRun
from hybridloop.sessions.journal import JobRecord, PubRecord, RoundRecord

FORMAT = "hybridloop run, version 1"


def exported(kept: KeptRun) -> dict[str, Any]:
    """Settings, versions, result, sessions, pings, events, and every round with its counts. Times are epoch seconds."""
    record = kept.record
    run = {
        "uid": record.uid,
        "key": record.key,
        "algorithm": record.algorithm,
        "problem": record.problem,
        "target": record.target,
        "seed": record.seed,
        "flow_run_id": record.flow_run_id,
        "status": record.status,
        "reason": record.reason,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }
    return {
        "format": FORMAT,
        "run": run,
        "settings": dict(record.settings),
        "versions": dict(record.versions),
        "result": None if record.result is None else dict(record.result),
        "sessions": [dataclasses.asdict(row) for row in kept.sessions],
        "pings": [dataclasses.asdict(ping) for ping in kept.pings],
        "events": [dataclasses.asdict(event) for event in kept.events],
        "rounds": [_round(each) for each in kept.rounds()],
    }


def _round(record: RoundRecord) -> dict[str, Any]:
    return {
        "stream": record.stream,
        "sequence": record.sequence,
        "target": record.target,
        "complete": record.complete,
        "circuits": [_pub(pub) for pub in record.pubs],
        "jobs": [_job(job) for job in record.jobs],
    }


def _pub(pub: PubRecord) -> dict[str, Any]:
    return {
        "fingerprint": pub.fingerprint,
        "program": pub.program,
        "shots": pub.shots,
        "points": pub.points.tolist(),
        "angles": pub.slots.tolist(),
        "measured": list(pub.measured),
        "num_clbits": pub.num_clbits,
    }


def _job(job: JobRecord) -> dict[str, Any]:
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
        "counts": None if job.counts is None else job.counts.bitstrings(),
        "exact": None if job.counts is None else job.counts.exact,
    }
