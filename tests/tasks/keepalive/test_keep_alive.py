"""Keep-alive and renewal of a run's sessions, with every ping in the journal and in the spending."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.retry import ATTEMPTS_IN_RUN
from hybridloop.budget.caps import Budget, Caps
from hybridloop.budget.cost_summary import CostSummary, summarize_charges
from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.errors import CapReached, InputError, LeaseLost
from hybridloop.journal import Journal, Lease, Ping, RunRecord, SessionRow
from hybridloop.runtime.thread_pool import ThreadPool
from hybridloop.settings.keep_alive import (
    HOLD_LIMIT_S,
    ExclusiveAccess,
    IdleRule,
    KeepAliveMode,
    KeepAliveSettings,
)
from hybridloop.targets import find_target
from hybridloop.targets.prices import ping_price
from hybridloop.tasks.keepalive.keep_alive import SessionKeepAlive
from hybridloop.tasks.keepalive.pings import PingKey, PingLog
from hybridloop.tasks.submission.job_ids import session_id
from hybridloop.tasks.submission.polling import Poller
from tests.conftest import Emulator
from tests.session_helpers import open_run_session, temporary_run
from tests.tasks.test_session_closing import ones

MINUTE = 60.0
FREE = "rigetti.sim.qvm"
PAID = "quantinuum.qpu.h2-1"
UNPRICED = "rigetti.qpu.cepheus-1-108q"  # billed by time, without an upper bound


@dataclass(slots=True)
class Run:
    """A run in virtual time with everything that keep-alive needs."""

    service: ServiceClient
    clock: ServiceClock
    journal: Journal
    lease: Lease
    uid: str
    timers: Poller
    workers: ThreadPool
    billed: list[Mapping[str, float] | None]

    def open(self, ordinal: int = 0, target: str = FREE) -> SessionRow:
        identifier = session_id(self.uid, ordinal)
        self.service.open_session(identifier, "kept", find_target(target), "Continue")
        return SessionRow(ordinal, identifier, target, "Waiting", "", self.clock.now())

    def log(self, target: str, budget: Budget) -> PingLog:
        price = ping_price(find_target(target))
        return PingLog(self.journal, self.lease, budget, price, self.clock.now, self.bill_ping)

    def keeper(self, settings: KeepAliveSettings, target: str = FREE, budget: Budget | None = None) -> SessionKeepAlive:
        log, send = self.log(target, budget or Budget(Caps())), self.workers.submit
        return SessionKeepAlive(settings, find_target(target), self.service, log, self.clock, self.timers, send)

    def bill_ping(self, estimate: Mapping[str, Any] | None) -> Mapping[str, float] | None:
        """Bill a ping as rounds do, in credits or money; free jobs have no bill."""
        lines = (estimate or {}).get("events") or []
        credits = [float(line["amountBilled"]) for line in lines if line["dimensionId"] == "hqc"]
        self.billed.append({"HQC": sum(credits)} if credits else None)
        return self.billed[-1]

    def leave_alone(self, minutes: float) -> None:
        self.clock.wait(threading.Event(), minutes * MINUTE)

    def sent_after(self, ordinal: int = 0) -> list[float]:
        """Return the seconds from the session's creation to those of its pings."""
        identifier = session_id(self.uid, ordinal)
        opened = datetime.fromisoformat(self.service.get_session(identifier)["creationTime"])
        jobs = list(self.service.list_session_jobs(identifier))
        return sorted((datetime.fromisoformat(job["creationTime"]) - opened).total_seconds() for job in jobs)

    def states(self) -> list[str]:
        return [ping.state for ping in self.journal.pings(self.uid)]

    def status(self, ordinal: int = 0) -> str:
        return str(self.service.get_session(session_id(self.uid, ordinal))["status"])


@pytest.fixture(scope="module")
def emulator(azure_quantum_emulator: Emulator) -> Emulator:
    return azure_quantum_emulator


