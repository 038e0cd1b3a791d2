"""A process that measures rounds under limits, and kills itself now and then: URL, KEY, SEED, ROUNDS."""

from __future__ import annotations

import os
import random
import signal
import sys
import uuid
from collections.abc import Sequence
from dataclasses import replace

from hybridloop.errors import LimitReached
from hybridloop.journal import Job, Journal
from tests.journal.journal_helpers import BODY, PROGRAM, TARGET, counts, pub

DEADLY = 0.04
MOST = 5.0


def ended(jobs: Sequence[Job], drawn: random.Random) -> list[Job]:
    """Return the jobs, done; some have no bill, and so count as reserved."""
    billed = [{"USD": drawn.uniform(0.0, job.reserved["USD"])} for job in jobs]
    return [
        replace(job, state="done", counts=(counts(1),), billed=None if drawn.random() < 0.2 else bill)
        for job, bill in zip(jobs, billed, strict=True)
    ]


def measure(url: str, key: str, seed: int, rounds: int) -> int:
    """Measure until the run has so many rounds; return the exit code of a command: 3 if a limit ended it."""
    drawn = random.Random(seed)

    def may_die() -> None:
        if drawn.random() < DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)

    with Journal(url) as journal:
        run = journal.run(key)
        lease = journal.take_lease(run.uid)
        for sequence in range(rounds):
            stored = journal.round(run.uid, "main", sequence)
            if stored is None:
                jobs = [
                    Job(str(uuid.uuid4()), 0, point, 0, 0, 100, None, 0, {"USD": drawn.uniform(0.1, MOST)})
                    for point in range(3)
                ]
                bodies = {PROGRAM: BODY}
                try:
                    journal.begin_round(lease, "main", sequence, TARGET, [pub(points=3)], jobs, bodies)
                except LimitReached:
                    journal.release(lease)
                    return 3
            else:
                jobs = [job for job in stored.jobs if job.state in ("intended", "submitted")]
            may_die()
            if jobs:
                journal.record_outcomes(lease, "main", sequence, ended(jobs[:2], drawn), complete=False)
                may_die()
                journal.record_outcomes(lease, "main", sequence, ended(jobs[2:], drawn), complete=True)
        journal.release(lease)
    return 0


if __name__ == "__main__":
    url, key, seed, rounds = sys.argv[1:]
    sys.exit(measure(url, key, int(seed), int(rounds)))
