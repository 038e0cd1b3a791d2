"""Keep-alive of a run's sessions: pings of the open session on the run's timers, or its renewal."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from hybridloop.azure.client import ServiceClient
from hybridloop.errors import HybridloopError, InputError, ServiceBusy, ServiceUnreachable, SessionEnded
from hybridloop.journal import SessionRow
from hybridloop.runtime.clock import Clock, ClockLock
from hybridloop.runtime.run_events import continued, current_observation
from hybridloop.runtime.waits import PING_END_S
from hybridloop.settings.keep_alive import (
    HOLD_AFTER_S,
    IDLE_LIMIT_S,
    MARGIN_S,
    PING_AFTER_S,
    IdleRule,
    KeepAliveMode,
    KeepAliveSettings,
    SessionActivity,
    choose,
    due_at,
    idle_since,
    known_opening,
)
from hybridloop.targets import Target
from hybridloop.targets.prices import ping_price
from hybridloop.tasks.keepalive.pings import PingLog, PingSender
from hybridloop.tasks.submission.polling import Poller, poll_interval

REPEAT_S = 10.0  # until a ping that failed is sent again

_log = logging.getLogger(__name__)


class SessionKeepAlive:
    """Keeps the run's open session alive, also after a renewal; thread-safe.

    The timers hand pings to `run`, which calls them in a worker, because they are requests. Raises InputError for
    exclusive access that is impossible.
    """

    def __init__(
        self,
        settings: KeepAliveSettings,
        target: Target,
        service: ServiceClient,
        log: PingLog,
        clock: Clock,
        timers: Poller,
        run: Callable[[Callable[[], None]], None],
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
        self._timers = timers
        self._run = run
        self._observation = current_observation()
        self._lock = threading.Lock()
        self._kept: KeptSession | None = None  # the open session, or the last one
        self._stopped = False

    def opened(self, session: SessionRow) -> None:
        """Keep this session alive instead of the one before. Raises JournalError, LeaseLost."""
        kept = self._keep(session)
        with self._lock:
            if self._stopped:
                return
            before, self._kept = self._kept, kept
        kept.look()
        if before is not None:
            before.stop()

    def submitted(self, at: float) -> None:
        """Note a job that was accepted."""
        if (kept := self._kept) is not None:
            kept.update(submitted=at, jobs=1)
            kept.has_ceased = False

    def ended(self, at: float) -> None:
        """Note a job that has ended."""
        if (kept := self._kept) is not None:
            kept.update(ended=at, jobs=-1)

    def ping(self) -> None:
        """Ping the open session now. Raises InputError for a session that is not pinged, else what failed."""
        kept = self._kept
        if kept is None or self.mode is not KeepAliveMode.PING:
            problem = f"the session is not pinged ({self.mode.value}): {self.why}"
            raise InputError("keep_alive", problem, "Open it with keep_alive='ping', or leave the ping out.")
        with continued(self._observation):  # the caller may be another thread or task of the flow
            kept.ping()

    def idle_s(self, now: float) -> float | None:
        """Return the seconds that the open session has been idle; None while its idle minutes do not count."""
        kept = self._kept
        since = None if kept is None else idle_since(self._rule, kept.activity)
        return None if since is None else now - since

    def idle_left(self, now: float) -> float | None:
        """Return the seconds until the open session idles out; None while its idle minutes do not count."""
        idle_s = self.idle_s(now)
        return None if idle_s is None else max(0.0, IDLE_LIMIT_S - idle_s)

    def needs_renewal(self, now: float) -> bool:
        """Return True if the open session may idle out before the next job, and is not pinged but renewed."""
        idle_s = self.idle_s(now)
        return self.mode is KeepAliveMode.RENEW and idle_s is not None and idle_s >= PING_AFTER_S

    def stop(self, *, settles: bool = True) -> None:
        """Stop the pings; without `settles` the service is not asked for the cost of the last ones."""
        with self._lock:
            self._stopped = True
            kept, self._kept = self._kept, None
        if kept is not None:
            kept.stop(settles=settles)

    def _keep(self, session: SessionRow) -> KeptSession:
        activity = SessionActivity(known_opening(session.opened_at, self._clock.now()))
        ways = (self._clock, self._timers, self._run)
        is_pinged = self.mode is KeepAliveMode.PING
        if not is_pinged and not self._hold_pings:
            return KeptSession(activity, *ways)
        first, unsettled = self._log.load(session.ordinal)
        pings = PingSender(self._service, self._log, self._clock, self._target, session.id, first, unsettled)
        activity = replace(activity, pings_in_flight=len(unsettled))
        return KeptSession(activity, *ways, pings, self._rule if is_pinged else None, self._hold_pings)


class KeptSession:
    """A session with its last activity, which is pinged when that is due, from `look` until `stop`; thread-safe.

    Without `pings` it is left alone. `rule`: start of the idle time; None: pings are for exclusive access alone.
    `hold_pings`: number of jobs that exclusive access may take, see `ExclusiveAccess.pings`.
    """

    def __init__(
        self,
        activity: SessionActivity,
        clock: Clock,
        timers: Poller,
        run: Callable[[Callable[[], None]], None],
        pings: PingSender | None = None,
        rule: IdleRule | None = None,
        hold_pings: int = 0,
    ) -> None:
        self.activity = activity
        self.has_ceased = False  # after an error no more pings are sent until the next job
        self._clock = clock
        self._timers = timers
        self._run = run
        self._pings = pings
        self._rule = rule
        self._hold_left = hold_pings
        self._changing = threading.Lock()
        self._sending = ClockLock(clock)  # held during requests
        self._stopped = False
        self._settles = True
        self._look_at = 0.0
        self._alive_at = 0.0  # last moment at which a ping was seen in flight
        self._pinged_at = 0.0
        self._not_before = 0.0

    def update(
        self, *, submitted: float | None = None, ended: float | None = None, jobs: int = 0, pings: int = 0
    ) -> None:
        """Note a submission or an end, and add to the numbers of jobs and pings in flight."""
        with self._changing:
            self.activity = self.activity.after(submitted, ended, jobs, pings)

    def look(self) -> None:
        """Hand what is due to a worker, or set the timer for the next moment. Jobs only defer it, so they set none."""
        if self._stopped or self._pings is None:
            return
        now = self._clock.now()
        pause = self._next_moment(now) - now
        if pause > 0.0:
            self._timers.call_later(pause, self.look)
        else:
            self._run(partial(self._do_due, self._pings))

    def ping(self) -> None:
        """Send a ping now. Raises HybridloopError."""
        assert self._pings is not None
        with self._sending:
            self._send(self._pings, self._clock.now())
        self.look()

    def stop(self, *, settles: bool = True) -> None:
        """Send no more pings, and settle the last ones; a worker whose request takes long does it afterwards."""
        self._settles = settles
        self._stopped = True
        if settles and self._pings is not None and self._sending.acquire(PING_END_S):
            try:
                self._pings.close()
            finally:
                self._sending.release()

    def _next_moment(self, now: float) -> float:
        due = self._next_ping()
        moments = [now + PING_AFTER_S if due is None else due]
        if self._hold_left:
            moments.append(now + HOLD_AFTER_S)
        if self.activity.pings_in_flight:
            moments.append(self._look_at)
        return min(moments)

    def _next_ping(self) -> float | None:
        """Return the moment of the next ping, by the idle rule or for exclusive access."""
        if self.has_ceased:
            return None
        moments = [self._idle_due(), self._hold_due()]
        due = min((moment for moment in moments if moment is not None), default=None)
        return None if due is None else max(due, self._not_before)

    def _idle_due(self) -> float | None:
        return None if self._rule is None else due_at(self._rule, self.activity)

    def _hold_due(self) -> float | None:
        last = self.activity.last_submission
        return last + HOLD_AFTER_S if self._hold_left and last is not None else None

    def _do_due(self, pings: PingSender) -> None:
        """Settle pings and send the next one, as far as that is due, in a worker."""
        try:
            with self._sending:
                if self._stopped:
                    return
                now = self._clock.now()
                if self.activity.pings_in_flight and now >= self._look_at:
                    self._settle(pings, now)
                due = self._next_ping()
                if due is not None and now >= due:
                    self._send_due(pings, now)
                if self._stopped and self._settles:
                    pings.close()
        except BaseException as error:  # as of a clock that has ended: a call of the pool handles its errors
            self._cease(error)
        self.look()

    def _send_due(self, pings: PingSender, now: float) -> None:
        idle_due, is_hold = self._idle_due(), self._hold_due() is not None
        ends_at = math.inf if idle_due is None or now < idle_due else idle_due + MARGIN_S
        try:
            self._send(pings, now)
        except (ServiceBusy, ServiceUnreachable) as error:
            self._not_before = self._clock.now() + REPEAT_S
            if self._not_before < ends_at:
                _log.warning("a keep-alive ping failed and is sent again: %s", error)
            else:
                self._cease(error)
        except HybridloopError as error:
            self._cease(error)
        else:
            self._hold_left -= is_hold
            if is_hold and not self._hold_left:
                _log.warning("the cap on exclusive access is reached: others may use the machine from now on")

    def _send(self, pings: PingSender, now: float) -> None:
        pings.send()
        self.update(submitted=now, pings=1)
        self.has_ceased = False
        self._pinged_at = self._alive_at = now
        self._look_at = self._clock.now()
        self._not_before = 0.0

    def _cease(self, error: BaseException) -> None:
        self.has_ceased = True
        if not isinstance(error, SessionEnded):  # the next round reports that one
            _log.warning("the session is not kept alive any more: %s", error)

    def _settle(self, pings: PingSender, now: float) -> None:
        """Note pings that have ended; they count as ended when they were last seen in flight, which is earlier."""
        self._look_at = now + REPEAT_S
        try:
            left = pings.settle()
        except HybridloopError as error:
            _log.warning("the state of the keep-alive pings is unknown: %s", error)
            return
        if ended := self.activity.pings_in_flight - left:
            self.update(ended=self._alive_at if ended > 0 else None, pings=-ended)
        if left:
            self._alive_at = now
            self._look_at = now + poll_interval(now - self._pinged_at)