@pytest.fixture
def run(emulator: Emulator, tmp_path: Path) -> Iterator[Run]:
    uid = str(uuid.uuid4())
    journal = Journal(f"sqlite:///{tmp_path / 'journal.db'}")
    journal.add_run(RunRecord(uid, uid, "vqe", "", FREE, 7, {}, None, {}))
    with ServiceClock(emulator.endpoint, emulator.admin_key) as clock:
        service = ServiceClient(emulator.workspace(), clock, threading.Event())
        timers, workers = Poller(clock), ThreadPool("test", clock, lambda: 4)
        yield Run(service, clock, journal, journal.take_lease(uid), uid, timers, workers, [])
        timers.stop()
        workers.close()
        service.close()
    journal.close()


@pytest.mark.claim("the session is idle for ten minutes", "A session does not time out")
@pytest.mark.parametrize("rule", list(IdleRule))
def test_34_idle_minutes_give_three_journaled_pings_and_the_session_lives(run: Run, rule: IdleRule) -> None:
    keeper = run.keeper(KeepAliveSettings(rule=rule))
    assert keeper.mode is KeepAliveMode.PING
    keeper.opened(run.open())
    run.leave_alone(34)
    keeper.stop()
    assert run.states() == ["done"] * 3
    assert run.sent_after() == pytest.approx([525.0, 1050.0, 1575.0], abs=0.5)
    assert [(ping.session, ping.n, ping.id) for ping in run.journal.pings(run.uid)] == [
        (0, n, PingKey(run.uid, 0, n).id) for n in range(3)
    ]
    assert spending(run).jobs == 3
    assert run.status() == "Executing"


@pytest.mark.parametrize("mode", [KeepAliveMode.RENEW, KeepAliveMode.OFF])
def test_without_pings_the_session_times_out(run: Run, mode: KeepAliveMode) -> None:
    keeper = run.keeper(KeepAliveSettings(mode))
    keeper.opened(run.open())
    run.leave_alone(34)
    keeper.stop()
    assert run.states() == []
    assert run.status() == "TimedOut"


def test_a_renewal_is_due_at_the_time_of_a_ping_and_not_while_jobs_run(run: Run) -> None:
    keeper = run.keeper(KeepAliveSettings(KeepAliveMode.RENEW))
    assert not keeper.needs_renewal(1e12)  # no session is open
    keeper.opened(SessionRow(0, session_id(run.uid, 0), FREE, "Waiting", "", 1000.0))
    assert [keeper.needs_renewal(1000.0 + after) for after in (0.0, 524.0, 525.0)] == [False, False, True]
    keeper.submitted(1100.0)
    assert not keeper.needs_renewal(9999.0)
    keeper.ended(1200.0)
    assert [keeper.needs_renewal(1200.0 + after) for after in (524.0, 525.0)] == [False, True]
    keeper.opened(SessionRow(1, session_id(run.uid, 1), FREE, "Waiting", "", 2000.0))
    assert not keeper.needs_renewal(2524.0)


@pytest.mark.parametrize("mode", [KeepAliveMode.AUTO, KeepAliveMode.OFF])
def test_only_the_mode_renew_renews(run: Run, mode: KeepAliveMode) -> None:
    keeper = run.keeper(KeepAliveSettings(mode))
    keeper.opened(run.open())
    assert not keeper.needs_renewal(1e12)
    keeper.stop()


@pytest.mark.parametrize(
    ("target", "mode"),
    [(FREE, "ping"), ("ionq.simulator", "ping"), (PAID, "renew"), ("ionq.qpu.aria-1", "renew"), (UNPRICED, "renew")],
)
def test_the_mode_auto_depends_on_the_price_of_the_target(run: Run, target: str, mode: str) -> None:
    assert run.keeper(KeepAliveSettings(), target).mode == mode


