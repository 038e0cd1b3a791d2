"""Drawn doors, limits, clocks and kills: no limit is exceeded in any period by what the service billed.

Periods are those of the journal's clock. The service's ledger has the prices; the journal has the day of each job.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from hybridloop.errors import HybridloopError
from hybridloop.journal import open_journal
from hybridloop.journal.limits import Period, RunLimit
from hybridloop.journal.storage.database import Database
from hybridloop.tasks.submission.jobs import TERMINAL
from tests.cli.shell_helpers import Shell, environment
from tests.conftest import Died, Emulator, running_emulator
from tests.doors import DOORS, TARGET, Place
from tests.long_form import long_form, short_or_long
from tests.prefect_server import own_environ
from tests.waiting import eventually

BEGIN = datetime(2026, 11, 28, 22, tzinfo=UTC).timestamp()
DAY_S = 86400.0
IN_PROCESS = (
    "Python",
    "script",
    "script without a key",
    "sampler",
    "estimator",
    "backend",
    "ping",
    "extension",
    "reproduce",
)
# what the clock does before a step, in days: nothing, forwards, back, and wrong by years
MOVES = (0.0, 0.0, 0.2, 1.0, 3.0, 9.0, -0.2, -1.0, -9.0, 1200.0, -1200.0)
TAGS = ("a", "b")


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    """Return an emulator of the module's own, whose ledger has no other test's jobs."""
    with running_emulator() as running:
        yield running


class Clock:
    """The journal's clock, and the days that it has shown."""

    def __init__(self) -> None:
        self.now, self.days = BEGIN, {int(BEGIN // DAY_S)}

    def __call__(self) -> float:
        return self.now

    def move(self, days: float) -> None:
        self.now = max(self.now + DAY_S * days, DAY_S)
        self.days.add(int(self.now // DAY_S))


class Kill:
    """The death of a process after, or instead of, one of its writes: nothing is written from then on."""

    def __init__(self, at: int, *, is_written: bool) -> None:
        self.at, self.is_written, self.writes, self.is_dead = at, is_written, 0, False

    @contextmanager
    def patched(self) -> Iterator[None]:
        original = Database.write_transaction

        @contextmanager
        def write(database: Database) -> Iterator[Connection]:
            self.writes += 1
            is_last = self.writes == self.at
            if self.is_dead or (is_last and not self.is_written):
                self.is_dead = True
                raise Died
            with original(database) as connection:
                yield connection
            if is_last:
                self.is_dead = True
                raise Died

        with pytest.MonkeyPatch.context() as patch, suppress(Died):
            patch.setattr(Database, "write_transaction", write)
            yield


def period_of(period: Period, day: int) -> object:
    """Return the period of a day, by the calendar."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    match period:
        case Period.DAY:
            return day
        case Period.WEEK:
            return at.isocalendar()[:2]
        case Period.MONTH:
            return at.year, at.month
    return None


def days_of_jobs(file: Path) -> dict[str, int]:
    """Return the day on which each job and ping counts, by its id at the service."""
    with closing(sqlite3.connect(file)) as connection:
        return dict(connection.execute("SELECT id, day FROM jobs UNION SELECT id, day FROM pings"))


class Trial:
    """Steps under limits, and what they have asked for: the tags of each run, by its uid."""

    def __init__(self, service: Emulator, folder: Path, limits: list[RunLimit]) -> None:
        self.service, self.file, self.limits, self.clock = service, folder / "journal.db", limits, Clock()
        self.before, self.tags_of = self._paid(), dict[str, str]()
        self.name = f"trial-{uuid4().hex[:8]}"
        environ = own_environ(folder, {"HYBRIDLOOP_JOURNAL": f"sqlite:///{self.file}"})
        self.at, self.places = Shell(environ).at(service, self.name), dict[str, Place]()

    def _paid(self) -> float:
        """Return what the service has billed in all, once no job is in flight."""
        eventually(lambda: self.service.admin("ledger")["ended"].keys() <= TERMINAL)
        return float(self.service.admin("ledger")["money"].get("USD", 0.0))

    def do(self, door: str, tag: str, key: str, kill: Kill) -> None:
        """Go through a door, until it has paid, is refused, or dies."""
        place = self.places.setdefault(tag, Place(self.at, (tag,)))
        with kill.patched(), suppress(HybridloopError):
            if key not in place.goals:
                DOORS[door].before(place, key)
            DOORS[door].pay(place, key)
        with open_journal() as journal:
            for run in journal.runs():
                self.tags_of.setdefault(run.uid, tag)

    def check(self) -> None:
        """Compare what the service billed with each limit in each period."""
        spent: defaultdict[tuple[str, object], float] = defaultdict(float)
        paid, days, total = self._paid() - self.before, days_of_jobs(self.file), 0.0
        for uid, tag in self.tags_of.items():
            ledger = self.service.admin(f"ledger?run={uid}&top=1000")
            assert ledger["duplicates"]["count"] == 0
            scope = {"tag": tag, "target": TARGET, "workspace": self.name}
            for job in ledger["entries"]:
                price, day = job["price"] or 0.0, days[job["job"]]
                assert day in self.clock.days
                total += price
                for limit in self.limits:
                    if limit.scope.items() <= scope.items():
                        spent[limit.name, period_of(limit.period, day)] += price
        assert paid == pytest.approx(total, abs=1e-6)  # no job is without a run
        amounts = {limit.name: limit.amount for limit in self.limits}
        for (name, period), amount in spent.items():
            assert amount <= amounts[name] + 1e-6, (name, period)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(MOVES),
        st.sampled_from(IN_PROCESS),
        st.sampled_from(TAGS),
        st.integers(0, 1),  # of the key: the same one is resumed, or replays
        st.tuples(st.integers(1, 40), st.booleans()),  # the write at which the process dies, and whether it is done
    ),
    min_size=2,
    max_size=6,
)
LIMITS = st.lists(
    st.tuples(
        st.sampled_from([{}, {"tag": "a"}, {"target": TARGET}, {"workspace": ""}, {"tag": "a", "target": TARGET}]),
        st.floats(1.0, 600.0),
        st.sampled_from(list(Period)),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.slow
@long_form
@given(steps=STEPS, drawn=LIMITS)
@settings(
    max_examples=short_or_long(6, 300), phases=(Phase.explicit, Phase.reuse, Phase.generate)
)  # shrinking takes minutes
def test_no_limit_is_exceeded_in_any_period_by_what_the_service_billed(
    steps: list[tuple[float, str, str, int, tuple[int, bool]]],
    drawn: list[tuple[dict[str, str], float, Period]],
    service: Emulator,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    trial = Trial(service, tmp_path_factory.mktemp("trial"), [])
    for n, (scope, amount, period) in enumerate(drawn):
        own = {kind: value or trial.name for kind, value in scope.items()}
        trial.limits.append(RunLimit(f"limit-{n}", "USD", amount, period, own, counts_local=True))
    defaults = open_journal.__kwdefaults__
    assert defaults is not None
    with pytest.MonkeyPatch.context() as patch, environment(trial.at.shell.environ):
        patch.setitem(defaults, "now", trial.clock)
        with open_journal() as journal:
            for limit in trial.limits:
                journal.put_limit(limit)
        for move, door, tag, number, (at, is_written) in steps:
            trial.clock.move(move)
            trial.do(door, tag, f"{door.replace(' ', '-')}-{tag}-{number}", Kill(at, is_written=is_written))
            trial.check()
