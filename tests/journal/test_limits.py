"""Limits over runs: what several processes reserve never exceeds one, and the days of all amounts sum to the ledger."""

from __future__ import annotations

import calendar
import itertools
import math
import random
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybridloop.errors import JournalDamaged, LimitReached
from hybridloop.journal import Job, Journal, Lease, journal_url
from hybridloop.journal.amounts import date_of
from hybridloop.journal.limits import LIMIT, Period, RunLimit, bounds_of
from hybridloop.journal.storage.rows import insert_rows, read_rows, update_rows
from hybridloop.journal.storage.schema import amounts, scopes
from hybridloop.setup_checks.services import check_journal
from tests.journal.journal_helpers import BODY, PROGRAM, TARGET, counts, new_run, ping, pub, session
from tests.long_form import long_form, short_or_long
from tests.paths import ROOT

MONTH_END = datetime(2026, 11, 30, 20, tzinfo=UTC).timestamp()
AZURE, HERE = "eastus.quantum.azure.com", "127.0.0.1"
PROCESSES, ROUNDS = 8, 30


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float = MONTH_END) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def add(journal: Journal, key: str, host: str = AZURE, tags: Sequence[str] = (), **more: str) -> Lease:
    """Add a run in a workspace on this host, and hold it."""
    given: Mapping[str, Any] = {"settings": {"tags": list(tags)}, "workspace": {"name": "team", "host": host}, **more}
    return journal.take_lease(journal.add_run(replace(new_run(key), settings=given)).uid)


def begin(journal: Journal, lease: Lease, *reserved: float, unit: str = "USD") -> list[Job]:
    """Begin a round with a job for each reserved amount; return its jobs."""
    sequence = journal.progress(lease.run_uid).rounds
    jobs = [Job(str(uuid.uuid4()), 0, n, 0, 0, 100, None, 0, {unit: each}) for n, each in enumerate(reserved)]
    journal.begin_round(lease, "main", sequence, TARGET, [pub(points=len(jobs))], jobs, {PROGRAM: BODY})
    return jobs


def end(journal: Journal, lease: Lease, jobs: Sequence[Job], *billed: float | None) -> None:
    """End the jobs of the last round with these bills in USD."""
    sequence = journal.progress(lease.run_uid).rounds - 1
    ended = [
        replace(job, state="done", counts=(counts(1),), billed=None if bill is None else {"USD": bill})
        for job, bill in zip(jobs, billed, strict=True)
    ]
    journal.record_outcomes(lease, "main", sequence, ended, complete=True)


def limits_of(journal: Journal, lease: Lease) -> set[str]:
    """Return the names of the limits that a run falls under."""
    record = journal.run(lease.run_uid)
    return {state.limit.name for state in journal.limits_of(record.target, record.settings)}


def test_a_round_that_would_exceed_a_limit_writes_nothing_and_names_it(new_url: str) -> None:
    clock = Clock()
    with Journal(new_url, now=clock) as journal:
        journal.put_limit(RunLimit("team", "USD", 10.0))
        first, second = add(journal, "first"), add(journal, "second")
        jobs = begin(journal, first, 4.0, 3.0)
        with pytest.raises(LimitReached) as reached:
            begin(journal, second, 4.0)
        assert str(reached.value) == (
            "limit team is reached: 10 USD per month is the limit, 0.00 USD spent, 7.00 USD reserved for jobs in "
            "flight, and the next jobs may take 4.00 USD. No further job was submitted, and all results are kept. The "
            "next period begins on 2026-12-01 (UTC): resume the run then (with --wait-for-limit housekeeping "
            "does), or after: hybridloop limit set team 11USD --per month"
        )
        assert reached.value.exit_code == 3
        assert journal.progress(second.run_uid).rounds == 0
        (event,) = [each for each in journal.events(second.run_uid) if each.kind == LIMIT]
        assert event.facts == {"limit": "team", "until": "2026-12-01", "needed": 4.0}
        end(journal, first, jobs, 1.0, None)  # without a bill a job counts as reserved
        (state,) = journal.limits()
        assert (state.spent, state.reserved, state.left) == (4.0, 0.0, 6.0)
        begin(journal, second, 6.0)
        with pytest.raises(LimitReached):
            begin(journal, first, 0.01)
        begin(journal, first, 1e6, unit="HQC")  # units never mix
        clock.now += 86400.0
        end_of = [each.limit.name for each in journal.limits() if each.spent == 0.0 and each.reserved == 6.0]
        assert end_of == ["team"]  # what is in flight counts in the new month, too
        assert journal.remove_limit("team")
        assert not journal.remove_limit("team")
        begin(journal, first, 100.0)


