"""Keep-alive of a run's sessions: pings the open session, or says when it has to be renewed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.signed_request import SignedRequest
from hybridloop.azure.targets import Target
from hybridloop.budget.caps import Budget, Reservation
from hybridloop.budget.prices import Price, ping_price
from hybridloop.errors import InputError
from hybridloop.journal import UNSETTLED, Journal, Lease, Ping, SessionRow
from hybridloop.runtime.clock import Clock
from hybridloop.tasks.keepalive.pings import PING_SHOTS, PingKey, PingSender
from hybridloop.tasks.keepalive.rules import (
    IDLE_LIMIT_S,
    KeepAliveMode,
    KeepAliveSettings,
    SessionActivity,
    choose,
    due_at,
    idle_since,
    known_opening,
)
from hybridloop.tasks.keepalive.thread import ActivityTracker, KeepAliveThread

Sign = Callable[[str, Mapping[str, Any]], SignedRequest]


class JournalPingLog:
    """Records pings in a run's journal and reserves their cost (`pings.PingLog`).

    `bill` bills the service's cost estimate and returns the amounts by unit; None if it states none.
    """

    def __init__(
        self,
        journal: Journal,
        lease: Lease,
        budget: Budget,
        price: Price,
        now: Callable[[], float],
        bill: Callable[[Mapping[str, Any] | None], Mapping[str, float] | None],
    ) -> None:
        self._journal = journal
        self._lease = lease
        self._budget = budget
        self._price = price
        self._now = now
        self._bill = bill
        self._reserved: dict[str, Reservation] = {}

    def confirm(self) -> None:
        """Raise LeaseLost if another process holds the run now."""
        self._journal.renew(self._lease)

    def intend(self, key: PingKey) -> None:
        """Record that the ping may be submitted, and reserve its cost. Raises CapReached, JournalError, LeaseLost."""
        (reservation,) = self._budget.reserve([PING_SHOTS], [self._price], now=self._now())
        try:
            self._journal.add_ping(self._lease, Ping(key.id, key.ordinal, key.n, reservation.amounts, shots=PING_SHOTS))
        except BaseException:  # an interruption too: nothing was recorded
            self._budget.release(reservation)
            raise
        self._reserved[key.id] = reservation

    def load(self, ordinal: int) -> tuple[PingKey, list[PingKey]]:
        """Return a session's first free key, and the keys of its pings whose end is not recorded; adopt their cost."""
        pings = [ping for ping in self._journal.pings(self._lease.run_uid) if ping.session == ordinal]
        unsettled = [ping for ping in pings if ping.state in UNSETTLED]
        for ping in unsettled:
            if ping.id not in self._reserved:  # it is an earlier process's
                self._reserved[ping.id] = self._budget.adopt(ping.shots, ping.reserved, self._price)
        first = PingKey(self._lease.run_uid, ordinal, 1 + max((ping.n for ping in pings), default=-1))
        return first, [PingKey(self._lease.run_uid, ordinal, ping.n) for ping in unsettled]

    def submitted(self, key: PingKey) -> None:
        """Record that the service has accepted the ping."""
        self._journal.end_ping(self._lease, key.id, "submitted", at=self._now())

    def ended(self, key: PingKey, state: str, cost_estimate: Mapping[str, Any] | None) -> None:
        """Record a ping as done, failed or lost (never accepted, so free)."""
        reservation = self._reserved[key.id]
        if state == "lost":
            self._journal.end_ping(self._lease, key.id, state, dict.fromkeys(reservation.amounts, 0.0))
            self._budget.release(reservation)
        else:
            billed = self._bill(cost_estimate)
            self._journal.end_ping(self._lease, key.id, state, billed, at=self._now())
            self._budget.settle(reservation, billed)
        del self._reserved[key.id]


