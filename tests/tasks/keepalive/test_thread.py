"""Rules of keep-alive: due times, modes and costs; and the thread that sends pings in time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.azure.targets import find_target
from hybridloop.errors import HybridloopError, InputError, ServiceBusy, ServiceUnreachable, SessionEnded
from hybridloop.tasks.keepalive.rules import (
    HOLD_LIMIT_S,
    IDLE_LIMIT_S,
    ExclusiveAccess,
    IdleRule,
    KeepAliveMode,
    SessionActivity,
    choose,
    due_at,
)
from hybridloop.tasks.keepalive.thread import REPEAT_S, TIMING, ActivityTracker, KeepAliveThread

MINUTE = 60.0
START = 1_800_000_000.0
OPENED = SessionActivity(START)
moments = st.floats(0.0, 1e5).map(lambda after: START + after)
activities = st.builds(
    SessionActivity, st.just(START), st.none() | moments, st.none() | moments, st.integers(0, 3), st.integers(0, 1)
)


@given(activities)
def test_by_the_recorded_rule_idling_counts_from_opening_or_last_end_and_not_while_a_job_runs(
    activity: SessionActivity,
) -> None:
    due = due_at(IdleRule.RECORDED, activity)
    if activity.jobs_in_flight or activity.pings_in_flight:
        assert due is None
    else:
        assert due == max(START, activity.last_job_end or START) + 525.0


@given(activities)
def test_by_the_documented_rule_idling_counts_from_the_last_submission(activity: SessionActivity) -> None:
    assert due_at(IdleRule.DOCUMENTED, activity) == max(START, activity.last_submission or START) + 525.0


@pytest.mark.parametrize(
    ("price", "chosen", "because"),
    [
        ({}, KeepAliveMode.PING, "free"),
        ({"USD": 0.0}, KeepAliveMode.PING, "free"),
        ({"HQC": 5.01}, KeepAliveMode.RENEW, "5.01 HQC"),
        ({"USD": 0.0, "HQC": 5.0}, KeepAliveMode.RENEW, "5 HQC"),
        (None, KeepAliveMode.RENEW, "not known"),
    ],
)
def test_auto_pings_on_free_targets_and_states_the_reason(
    price: dict[str, float] | None, chosen: KeepAliveMode, because: str
) -> None:
    mode, why = choose(KeepAliveMode.AUTO, price)
    assert mode is chosen
    assert because in why
    assert why.endswith(".")


@pytest.mark.parametrize("mode", [KeepAliveMode.PING, KeepAliveMode.RENEW, KeepAliveMode.OFF])
@pytest.mark.parametrize("price", [None, {}, {"USD": 97.5}])
def test_a_chosen_mode_is_used_at_any_cost(mode: KeepAliveMode, price: dict[str, float] | None) -> None:
    assert choose(mode, price)[0] is mode


def test_the_reason_for_a_paid_ping_states_its_price() -> None:
    assert "97.5 USD" in choose(KeepAliveMode.PING, {"USD": 97.5})[1]


def test_a_hold_is_worth_as_many_jobs_as_its_cap_pays_for() -> None:
    assert ExclusiveAccess(100.0).pings(find_target("quantinuum.qpu.h2-1"), {"HQC": 5.02}) == 19


@pytest.mark.parametrize(
    ("hold", "target", "price"),
    [
        (ExclusiveAccess(100.0), "rigetti.sim.qvm", {"USD": 0.0}),
        (ExclusiveAccess(100.0), "quantinuum.qpu.h2-1", None),
        (ExclusiveAccess(100.0, "USD"), "quantinuum.qpu.h2-1", {"HQC": 5.02}),
        (ExclusiveAccess(0.0), "quantinuum.qpu.h2-1", {"HQC": 5.02}),
        (ExclusiveAccess(float("nan")), "quantinuum.qpu.h2-1", {"HQC": 5.02}),
    ],
)
def test_a_hold_that_is_useless_or_without_a_cap_is_refused(
    hold: ExclusiveAccess, target: str, price: dict[str, float] | None
) -> None:
    with pytest.raises(InputError, match="exclusive_access_budget"):
        hold.pings(find_target(target), price)


class LeapingClock:
    """Clock that jumps to the end of each wait, up to `until`, where time stands still.

    The first waiter for `until` wakes `late` seconds too late, like a thread that could not run.
    """

    def __init__(self, until: float, late: float = 0.0) -> None:
        self._now = START
        self._late = late
        self._until = START + until
        self.arrived = threading.Event()

    def now(self) -> float:
        return self._now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if event.is_set():
            return True
        if self._now + seconds <= self._until:
            self._now += seconds
            return False
        self._now = self._until
        if self._late:
            self._now = self._until = self._until + self._late
            self._late = 0.0
            return False
        self.arrived.set()
        return event.wait()

    def hold(self) -> AbstractContextManager[object]:
        return nullcontext()


class RecordedPings:
    """Ping sender that records its calls; each ping takes some seconds. The first ones may fail."""

    def __init__(
        self, clock: LeapingClock, *, lasts_s: float = 0.0, failures: tuple[HybridloopError, ...] = ()
    ) -> None:
        self._clock = clock
        self._lasts_s = lasts_s
        self._failures = list(failures)
        self.ends: list[float] = []
        self.sent_after: list[float] = []
        self.tried_after: list[float] = []

    def send(self) -> None:
        self.tried_after.append(self._clock.now() - START)
        if self._failures:
            raise self._failures.pop(0)
        self.sent_after.append(self._clock.now() - START)
        self.ends.append(self._clock.now() + self._lasts_s)

    def settle(self) -> int:
        self.ends = [end for end in self.ends if end > self._clock.now()]
        return len(self.ends)


@contextmanager
def kept(
    minutes: float,
    *,
    rule: IdleRule = IdleRule.RECORDED,
    pings: Callable[[LeapingClock], RecordedPings] = RecordedPings,
    before: Callable[[KeepAliveThread], None] = lambda _: None,
    hold_pings: int = 0,
    activity: SessionActivity = OPENED,
) -> Iterator[tuple[RecordedPings, KeepAliveThread]]:
    """Return a keep-alive after so many idle minutes that followed the calls of `before`."""
    clock = LeapingClock(minutes * MINUTE)
    gate = threading.Event()
    clock.hold = lambda: _opened(gate)  # type: ignore[method-assign]  # so that `before` comes first
    sender = pings(clock)
    keeper = KeepAliveThread(clock, rule, ActivityTracker(activity), sender, hold_pings=hold_pings)
    try:
        before(keeper)
        gate.set()
        assert clock.arrived.wait(30.0)
        yield sender, keeper
    finally:
        keeper.stop()


@contextmanager
def _opened(gate: threading.Event) -> Iterator[None]:
    gate.wait()
    yield


@pytest.mark.parametrize("rule", IdleRule)
def test_34_idle_minutes_give_exactly_three_pings(rule: IdleRule) -> None:
    with kept(34, rule=rule) as (pings, _):
        assert pings.sent_after == [525.0, 1050.0, 1575.0]


def test_by_the_recorded_rule_no_ping_is_due_while_a_job_is_queued_or_running() -> None:
    with kept(300, activity=replace(OPENED, jobs_in_flight=2)) as (pings, _):
        assert pings.sent_after == []


def test_by_the_documented_rule_pings_are_due_while_jobs_are_queued_for_half_a_day() -> None:
    with kept(720, rule=IdleRule.DOCUMENTED, activity=replace(OPENED, jobs_in_flight=1)) as (pings, _):
        assert pings.sent_after == [525.0 * i for i in range(1, 83)]


def test_the_end_of_a_round_postpones_the_next_ping() -> None:
    with kept(20, before=lambda keeper: keeper.ended(START + 300.0)) as (pings, _):
        assert pings.sent_after == [825.0]


def test_a_submission_postpones_the_next_ping_by_the_documented_rule_only() -> None:
    submitted = replace(OPENED, last_submission=START + 300.0)
    with kept(15, rule=IdleRule.DOCUMENTED, activity=submitted) as (pings, _):
        assert pings.sent_after == [825.0]
    with kept(15, activity=submitted) as (pings, _):
        assert pings.sent_after == [525.0]


@pytest.mark.parametrize("lasts_s", [3.0, 120.0, 3600.0])
def test_after_a_slow_ping_the_next_one_is_not_late(lasts_s: float) -> None:
    with kept(180, pings=lambda clock: RecordedPings(clock, lasts_s=lasts_s)) as (pings, _):
        assert len(pings.sent_after) >= 2
        for earlier, later in zip(pings.sent_after, pings.sent_after[1:], strict=False):
            assert 0.85 * (lasts_s + 525.0) <= later - earlier <= lasts_s + 525.0


def test_a_failed_ping_is_sent_again_within_the_margin() -> None:
    trouble = (ServiceBusy("503", "", ""), ServiceUnreachable("no route", "", ""))
    with kept(9.5, pings=lambda clock: RecordedPings(clock, failures=trouble)) as (pings, keeper):
        assert pings.tried_after == [525.0, 525.0 + REPEAT_S, 525.0 + 2 * REPEAT_S]
        assert keeper.ceased == ""


def test_pings_stop_after_the_idle_timeout_and_start_again_with_the_next_job() -> None:
    endless = tuple(ServiceBusy("503", "", "") for _ in range(1000))
    with kept(60, pings=lambda clock: RecordedPings(clock, failures=endless)) as (pings, keeper):
        assert pings.tried_after[-1] <= IDLE_LIMIT_S
        assert len(pings.tried_after) == 8  # at 525, 535, … 595 s
        assert "503" in keeper.ceased
        keeper.submitted(START + 3600.0)
        assert keeper.ceased == ""


def test_a_session_that_has_ended_is_not_pinged_again() -> None:
    with kept(60, pings=lambda clock: RecordedPings(clock, failures=(SessionEnded("over", "", ""),))) as (pings, _):
        assert pings.tried_after == [525.0]


def test_a_hold_has_a_job_every_minute_from_the_first_to_its_cap_and_then_the_idle_rule_applies() -> None:
    with kept(20, activity=replace(OPENED, last_submission=START + 100.0), hold_pings=5) as (pings, _):
        held, later = pings.sent_after[:5], pings.sent_after[5:]
        for earlier, after in zip([100.0, *held], held, strict=False):
            assert 0.0 < after - earlier < HOLD_LIMIT_S
        assert later == [held[-1] + 525.0]


def test_a_hold_begins_with_the_first_job() -> None:
    with kept(8, hold_pings=5) as (pings, _):
        assert pings.sent_after == []


def test_stop_ends_the_thread_at_once() -> None:
    others = set(threading.enumerate())
    with kept(5) as (_, keeper):
        keeper.stop()
        assert "hybridloop-keep-alive" not in {thread.name for thread in threading.enumerate() if thread not in others}


class RecordedStandby:
    """Stand-in for the standby process that records its calls; it may have sent pings."""

    def __init__(self, clock: LeapingClock, needs: int = 3) -> None:
        self._clock = clock
        self._needs = needs
        self.prepared_after: list[float] = []
        self.first_after: float | None = None
        self.has_sent: list[float] = []

    def prepare(self) -> bool:
        if len(self.prepared_after) == self._needs:
            return False
        self.prepared_after.append(self._clock.now() - START)
        return True

    def postpone(self, first_at: float | None) -> None:
        self.first_after = None if first_at is None else first_at - START

    def sent(self) -> list[float]:
        sent, self.has_sent = self.has_sent, []
        return sent


@contextmanager
def kept_with_standby(
    minutes: float,
    *,
    sent_after: tuple[float, ...] = (),
    failures: tuple[HybridloopError, ...] = (),
    rule: IdleRule = IdleRule.RECORDED,
    starved_s: float = 0.0,
) -> Iterator[tuple[RecordedPings, RecordedStandby, KeepAliveThread]]:
    clock = LeapingClock(minutes * MINUTE, starved_s)
    pings, standby = RecordedPings(clock, failures=failures), RecordedStandby(clock)
    standby.has_sent = [START + after for after in sent_after]
    keeper = KeepAliveThread(clock, rule, ActivityTracker(OPENED), pings, standby=standby)
    try:
        assert clock.arrived.wait(30.0)
        yield pings, standby, keeper
    finally:
        keeper.stop()


def test_a_session_of_a_few_seconds_has_no_standby() -> None:
    with kept_with_standby(TIMING.standby_after_s / MINUTE - 0.01) as (_, standby, _):
        assert standby.prepared_after == []


def test_the_standby_is_prepared_after_20_s_and_waits_15_s_longer_than_this_process() -> None:
    with kept_with_standby(2) as (_, standby, _):
        assert standby.prepared_after == [TIMING.standby_after_s] * 3
        assert standby.first_after == 525.0 + TIMING.standby_margin_s


def test_each_ping_and_each_round_postpones_the_standby() -> None:
    with kept_with_standby(10) as (pings, standby, keeper):
        assert pings.sent_after == [525.0]
        assert standby.first_after == 1050.0 + TIMING.standby_margin_s
        keeper.ended(START + 590.0)
        assert standby.first_after == 590.0 + 525.0 + TIMING.standby_margin_s


def test_a_request_sent_by_the_standby_counts_as_a_ping() -> None:
    with kept_with_standby(15, sent_after=(300.0,)) as (pings, standby, _):
        assert pings.sent_after == [825.0]
        assert standby.first_after == 825.0 + 525.0 + TIMING.standby_margin_s


def test_the_standby_sends_nothing_after_this_process_stopped_pinging() -> None:
    with kept_with_standby(20, failures=(SessionEnded("over", "", ""),)) as (_, standby, _):
        assert standby.first_after is None


def test_a_round_that_ended_while_no_thread_could_run_counts_as_ended_before() -> None:
    with kept_with_standby(4) as (_, _, keeper):  # the thread cannot run from here on
        keeper.ended(START + 240.0)
        assert keeper._activity.now.last_job_end == START + 240.0
        keeper.ended(START + 900.0)
        assert keeper._activity.now.last_job_end == pytest.approx(START + 240.0, abs=10.0)


def test_a_round_end_reported_just_after_the_thread_could_not_run_counts_as_before() -> None:
    with kept_with_standby(4, starved_s=100.0) as (_, _, keeper):
        keeper.ended(START + 341.0)
        assert keeper._activity.now.last_job_end == pytest.approx(START + 240.0, abs=10.0)


def test_a_submission_postpones_the_standby_at_once() -> None:
    with kept_with_standby(4, rule=IdleRule.DOCUMENTED) as (_, standby, keeper):
        keeper.submitted(START + 241.0)
        assert standby.first_after == 241.0 + 525.0 + TIMING.standby_margin_s


def test_the_standby_leaves_the_retry_of_a_ping_to_this_process() -> None:
    with kept_with_standby(526.0 / MINUTE, failures=(ServiceBusy("503", "", ""),)) as (pings, standby, _):
        assert pings.tried_after == [525.0]
        assert standby.first_after == 525.0 + REPEAT_S + TIMING.standby_margin_s