def test_a_limit_counts_the_runs_of_its_scope_and_local_ones_only_where_asked(new_url: str) -> None:
    with Journal(new_url) as journal:
        scopes = {
            "all": {},
            "tag": {"tag": "thesis"},
            "target": {"target": TARGET},
            "workspace": {"workspace": "team"},
            "deployment": {"deployment": "vqe/night"},
            "sweep": {"sweep": "curve"},
            "both": {"tag": "thesis", "sweep": "curve"},
        }
        for name, scope in scopes.items():
            journal.put_limit(RunLimit(name, "USD", 1000.0, Period.EVER, scope))
        journal.put_limit(RunLimit("with local", "USD", 1000.0, Period.EVER, counts_local=True))
        plain = add(journal, "plain")
        tagged = add(journal, "tagged", tags=("x", "thesis"))
        swept = add(journal, "swept", tags=("thesis",), sweep="curve", deployment="vqe/night")
        local = add(journal, "local", host=HERE, tags=("thesis",))
        for lease, amount in ((plain, 1.0), (tagged, 2.0), (swept, 4.0), (local, 8.0)):
            begin(journal, lease, amount)
        reserved = {state.limit.name: state.reserved for state in journal.limits()}
        assert reserved == {
            "all": 7.0,
            "tag": 6.0,
            "target": 7.0,
            "workspace": 7.0,
            "deployment": 4.0,
            "sweep": 4.0,
            "both": 4.0,
            "with local": 15.0,
        }
        assert limits_of(journal, local) == {"with local"}
        assert limits_of(journal, plain) == {"all", "target", "with local", "workspace"}
        journal.put_limit(RunLimit("with local", "USD", 15.0, Period.EVER, counts_local=True))
        command = "hybridloop limit set 'with local' {}USD --per ever --local"
        with pytest.raises(
            LimitReached, match=r"may take 0\.50 USD\. .*Resume the run after: " + command.format("15.50")
        ):
            begin(journal, local, 0.5)
        with pytest.raises(LimitReached, match=f"20.00 USD, more than the whole limit. .*after: {command.format(35)}"):
            begin(journal, local, 20.0)
        assert not any("-0.00" in str(state) for state in journal.limits())


def test_what_a_deleted_run_has_cost_counts_on(new_url: str) -> None:
    with Journal(new_url) as journal:
        journal.put_limit(RunLimit("team", "USD", 10.0))
        lease, unused = add(journal, "gone"), add(journal, "unused")
        end(journal, lease, begin(journal, lease, 3.0), 2.0)
        begin(journal, lease, 4.0)
        for each in (lease, unused):
            journal.release(each)
        assert journal.delete_runs([lease.run_uid, unused.run_uid]) == 2
        (state,) = journal.limits()
        assert (state.spent, state.reserved) == (6.0, 0.0)