def test_a_resumed_run_settles_its_earlier_pings_and_continues_their_numbers(run: Run) -> None:
    session = run.open()
    dead = run.keeper(KeepAliveSettings())
    dead.opened(session)
    run.leave_alone(9)
    dead.stop(settles=False)  # as if the process had died
    run.journal.add_ping(run.lease, _intended(run, 1))  # this one was journaled, but did not arrive
    spent = spending(run)
    keeper = run.keeper(KeepAliveSettings(), budget=Budget(Caps(), spent.spending))
    keeper.opened(session)
    run.leave_alone(7)
    keeper.stop()
    assert run.states() == ["done", "lost", "done"]  # the third at once: the idle time of the session is unknown
    assert run.status() == "Executing"


def spending(run: Run) -> CostSummary:
    """Return the run's spending in its journal."""
    return summarize_charges(run.journal.charges(run.uid), None)


def _intended(run: Run, n: int) -> Ping:
    return Ping(PingKey(run.uid, 0, n).id, 0, n, {"USD": 0.0})


def test_a_hurried_exit_leaves_the_last_ping_to_the_next_resume(run: Run, emulator: Emulator) -> None:
    emulator.admin("targets", {FREE: {"queue_s": 600}})
    session = run.open()
    keeper = run.keeper(KeepAliveSettings())
    keeper.opened(session)
    run.leave_alone(9)
    keeper.stop(settles=False)
    emulator.admin("targets", {FREE: None})
    assert run.states() == ["submitted"]
    again = run.keeper(KeepAliveSettings(), budget=Budget(Caps(), spending(run).spending))
    again.opened(session)
    run.leave_alone(12)
    again.stop()
    assert run.states() == ["done"]


def test_a_run_claimed_by_another_process_is_not_pinged(run: Run) -> None:
    keeper = run.keeper(KeepAliveSettings())
    keeper.opened(run.open())
    run.journal.release(run.lease)
    run.journal.take_lease(run.uid)
    run.leave_alone(9)
    keeper.stop()
    assert run.states() == []


def test_a_ping_that_did_not_arrive_costs_nothing(run: Run) -> None:
    budget = Budget(Caps())
    records = run.log(PAID, budget)
    place = PingKey(run.uid, 0, 0)
    records.intend(place)
    assert budget.reserved.jobs == spending(run).jobs == 1
    records.ended(place, "lost", {})
    spent = spending(run)
    assert (spent.jobs, spent.shots, sum(spent.amounts.values())) == (0, 0, 0.0)
    assert budget.reserved.jobs == budget.spent.jobs == 0
    assert run.billed == []


def test_a_ping_that_can_not_be_journaled_reserves_nothing(run: Run) -> None:
    budget = Budget(Caps())
    records = run.log(PAID, budget)
    run.journal.release(run.lease)
    run.journal.take_lease(run.uid)
    with pytest.raises(LeaseLost):
        records.intend(PingKey(run.uid, 0, 0))
    assert budget.reserved.jobs == 0


def test_the_next_session_has_its_own_pings(run: Run) -> None:
    keeper = run.keeper(KeepAliveSettings())
    keeper.opened(run.open(0))
    run.leave_alone(9)
    run.service.close_session(session_id(run.uid, 0))
    keeper.opened(run.open(1))
    run.leave_alone(9)
    keeper.stop()
    assert [(ping.session, ping.n, ping.state) for ping in run.journal.pings(run.uid)] == [
        (0, 0, "done"),
        (1, 0, "done"),
    ]


@pytest.mark.claim("spends never exceeds its cap")
def test_a_cap_bounds_pings_and_ends_them_without_harm(run: Run) -> None:
    budget = Budget(Caps(max_jobs=2))
    keeper = run.keeper(KeepAliveSettings(), budget=budget)
    keeper.opened(run.open())
    run.leave_alone(40)
    keeper.stop()
    assert run.states() == ["done"] * 2
    assert (budget.spent.jobs, budget.reserved.jobs) == (2, 0)
    with pytest.raises(CapReached):
        budget.reserve([1], [ping_price(find_target(FREE))], now=0.0)


