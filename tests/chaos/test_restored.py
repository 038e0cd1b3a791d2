"""A run whose journal was restored from a backup finds the jobs that were sent since, and pays for none again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hybridloop.emulator.pytest_plugin import Emulator
from hybridloop.journal import Journal, journal_url
from tests.chaos.process_helpers import KILLED, Reference, Trial
from tests.long_form import long_form, short_or_long

SEARCH = "trigonometric"
CLOSED_BEFORE_ROUNDS = (3, 6)  # the session is closed before these rounds, so that the backup lacks a later session
# the backup is of the moment of the first kill; the second one ends the process that went on, or it ends by itself
PAIRS = short_or_long(
    [
        ("open.before:1", ""),
        ("intent.after:2", "put.after:29"),
        ("put.after:10", ""),
        ("commit.before:2", "commit.after:8"),
    ],
    [
        (first, second)
        for first in (
            "open.before:1",
            "open.after:1",
            "intent.after:2",
            "put.after:10",
            "commit.before:2",
            "renew.before:1",
        )
        for second in ("", "put.after:29", "answer.before:6", "result.before:40", "commit.after:8", "renew.after:1")
    ],
)


@long_form
@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_run_of_a_restored_journal_ends_with_the_same_answer_and_jobs(
    first: str, second: str, service: Emulator, tmp_path: Path, undisturbed: Callable[[str], Reference]
) -> None:
    trial = Trial.of(service, tmp_path, SEARCH, closed_underfoot=CLOSED_BEFORE_ROUNDS)
    assert trial.resume(crash_at=first) == KILLED
    backup = tmp_path / "backup.db"
    with Journal(journal_url(trial.order.journal)) as journal:
        assert journal.copy_to(backup) == 1
    assert trial.resume(crash_at=second) == (KILLED if second else 0)
    jobs = trial.jobs()
    with Journal(journal_url(trial.order.journal)) as journal:
        sessions = len(journal.sessions(trial.order.uid))
        with Journal(journal_url(backup)) as earlier, journal.replacing() as put:
            put(earlier)
        assert len(journal.sessions(trial.order.uid)) <= sessions
    assert trial.resume(closed_underfoot=()) == 0
    trial.check(undisturbed(SEARCH))
    assert trial.jobs() >= jobs