@pytest.mark.claim("never exceeds a limit over them")
def test_a_clock_that_was_wrong_once_neither_frees_nor_holds_other_periods(
    new_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def at(year: int, month: int, day: int) -> float:
        return datetime(year, month, day, 12, tzinfo=UTC).timestamp()

    clock = Clock(at(2026, 11, 10))
    with Journal(new_url, now=clock) as journal:
        journal.put_limit(RunLimit("month", "USD", 100.0))
        journal.put_limit(RunLimit("day", "USD", 60.0, Period.DAY))
        lease, other = add(journal, "a"), add(journal, "b")
        end(journal, lease, begin(journal, lease, 50.0), 50.0)
        clock.now = at(2030, 1, 1)
        end(journal, lease, begin(journal, lease, 5.0), 5.0)
        in_flight = begin(journal, other, 55.0)
        assert not caplog.records
    with Journal(new_url, now=clock) as journal:
        clock.now = at(2026, 11, 10)
        for amount, is_taken in ((11.0, False), (10.0, True), (1.0, False)):  # 60 of 60 that day
            with nullcontext() if is_taken else pytest.raises(LimitReached, match="limit day is reached: 60 USD"):
                end(journal, lease, begin(journal, lease, amount), amount)
        end(journal, other, in_flight, 55.0)  # it was reserved in 2030, and counts there
        clock.now = at(2026, 11, 11)
        end(journal, lease, begin(journal, lease, 40.0), 40.0)
        with pytest.raises(LimitReached, match=r"limit month is reached: .*next period begins on 2026-12-01"):
            begin(journal, lease, 1.0)
        clock.now = at(2026, 12, 1)
        end(journal, lease, begin(journal, lease, 60.0), 60.0)
        assert [state.spent for state in journal.limits()] == [60.0, 60.0]
        clock.now = at(2030, 1, 1)
        assert [state.spent for state in journal.limits()] == [60.0, 60.0]
    (warning,) = caplog.records
    assert "2030-01-01" in warning.message


@given(day=st.integers(0, 40_000))
def test_periods_are_those_of_the_calendar(day: int) -> None:
    at = date(1970, 1, 1) + timedelta(days=day)
    weeks = calendar.Calendar().monthdatescalendar(at.year, at.month)
    (week,) = [each for each in weeks if at in each]
    days = calendar.monthrange(at.year, at.month)[1]
    expected = {
        Period.DAY: (at, 1),
        Period.WEEK: (week[0], 7),
        Period.MONTH: (at.replace(day=1), days),
    }
    for period, (first, length) in expected.items():
        begun = (first - date(1970, 1, 1)).days
        assert bounds_of(period, day) == (begun, begun + length)
    assert bounds_of(Period.EVER, day) == (None, None)


STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "end", "ping", "retry"]), st.integers(-5, 6), st.floats(0.01, 4.0)), max_size=40
)


SET_BACK = [("begin", 0, 1.0), ("begin", 0, 3.0), ("begin", 0, 4.0), ("ping", 0, 2.0), ("begin", 4, 1.0)]
IN_DECEMBER_TWICE = [("begin", 5, 9.0), ("end", 0, 1.0), ("end", 0, 1.0), ("begin", -2, 9.0), ("end", 2, 1.0)]


