"""Export of a run as one JSON document. It holds no secret, because the journal holds none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from hybridloop.journal import Job, PubRecord, RoundRecord, RunRecord
from hybridloop.runs.stored_run import StoredRun

FORMAT = "hybridloop run, version 1"
RUN_FIELDS = (
    *("uid", "key", "algorithm", "problem", "target", "seed", "flow_run_id"),
    *("status", "reason", "created_at", "updated_at"),
)


def export_run(run: StoredRun) -> dict[str, Any]:
    """Return settings, versions, result, sessions, pings, events, and rounds with counts. Times are epoch seconds."""
    record = run.record
    return {
        "format": FORMAT,
        "run": run_fields(record),
        "settings": dict(record.settings),
        "versions": dict(record.versions),
        "result": None if record.result is None else dict(record.result),
        "sessions": [asdict(row) for row in run.sessions],
        "pings": [asdict(ping) for ping in run.pings],
        "events": [asdict(event) for event in run.events],
        "rounds": [_round(round_) for round_ in run.rounds()],
    }


def run_fields(run: RunRecord) -> dict[str, Any]:
    """Return identity, status and times of a run, without settings and result."""
    return _fields(run, RUN_FIELDS)


def round_fields(round_: RoundRecord) -> dict[str, Any]:
    """Return a round without its circuits and jobs."""
    return _fields(round_, ("stream", "sequence", "target", "complete"))


def circuit_fields(pub: PubRecord) -> dict[str, Any]:
    """Return a circuit of a round without its points."""
    fields = _fields(pub, ("fingerprint", "program", "shots", "measured", "num_clbits"))
    return {**fields, "measured": list(pub.measured)}


def job_fields(job: Job) -> dict[str, Any]:
    """Return a job without its counts; one of many points has `slices`: circuit, point, part and shots of each."""
    return {
        "id": job.id,
        "circuit": job.pub,
        **_fields(job, ("point", "part", "attempt", "shots", "session", "state", "reason")),
        **({"slices": [list(part) for part in job.slices]} if job.slices else {}),
        "reserved": dict(job.reserved),
        "billed": None if job.billed is None else dict(job.billed),
    }


def _fields(record: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _round(round_: RoundRecord) -> dict[str, Any]:
    return {
        **round_fields(round_),
        "circuits": [
            {**circuit_fields(pub), "points": pub.points.tolist(), "angles": pub.slots.tolist()} for pub in round_.pubs
        ],
        "jobs": [_job(job) for job in round_.jobs],
    }


def _job(job: Job) -> dict[str, Any]:
    counts = job.counts
    listed = None if counts is None else [part.bitstrings() for part in counts]
    return {
        **job_fields(job),
        "counts": listed if listed is None or job.slices else listed[0],
        "exact": None if counts is None else counts[0].exact,
    }