def test_pings_are_billed_and_counted(run: Run) -> None:
    budget = Budget(Caps())
    keeper = run.keeper(KeepAliveSettings(KeepAliveMode.PING), PAID, budget)
    keeper.opened(run.open(target=PAID))
    run.leave_alone(34)
    keeper.stop()
    assert len(run.billed) == len(run.states()) >= 2
    cost = sum((amounts or {}).get("HQC", 0.0) for amounts in run.billed)
    assert cost >= 5.0 * len(run.billed)
    assert spending(run).amounts["HQC"] == pytest.approx(cost)
    assert budget.spent.amounts["HQC"] == pytest.approx(cost)


def test_exclusive_access_has_a_job_every_minute_and_then_the_idle_rule_applies(run: Run) -> None:
    keeper = run.keeper(KeepAliveSettings(KeepAliveMode.PING, hold=ExclusiveAccess(26.0)), PAID)
    keeper.opened(run.open(target=PAID))
    keeper.submitted(run.clock.now())
    keeper.ended(run.clock.now())
    run.leave_alone(16)
    keeper.stop()
    held, (last,) = run.sent_after()[:5], run.sent_after()[5:]
    assert all(0.0 < later - earlier < HOLD_LIMIT_S for earlier, later in pairwise([0.0, *held]))
    assert last - held[-1] >= 525.0


def test_exclusive_access_lasts_from_the_first_job_exactly_to_the_cap(run: Run) -> None:
    keeper = run.keeper(KeepAliveSettings(KeepAliveMode.RENEW, hold=ExclusiveAccess(26.0)), PAID)
    keeper.opened(run.open(target=PAID))
    run.leave_alone(3)
    assert run.states() == []
    keeper.submitted(run.clock.now())
    run.leave_alone(30)
    keeper.stop()
    assert len(run.states()) == 5
    assert spending(run).amounts["HQC"] <= 26.0


def test_pings_of_exclusive_access_defer_a_renewal(run: Run) -> None:
    keeper = run.keeper(KeepAliveSettings(KeepAliveMode.RENEW, hold=ExclusiveAccess(26.0)), PAID)
    keeper.opened(run.open(target=PAID))
    keeper.submitted(run.clock.now())
    run.leave_alone(2)
    keeper.ended(run.clock.now())
    run.leave_alone(9)
    assert len(run.states()) > 1
    assert not keeper.needs_renewal(run.clock.now())
    keeper.stop()


def test_an_impossible_hold_is_refused_before_anything_is_sent(run: Run) -> None:
    with pytest.raises(InputError, match="exclusive_access_budget"):
        run.keeper(KeepAliveSettings(hold=ExclusiveAccess(100.0)))


@pytest.mark.parametrize(("rule", "minutes", "pings"), [(IdleRule.DOCUMENTED, 20, 2), (IdleRule.RECORDED, 300, 0)])
def test_while_a_job_is_queued_pings_continue_by_the_documented_rule_and_not_by_the_recorded_one(
    run: Run, rule: IdleRule, minutes: int, pings: int
) -> None:
    keeper = run.keeper(KeepAliveSettings(rule=rule))
    keeper.opened(run.open())
    keeper.submitted(run.clock.now())
    run.leave_alone(minutes)
    keeper.stop()
    assert run.states() == ["done"] * pings


@pytest.mark.parametrize("rule", list(IdleRule))
def test_the_end_of_a_job_or_by_the_documented_rule_its_submission_postpones_the_next_ping(
    run: Run, rule: IdleRule
) -> None:
    keeper = run.keeper(KeepAliveSettings(rule=rule))
    keeper.opened(run.open())
    if rule is IdleRule.RECORDED:
        keeper.submitted(run.clock.now())
    run.leave_alone(1)
    (keeper.ended if rule is IdleRule.RECORDED else keeper.submitted)(run.clock.now())
    run.leave_alone(9)
    keeper.stop()
    assert run.sent_after() == pytest.approx([585.0], abs=0.5)


