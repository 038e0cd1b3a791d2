"""Runs with thousands of jobs, made without a service by repeating the rounds of a small one."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from hybridloop.journal import RoundRecord, Span, round_span_key
from hybridloop.runs.stored_run import StoredRun
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey

ROUND_S, PAUSE_S = 20.0, 1.5
A_SESSION = 100  # rounds


def long_run(small: StoredRun, jobs: int) -> StoredRun:
    """Return a run that repeats the small run's rounds until it has so many jobs, in sessions of 100 rounds."""
    generator = np.random.default_rng(1)
    rounds: list[RoundRecord] = []
    total = 0
    for number, round_ in enumerate(itertools.cycle(list(small.rounds()))):
        if total >= jobs:
            break
        place = RoundKey(small.record.uid, round_.stream, number)
        again = tuple(
            replace(
                job, id=JobKey(place, job.pub, job.point, job.part).job_id(job.attempt), session=number // A_SESSION
            )
            for job in round_.jobs
        )
        rounds.append(replace(round_, sequence=number, jobs=again))
        total += len(again)
    result = small.record.result
    assert result is not None
    (first, *_) = result["history"]
    history = [
        {**first, "round": number + 1, "value": first["value"] + float(generator.normal(0, 0.003))}
        for number in range(len(rounds))
    ]
    start = small.record.created_at
    begun = [start + number * (ROUND_S + PAUSE_S) for number in range(len(rounds))]
    (session, *_) = small.sessions
    sessions = [
        replace(
            session,
            ordinal=ordinal,
            id=f"{ordinal:08d}-0000-5000-8000-000000000000",
            reason="TimedOut" if ordinal else "",
            opened_at=begun[ordinal * A_SESSION],
            ended_at=begun[min(len(begun), (ordinal + 1) * A_SESSION) - 1] + ROUND_S,
        )
        for ordinal in range(-(-len(rounds) // A_SESSION))
    ]
    return replace(
        small,
        record=replace(small.record, result={**result, "history": history, "rounds": len(rounds)}),
        sessions=sessions,
        rounds=lambda: iter(rounds),
        spans={
            round_span_key(each.stream, each.sequence): Span(at, at + ROUND_S)
            for each, at in zip(rounds, begun, strict=True)
        },
    )
