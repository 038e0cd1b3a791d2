"""Restored backups: limits stay the stricter ones, and no job that was paid is forgotten or counted twice."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hybridloop.errors import LimitReached
from hybridloop.journal import Job, Journal, Lease, journal_url
from hybridloop.journal.backup import back_up, restore
from hybridloop.journal.limits import Period, RunLimit
from tests.journal.journal_helpers import BODY, PROGRAM, TARGET, counts, new_run, pub
from tests.journal.postgresql_helpers import new_database
from tests.long_form import long_form, short_or_long

RUNS = 3
NewUrl = Callable[[], str]


@pytest.fixture(params=["sqlite", "postgresql"])
def new_urls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewUrl:
    """Return a function that returns the URL of a journal that does not exist yet."""
    if request.param == "sqlite":
        return lambda: journal_url(tmp_path_factory.mktemp("journal") / "journal.db")
    server = request.getfixturevalue("postgresql")
    return lambda: new_database(server)


class Team:
    """Runs that share a journal and a limit, and what the service has of their jobs, which are billed as reserved."""

    def __init__(self, journal: Journal, folder: Path) -> None:
        self.journal = journal
        self.environ = {"HYBRIDLOOP_JOURNAL": journal.location.url.render_as_string(hide_password=False)}
        self.environ["HYBRIDLOOP_HOME"] = str(folder)
        self.backup = folder / "backup.db"
        self.at_service: dict[str, float] = {}
        self.generation = 0  # jobs that are measured again after a deletion are others
        self.limit = self.limit_in_backup = math.inf

    def step(self, kind: str, n: int) -> None:
        """Do one thing, of run number n, and check all sums."""
        getattr(self, kind)(n)
        taken = sum(each.spent + each.reserved for each in self.journal.amounts() if each.unit == "USD")
        assert taken == pytest.approx(sum(self.at_service.values()))
        limits = self.journal.limits()
        assert [state.limit.amount for state in limits] == [self.limit] * (self.limit < math.inf)
        assert all(state.spent + state.reserved == pytest.approx(taken) for state in limits)
        self.journal.check_sums()

    def measure(self, n: int) -> None:
        """Begin a round of one job, which the service may have already, and end it; an odd run leaves it in flight."""
        lease = self._hold(n)
        sequence = self.journal.progress(lease.run_uid).rounds
        job_id = str(uuid.uuid5(uuid.UUID(lease.run_uid), f"{self.generation}/{sequence}"))
        price = 1.0 + int(job_id[:4], 16) % 8
        job = Job(job_id, 0, 0, 0, 0, 100, None, 0, {"USD": price})
        taken = sum(self.at_service.values()) + (0.0 if job_id in self.at_service else price)
        try:
            self.journal.begin_round(lease, "main", sequence, TARGET, [pub(points=1)], [job], {PROGRAM: BODY})
        except LimitReached:
            assert taken > self.limit
            return
        finally:
            self.journal.release(lease)
        assert taken <= self.limit
        self.at_service[job_id] = price

    def end(self, n: int) -> None:
        """End the job of the run's last round."""
        lease = self._hold(n)
        last = self.journal.progress(lease.run_uid).rounds - 1
        if last >= 0 and (found := self.journal.round(lease.run_uid, "main", last)) is not None:
            ended = [replace(job, state="done", counts=(counts(),), billed=job.reserved) for job in found.jobs]
            self.journal.record_outcomes(lease, "main", last, ended, complete=True)
        self.journal.release(lease)

    def set_limit(self, n: int) -> None:
        """Set the limit."""
        self.limit = 5.0 + 10.0 * n
        self.journal.put_limit(RunLimit("team", "USD", self.limit, Period.EVER, {"target": TARGET}))

    def delete_measurements(self, n: int) -> None:
        """Delete what a run has measured."""
        if (run := self.journal.run_by_key(f"run-{n}")) is not None:
            self.generation += self.journal.delete_measurements([run.uid])

    def delete(self, n: int) -> None:
        """Delete a run."""
        if (run := self.journal.run_by_key(f"run-{n}")) is not None:
            self.generation += self.journal.delete_runs([run.uid])

    def back_up(self, _: int) -> None:
        """Make the backup."""
        self.backup.unlink(missing_ok=True)
        back_up(self.backup, self.environ)
        self.limit_in_backup = self.limit

    def restore(self, _: int) -> None:
        """Put the backup in the journal's place, if there is one."""
        if self.backup.exists():
            restore(self.backup, self.environ)
            self.limit = min(self.limit, self.limit_in_backup)

    def _hold(self, n: int) -> Lease:
        record = self.journal.run_by_key(f"run-{n}") or self.journal.add_run(new_run(f"run-{n}"))
        return self.journal.take_lease(record.uid)


KINDS = ("measure", "end", "set_limit", "delete_measurements", "delete", "back_up", "restore")
WEIGHTS = ("measure",) * 6 + ("end",) * 3 + ("restore",) * 2 + KINDS
MEASURED = [("measure", 0), ("end", 0), ("measure", 0)]
EXAMPLES: Mapping[str, list[tuple[str, int]]] = {
    "a limit that is lowered": [("set_limit", 2), ("back_up", 0), ("set_limit", 0), ("restore", 0)],
    "jobs since": [("set_limit", 1), ("back_up", 0), *MEASURED, ("restore", 0), *MEASURED, *MEASURED],
    "in flight, then ended": [("measure", 0), ("back_up", 0), ("end", 0), ("restore", 0), ("end", 0)],
    "deleted since": [*MEASURED, ("back_up", 0), ("delete_measurements", 0), ("restore", 0), *MEASURED],
    "deleted before": [*MEASURED, ("delete", 0), ("back_up", 0), ("measure", 1), ("restore", 0), ("restore", 0)],
    "brought back": [*MEASURED, ("back_up", 0), ("delete", 0), ("restore", 0), *MEASURED, ("restore", 0)],
    "measured and deleted since": [*MEASURED, ("back_up", 0), *MEASURED, ("delete", 0), ("restore", 0)],
}


@long_form
@pytest.mark.slow
@settings(
    max_examples=short_or_long(15, 300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.tuples(st.sampled_from(WEIGHTS), st.integers(0, RUNS - 1)), max_size=25))
@example(steps=EXAMPLES["a limit that is lowered"])
@example(steps=EXAMPLES["jobs since"])
@example(steps=EXAMPLES["in flight, then ended"])
@example(steps=EXAMPLES["deleted since"])
@example(steps=EXAMPLES["deleted before"])
@example(steps=EXAMPLES["brought back"])
@example(steps=EXAMPLES["measured and deleted since"])
def test_whatever_is_restored_each_job_is_counted_once_and_limits_are_the_stricter_ones(
    steps: list[tuple[str, int]], new_urls: NewUrl, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Journal(new_urls()) as journal:
        team = Team(journal, tmp_path_factory.mktemp("team"))
        for kind, n in steps:
            team.step(kind, n)
