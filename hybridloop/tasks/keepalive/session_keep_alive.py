"""Keeps whichever session of a run is open as was chosen: pings it, or says when it should be renewed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hybridloop.azure.targets import Target
from hybridloop.azure.transport import SignedRequest
from hybridloop.budget.caps import Budget, Reservation
from hybridloop.budget.prices import Price, ping_price
from hybridloop.journal import Journal, Lease, Ping
from hybridloop.runtime.clock import Clock
from hybridloop.tasks.keepalive.pings import PING_SHOTS, PingKey, PingSender, PingService
from hybridloop.tasks.keepalive.rules import (
    IDLE_LIMIT_S,
    Activity,
    ExclusiveAccess,
    IdleRule,
    KeepAliveMode,
    choose,
    due_at,
    idle_since,
)
from hybridloop.tasks.keepalive.thread import KeepAliveThread

_UNSETTLED = frozenset({"intended", "submitted"})


class JournalPingLog:
    """Writes pings into a run's journal and account, before and after (`pinging.PingLog`).

    `charge` takes the service's cost estimate, bills it, and gives the amounts by unit; None where it states none.
    """

    def __init__(
        self,
        journal: Journal,
        lease: Lease,
        budget: Budget,
        price: Price,
        now: Callable[[], float],
        charge: Callable[[Mapping[str, Any] | None], Mapping[str, float] | None],
    ) -> None:
        self._journal = journal
        self._lease = lease
        self._budget = budget
        self._price = price
        self._now = now
        self._charge = charge
        self._reserved: dict[str, Reservation] = {}

    def confirm(self) -> None:
        """Raise LeaseLost if somebody else has the run by now."""
        self._journal.renew(self._lease)

    def intend(self, place: PingKey) -> None:
        """A ping may be submitted from now on. Raises CapReached, JournalError, LeaseLost."""
        reservation = self._budget.reserve([PING_SHOTS], [self._price], now=self._now())
        try:
            self._journal.add_ping(
                self._lease, Ping(place.id, place.ordinal, place.n, reservation.amounts[0], shots=PING_SHOTS)
            )
        except BaseException:  # whatever it was, an interruption too: nothing of it was written down
            self._budget.release(reservation)
            raise
        self._reserved[place.id] = reservation

    def adopt(self, ping: Ping) -> None:
        """A ping that was written down, by an earlier process of the run, and of which it is not known what became."""
        if ping.id not in self._reserved:  # else it is of this process
            self._reserved[ping.id] = self._budget.adopt([ping.shots], [ping.reserved])

    def submitted(self, place: PingKey) -> None:
        """The service has accepted it."""
        self._journal.end_ping(self._lease, place.id, "submitted", at=self._now())

    def ended(self, place: PingKey, state: str, cost_estimate: Mapping[str, Any] | None) -> None:
        """It is done, failed or lost (never accepted, so free)."""
        if state == "lost":
            reservation = self._reserved[place.id]
            nothing = dict.fromkeys(reservation.amounts[0], 0.0)
            self._journal.end_ping(self._lease, place.id, state, nothing)
            self._budget.release(reservation)
        else:
            billed = self._charge(cost_estimate)
            self._journal.end_ping(self._lease, place.id, state, billed, at=self._now())
            self._budget.settle(self._reserved[place.id], [billed])
        del self._reserved[place.id]


@dataclass(frozen=True, slots=True)
class KeepAliveSettings:
    """What a run asks for: `mode` for idle times, `hold` for a Quantinuum machine between rounds."""

    mode: KeepAliveMode = KeepAliveMode.AUTO
    rule: IdleRule = IdleRule.RECORDED
    hold: ExclusiveAccess | None = None


class SessionKeepAlive:
    """Keeps the run's open session, whichever it is by now. Told of its jobs by whoever runs them, in any thread.

    `signed(job_id, document)` gives a submission ready to send; it is for runs in real time alone, since only there a
    stand-in can send what a computation keeps this process from sending. Raises InputError for a hold that can't be.
    """

    def __init__(
        self,
        keeping: KeepAliveSettings,
        run_uid: str,
        target: Target,
        service: PingService,
        records: JournalPingLog,
        journal: Journal,
        clock: Clock,
        *,
        signed: Callable[[str, Mapping[str, Any]], SignedRequest] | None = None,
    ) -> None:
        price = ping_price(target)
        bound: dict[str, float] | None = None if price.upper is None else {price.unit: price.upper}
        self.mode, self.why = choose(keeping.mode, bound)
        self._hold_pings = keeping.hold.pings(target, bound) if keeping.hold else 0
        self._rule = keeping.rule
        self._run_uid = run_uid
        self._target = target
        self._service = service
        self._records = records
        self._journal = journal
        self._clock = clock
        self._signed = signed
        self._changing = threading.Lock()  # held while one thread of pings ends and the next begins
        self._lock = threading.Lock()
        self._session = (0, "", 0.0)  # its ordinal, its id, and when it was opened
        self._activity: Activity | None = None
        self._keeper: KeepAliveThread | None = None
        self._pings: PingSender | None = None
        self._stopped = False

    def opened(self, ordinal: int, session_id: str, opened_at: float) -> None:
        """A session of the run is open, in place of the one before. Raises HybridloopError if the journal does."""
        with self._changing:
            self._end()
            with self._lock:
                self._activity = Activity(opened_at)
            self._session = ordinal, session_id, opened_at
            if self.mode is KeepAliveMode.PING or self._hold_pings:
                self._begin(self._signed)

    def release_prepared(self) -> None:
        """Give back what is set aside for pings that stand by, because jobs need it. Raises HybridloopError.

        The session is kept alive as before by this process, but not any more while that can't run.
        """
        with self._changing:
            keeper, pings = self._keeper, self._pings
            if keeper is None or pings is None or self._hold_pings or not pings.prepared:
                return
            known = keeper.activity
            keeper.stop()
            if keeper.is_running:  # it may be sending one of them right now
                return
            with self._lock:
                self._keeper = self._pings = None
            pings.close(settles=False)
            self._begin(None)
            with self._lock:
                keeper, activity = self._keeper, self._activity
            if keeper is None or activity is None:
                return
            if known.last_submission is not None:
                keeper.submitted(known.last_submission)
            if known.last_job_end is not None:
                keeper.ended(known.last_job_end)
            keeper.in_flight(activity.in_flight)

    def _begin(self, signed: Callable[[str, Mapping[str, Any]], SignedRequest] | None) -> None:
        ordinal, session_id, opened_at = self._session
        known = [ping for ping in self._journal.pings(self._run_uid) if ping.session == ordinal]
        unsettled = [ping for ping in known if ping.state in _UNSETTLED]
        for ping in unsettled:
            self._records.adopt(ping)
        first = PingKey(self._run_uid, ordinal, 1 + max((ping.n for ping in known), default=-1))
        left_over = [PingKey(self._run_uid, ordinal, ping.n) for ping in unsettled]
        at = self._service, self._records, self._clock, self._target, session_id, first
        pings = PingSender(*at, signed=signed, left_over=left_over)
        with self._lock:
            if self._stopped:
                return
            self._pings = pings
            self._keeper = KeepAliveThread(
                self._clock,
                self._rule if self.mode is KeepAliveMode.PING else None,
                opened_at,
                pings,
                standby=pings if signed and self.mode is KeepAliveMode.PING else None,
                hold_pings=self._hold_pings,
                left_over=len(left_over),
            )

    def submitted(self, at: float) -> None:
        """A job was accepted."""
        with self._lock:
            if self._activity is None:
                return
            in_flight = self._activity.in_flight + 1
            self._activity = replace(self._activity, last_submission=at, in_flight=in_flight)
            keeper = self._keeper
        if keeper is not None:
            keeper.in_flight(in_flight)
            keeper.submitted(at)

    def ended(self, at: float) -> None:
        """A job has ended."""
        with self._lock:
            if self._activity is None:
                return
            in_flight = max(0, self._activity.in_flight - 1)
            self._activity = replace(self._activity, last_job_end=at, in_flight=in_flight)
            keeper = self._keeper
        if keeper is not None:
            keeper.ended(at)
            keeper.in_flight(in_flight)

    def idle_left(self, now: float) -> float | None:
        """Seconds until the service would end the open session as idle; None while its minutes don't run."""
        with self._lock:
            keeper, activity = self._keeper, self._activity
        known = activity if keeper is None else keeper.activity
        since = None if known is None else idle_since(self._rule, known)
        return None if since is None else max(0.0, since + IDLE_LIMIT_S - now)

    def would_idle(self, now: float) -> bool:
        """Whether the open session should be renewed before the next job: it was left alone and may be over by then."""
        with self._lock:
            if self.mode is not KeepAliveMode.RENEW or self._activity is None:
                return False
            due = due_at(self._rule, self._activity)
        return due is not None and now >= due

    def stop(self, *, settles: bool = True) -> None:
        """End it; what its last pings cost is asked of the service only if it `settles` them."""
        with self._lock:
            self._stopped = True
        with self._changing:
            self._end(settles=settles)

    def _end(self, *, settles: bool = True) -> None:
        with self._lock:
            keeper, pings = self._keeper, self._pings
            self._keeper = self._pings = self._activity = None
        if keeper is not None:
            keeper.stop()
        if pings is not None:
            pings.close(settles=settles)