class SessionKeepAlive:
    """Keeps the run's open session alive, also after a renewal; thread-safe.

    `sign(job_id, document)` returns a submission ready to send, for runs in real time only: only there can a standby
    process send while a library holds the interpreter. Raises InputError for exclusive access that is impossible.
    """

    def __init__(
        self,
        settings: KeepAliveSettings,
        target: Target,
        service: ServiceClient,
        log: JournalPingLog,
        clock: Clock,
        *,
        sign: Sign | None = None,
    ) -> None:
        price = ping_price(target)
        bound: dict[str, float] | None = None if price.upper is None else {price.unit: price.upper}
        self.mode, self.why = choose(settings.mode, bound)
        self._hold_pings = settings.hold.pings(target, bound) if settings.hold else 0
        self._rule = settings.rule
        self._target = target
        self._service = service
        self._log = log
        self._clock = clock
        self._sign = sign
        self._changing = threading.Lock()  # held while one thread of pings ends and the next begins
        self._lock = threading.Lock()
        self._session: SessionRow | None = None
        self._activity: ActivityTracker | None = None
        self._thread: KeepAliveThread | None = None
        self._pings: PingSender | None = None
        self._stopped = False

    def opened(self, session: SessionRow) -> None:
        """Keep this session alive instead of the one before. Raises JournalError, LeaseLost."""
        with self._changing:
            self._end()
            with self._lock:
                self._activity = ActivityTracker(SessionActivity(known_opening(session.opened_at, self._clock.now())))
            self._session = session
            if self.mode is KeepAliveMode.PING or self._hold_pings:
                self._begin(session, self._activity, self._sign)

    def release_prepared(self) -> None:
        """Release the reservations of prepared pings, because jobs need them. Raises HybridloopError.

        This process keeps the session alive as before, but there is no standby any more.
        """
        with self._changing:
            thread, pings, session, activity = self._thread, self._pings, self._session, self._activity
            if thread is None or pings is None or self._hold_pings or not pings.prepared:
                return
            thread.stop()
            if thread.is_running:  # it may be sending one of them now
                return
            with self._lock:
                self._thread = self._pings = None
            pings.close(settles=False)
            if session is not None and activity is not None:
                self._begin(session, activity, None)

    def submitted(self, at: float) -> None:
        """Note a job that was accepted."""
        with self._lock:
            thread, activity = self._thread, self._activity
        if thread is not None:
            thread.submitted(at)
        elif activity is not None:
            activity.update(submitted=at, jobs=1)

    def ended(self, at: float) -> None:
        """Note a job that has ended."""
        with self._lock:
            thread, activity = self._thread, self._activity
        if thread is not None:
            thread.ended(at)
        elif activity is not None:
            activity.update(ended=at, jobs=-1)

    def ping(self) -> None:
        """Ping the open session now. Raises InputError for a session that is not pinged, else what failed."""
        with self._lock:
            thread = self._thread
        if thread is None or self.mode is not KeepAliveMode.PING:
            problem = f"the session is not pinged ({self.mode.value}): {self.why}"
            raise InputError("keep_alive", problem, "Open it with keep_alive='ping', or leave the ping out.")
        thread.ping_now()

    def idle_left(self, now: float) -> float | None:
        """Return the seconds until the open session idles out; None while its idle minutes do not count."""
        activity = self._activity
        since = None if activity is None else idle_since(self._rule, activity.now)
        return None if since is None else max(0.0, since + IDLE_LIMIT_S - now)

    def needs_renewal(self, now: float) -> bool:
        """Return True if the open session may idle out before the next job, and is not pinged but renewed."""
        activity = self._activity
        if self.mode is not KeepAliveMode.RENEW or activity is None:
            return False
        due = due_at(self._rule, activity.now)
        return due is not None and now >= due

    def stop(self, *, settles: bool = True) -> None:
        """Stop the pings; without `settles` the service is not asked for the cost of the last ones."""
        with self._lock:
            self._stopped = True
        with self._changing:
            self._end(settles=settles)

    def _begin(self, session: SessionRow, activity: ActivityTracker, sign: Sign | None) -> None:
        first, unsettled = self._log.load(session.ordinal)
        pings = PingSender(
            self._service, self._log, self._clock, self._target, session.id, first, sign=sign, unsettled=unsettled
        )
        activity.update(pings=len(unsettled) - activity.now.pings_in_flight)
        is_pinged = self.mode is KeepAliveMode.PING
        with self._lock:
            if self._stopped:
                return
            self._pings = pings
            self._thread = KeepAliveThread(
                self._clock,
                self._rule if is_pinged else None,
                activity,
                pings,
                standby=pings if sign and is_pinged else None,
                hold_pings=self._hold_pings,
            )

    def _end(self, *, settles: bool = True) -> None:
        with self._lock:
            thread, pings = self._thread, self._pings
            self._thread = self._pings = self._activity = None
        if thread is not None:
            thread.stop()
        if pings is not None:
            pings.close(settles=settles)