@long_form
@given(steps=STEPS)
@example(steps=[*SET_BACK, ("begin", -1, 1.0)])  # in the new month jobs have only begun
@example(steps=[*IN_DECEMBER_TWICE, ("retry", 0, 1.0)])  # what is reserved in November does not fit in December
@settings(max_examples=short_or_long(60, 200))
def test_over_the_end_of_a_month_days_sum_to_the_ledger_and_no_month_exceeds_the_limit(
    steps: list[tuple[str, int, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The clock jumps back and forth by hours."""
    clock, amount = Clock(), 12.0
    folder = tmp_path_factory.mktemp("months")
    with Journal(journal_url(folder / "journal.db"), now=clock) as journal:
        journal.put_limit(RunLimit("team", "USD", amount))
        lease = add(journal, "night")
        journal.add_session(lease, session())
        in_flight: list[tuple[int, Job]] = []
        numbers = itertools.count()
        for step, hours, cost in steps:
            clock.now = min(max(clock.now + 3600.0 * hours, MONTH_END - 7200.0), MONTH_END + 86400.0)
            try:
                if step == "begin":
                    sequence = journal.progress(lease.run_uid).rounds
                    in_flight += [(sequence, job) for job in begin(journal, lease, cost, cost / 3.0)]
                elif step == "ping":
                    new = replace(ping(next(numbers)), reserved={"USD": cost / 10.0})
                    journal.add_ping(lease, new)
                    journal.end_ping(lease, new.id, "submitted")
                    journal.end_ping(lease, new.id, "done" if cost > 1.0 else "lost", {"USD": cost / 20.0})
                elif in_flight:
                    sequence, job = in_flight.pop()
                    state = "done" if step == "end" else "failed"
                    billed = {"USD": job.reserved["USD"] / 2.0} if step == "end" else None
                    over = replace(job, state=state, counts=(counts(1),) if step == "end" else None, billed=billed)
                    journal.record_outcomes(lease, "main", sequence, [over], complete=False)
                    if step == "retry":
                        again = replace(job, id=str(uuid.uuid4()), attempt=job.attempt + 1)
                        journal.add_attempts(lease, "main", sequence, [again])
                        in_flight.append((sequence, again))
            except LimitReached:
                pass
            charged = math.fsum(
                (charge.reserved if charge.billed is None else charge.billed).get("USD", 0.0)
                for charge in journal.charges(lease.run_uid)
            )
            days = [each for each in journal.amounts() if each.unit == "USD"]
            assert math.fsum(each.spent + each.reserved for each in days) == pytest.approx(charged, abs=1e-6)
            months: defaultdict[str, float] = defaultdict(float)
            for each in days:
                months[date_of(each.day)[: len("2026-11")]] += each.spent + each.reserved
            reserved = math.fsum(each.reserved for each in days)
            assert reserved == pytest.approx(sum(job.reserved["USD"] for _, job in in_flight), abs=1e-6)
            assert all(taken <= amount + 1e-6 for taken in months.values())


@pytest.fixture
def under_a_limit(new_url: str) -> Iterator[Journal]:
    with Journal(new_url) as journal:
        for n in range(PROCESSES):
            journal.release(add(journal, f"run-{n}"))
        yield journal


@pytest.mark.slow
@long_form
@pytest.mark.parametrize("amount", short_or_long((300.0,), (300.0, 1e6)))
def test_eight_processes_that_are_killed_and_resumed_stay_within_a_limit(
    under_a_limit: Journal, new_url: str, amount: float
) -> None:
    journal, seeds = under_a_limit, itertools.count(1)
    journal.put_limit(RunLimit("team", "USD", amount))

    def start(key: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.journal.limit_process", new_url, key, str(next(seeds)), str(ROUNDS)]
        return subprocess.Popen(command, cwd=ROOT)

    running = {f"run-{n}": start(f"run-{n}") for n in range(PROCESSES)}
    deaths, ends, pause = 0, Counter[int](), threading.Event()
    try:
        while running:
            (state,) = journal.limits()
            assert state.spent + state.reserved <= amount * (1.0 + 1e-9)
            pause.wait(0.2)
            for key, process in list(running.items()):
                if (code := process.poll()) is None:
                    continue
                if code < 0:
                    deaths += 1
                    running[key] = start(key)
                else:
                    ends[code] += 1
                    del running[key]
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    (state,) = journal.limits()
    assert deaths > 0
    assert state.reserved == 0.0
    assert state.spent <= amount
    spent = [
        (charge.reserved if charge.billed is None else charge.billed)["USD"]
        for n in range(PROCESSES)
        for charge in journal.charges(journal.run(f"run-{n}").uid)
    ]
    assert state.spent == pytest.approx(math.fsum(spent), abs=1e-6)
    assert (ends == {0: PROCESSES}) if amount == 1e6 else ends[3] > 0


def test_a_run_that_limits_find_by_other_scopes_than_its_records_is_not_held(journal: Journal) -> None:
    lease = add(journal, "tagged", tags=("thesis",))
    journal.release(lease)
    with journal._database.write_transaction() as connection:
        insert_rows(connection, scopes, [{"kind": "tag", "value": "other", "run_uid": lease.run_uid}])
    with pytest.raises(JournalDamaged, match="limits would not find the run by what its record states"):
        journal.take_lease(lease.run_uid)


def test_names_of_targets_and_workspaces_are_the_same_in_any_case(journal: Journal) -> None:
    journal.put_limit(RunLimit("both", "USD", 10.0, Period.EVER, {"target": TARGET.upper(), "workspace": "Team"}))
    begin(journal, add(journal, "any"), 4.0)
    (state,) = journal.limits()
    assert (state.reserved, state.limit.scope) == (4.0, {"target": TARGET, "workspace": "team"})


TABLES = ("limits", "scopes", "amounts", "jobs", "pings", "totals", "runs")


@long_form
def test_a_changed_or_missing_row_is_told_before_a_run_is_held_or_changes_no_sum(tmp_path: Path) -> None:
    path, chance = tmp_path / "journal.db", random.Random(7)
    with Journal(journal_url(path), now=Clock()) as journal:
        journal.put_limit(RunLimit("team", "USD", 100.0))
        journal.put_limit(RunLimit("thesis", "USD", 50.0, Period.EVER, {"tag": "thesis"}))
        for n in range(3):
            lease = add(journal, f"run-{n}", tags=("thesis", "x")[: 1 + n % 2])
            end(journal, lease, begin(journal, lease, 3.0, 4.0), 2.0, None)
            begin(journal, lease, 1.0 + n)
            journal.add_session(lease, session())
            journal.add_ping(lease, replace(ping(0), reserved={"USD": 0.5}))
            journal.release(lease)
        uid, sound = lease.run_uid, journal.limits()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        columns = {
            table: [(each[1], each[5]) for each in connection.execute(f"PRAGMA table_info({table})")]
            for table in TABLES
        }
        rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}
    stored, told = path.read_bytes(), 0
    for _ in range(short_or_long(60, 400)):
        for part in tmp_path.glob("journal.db-*"):
            part.unlink()
        path.write_bytes(stored)
        table = chance.choice(TABLES)
        row = chance.choice(rows[table])
        keys = [n for n, (_, is_key) in enumerate(columns[table]) if is_key]
        where = " AND ".join(f"{columns[table][n][0]} = ?" for n in keys)
        with closing(sqlite3.connect(path)) as connection, connection:
            if chance.random() < 0.4:
                connection.execute(f"DELETE FROM {table} WHERE {where}", [row[n] for n in keys])
            else:
                n = chance.randrange(len(row))
                value = changed(row[n])
                values = [value, *(row[n] for n in keys)]
                connection.execute(f"UPDATE {table} SET {columns[table][n][0]} = ? WHERE {where}", values)
        try:
            with Journal(journal_url(path), now=Clock()) as journal:
                journal.release(journal.take_lease(uid))
                assert journal.limits() == sound, (table, row)
        except JournalDamaged:
            told += 1
    assert told > 20


def changed(value: Any) -> Any:
    """Return another value of the same type."""
    match value:
        case None:
            return 1
        case bytes():
            return bytes([value[0] ^ 1]) + value[1:]
        case str():
            return value + "x"
    return value + 1000


def test_a_run_that_measures_again_after_its_measurements_were_deleted_is_held(journal: Journal) -> None:
    journal.put_limit(RunLimit("team", "USD", 10.0))
    lease = add(journal, "script")
    end(journal, lease, begin(journal, lease, 3.0), 2.0)
    journal.release(lease)
    assert journal.delete_measurements([lease.run_uid]) == 1
    for _ in range(2):  # a script that is started again with its key
        lease = journal.take_lease(lease.run_uid)
        end(journal, lease, begin(journal, lease, 1.0), 1.0)
        journal.release(lease)
    assert [state.spent for state in journal.limits()] == [4.0]
    journal.check_sums()


def test_amounts_that_are_not_the_sum_over_a_runs_jobs_are_told_and_the_run_is_not_held(
    journal: Journal, new_url: str
) -> None:
    lease = add(journal, "a")
    end(journal, lease, begin(journal, lease, 3.0), 2.0)
    journal.check_sums()
    journal.release(lease)
    with journal._database.write_transaction() as connection:  # as a bug of ours would leave it
        (row,) = read_rows(connection, amounts, unit="USD")
        update_rows(connection, amounts, [row | {"spent": 1.0, "billed": 1.0}])
    journal.release(journal.take_lease(lease.run_uid))  # no limit counts it
    journal.put_limit(RunLimit("team", "USD", 10.0))
    with pytest.raises(JournalDamaged, match=r"it is not the sum over the run's jobs.*No run begins under its limits"):
        journal.take_lease(lease.run_uid)
    with pytest.raises(JournalDamaged, match="it is not the sum over the run's jobs"):
        journal.check_sums()
    found = check_journal({"HYBRIDLOOP_JOURNAL": new_url})
    assert (found.state, "is not the sum over the run's jobs" in found.found) == ("wrong", True)