def test_a_requested_ping_is_sent_at_once_and_postpones_the_next(run: Run) -> None:
    keeper = run.keeper(KeepAliveSettings())
    keeper.opened(run.open())
    run.leave_alone(5)
    keeper.ping()
    run.leave_alone(1)
    assert run.states() == ["done"]
    run.leave_alone(8)
    keeper.stop()
    assert run.sent_after() == pytest.approx([300.0, 825.0], abs=0.5)


@pytest.mark.parametrize(("queue_s", "minutes"), [(3.0, 20), pytest.param(900.0, 36, marks=pytest.mark.slow)])
def test_after_a_slow_ping_the_next_one_is_not_late(run: Run, emulator: Emulator, queue_s: float, minutes: int) -> None:
    emulator.admin("targets", {FREE: {"queue_s": queue_s}})
    keeper = run.keeper(KeepAliveSettings())
    keeper.opened(run.open())
    run.leave_alone(minutes)
    keeper.stop()
    first, second = run.sent_after()[:2]
    assert first + queue_s < second < first + queue_s + 527.0
    assert run.status() == "Executing"


def test_a_failed_ping_is_sent_again_within_the_margin(
    run: Run, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    unavailable = {"fault": "error", "status": 503, "operation": "submit", "times": ATTEMPTS_IN_RUN}
    emulator.admin("faults", {"rules": [unavailable]})
    keeper = run.keeper(KeepAliveSettings())
    keeper.opened(run.open())
    run.leave_alone(12)
    keeper.stop()
    assert caplog.text.count("a keep-alive ping failed and is sent again") == 1
    assert run.states() == ["done"]
    assert run.status() == "Executing"


def test_pings_stop_at_the_idle_timeout(run: Run, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    emulator.admin("faults", {"rules": [{"fault": "error", "status": 503, "operation": "submit"}]})
    keeper = run.keeper(KeepAliveSettings())
    keeper.opened(run.open())
    run.leave_alone(60)
    keeper.stop()
    assert caplog.text.count("the session is not kept alive any more") == 1
    assert run.states() == ["lost"]


def test_a_session_that_has_ended_is_not_pinged_again(run: Run) -> None:
    keeper = run.keeper(KeepAliveSettings())
    keeper.opened(run.open())
    run.service.close_session(session_id(run.uid, 0))
    run.leave_alone(60)
    keeper.stop()
    assert run.states() == ["lost"]


def test_after_a_refusal_pings_begin_again_with_the_next_job(emulator: Emulator) -> None:
    with (
        ServiceClock(emulator.endpoint, emulator.admin_key) as clock,
        temporary_run(FREE, seed=0) as run,
        open_run_session(emulator.workspace(), FREE, run=run, clock=clock) as session,
    ):
        emulator.admin("faults", {"rules": [{"fault": "error", "status": 400, "operation": "submit", "times": 1}]})
        clock.wait(threading.Event(), 9 * MINUTE)
        assert session.pings == 0
        session.run_round([ones()])
        clock.wait(threading.Event(), 17 * MINUTE)
        assert session.pings == 1
    assert len(session.sessions.rows) == 1


def test_a_session_whose_recorded_opening_is_in_the_future_counts_as_about_to_idle_out(run: Run) -> None:
    session = replace(run.open(), opened_at=run.clock.now() + 7200.0)  # the machine's clock was set back since
    keeper = run.keeper(KeepAliveSettings(KeepAliveMode.RENEW))
    keeper.opened(session)
    assert keeper.idle_left(run.clock.now()) == 0.0
    assert keeper.needs_renewal(run.clock.now())
    keeper.stop()
