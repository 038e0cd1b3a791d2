"""A run as one JSON document, for an archive or another program; it holds no secret, because the journal holds none."""

from __future__ import annotations

import dataclasses
from typing import Any

from hybridloop.sessions.journal import JobRecord, Journal, PubRecord, RoundRecord, RunRecord

FORMAT = "hybridloop run, version 1"


def exported(journal: Journal, record: RunRecord) -> dict[str, Any]:
    """Settings, versions, result, sessions, pings, events, and every round with its counts. Times are epoch seconds."""
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
        "sessions": [dataclasses.asdict(row) for row in journal.sessions(record.uid)],
        "pings": [dataclasses.asdict(ping) for ping in journal.pings(record.uid)],
        "events": [dataclasses.asdict(event) for event in journal.events(record.uid)],
        "rounds": [_round(each) for each in journal.rounds(record.uid)],
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
