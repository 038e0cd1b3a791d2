"""Keep-alive of a run's sessions: pings of the open session on the run's timers, or its renewal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.targets import Target
from hybridloop.budget.prices import ping_price
from hybridloop.errors import HybridloopError, InputError, ServiceBusy, ServiceUnreachable, SessionEnded
from hybridloop.journal import SessionRow
from hybridloop.runtime.clock import Clock, ClockLock
from hybridloop.runtime.run_events import continued, current_observation
from hybridloop.tasks.keepalive.pings import PingLog, PingSender
from hybridloop.tasks.keepalive.rules import (
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
from hybridloop.tasks.submission.polling import Poller, poll_interval

REPEAT_S = 10.0  # until a ping that failed is sent again
_CLOSE_S = 1.0

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
        self._activity: ActivityTracker | None = None  # of the open session
        self._pings: PingTimer | None = None
        self._stopped = False

    def opened(self, session: SessionRow) -> None:
        """Keep this session alive instead of the one before. Raises JournalError, LeaseLost."""
        activity = ActivityTracker(SessionActivity(known_opening(session.opened_at, self._clock.now())))
        pings = self._timer(session, activity) if self.mode is KeepAliveMode.PING or self._hold_pings else None
        with self._lock:
            if self._stopped:
                return
            before, self._pings, self._activity = self._pings, pings, activity
        if pings is not None:
            pings.look()
        if before is not None:
            before.stop()

    def submitted(self, at: float) -> None:
        """Note a job that was accepted."""
        with self._lock:
            pings, activity = self._pings, self._activity
        if activity is not None:
            activity.update(submitted=at, jobs=1)
        if pings is not None:
            pings.has_ceased = False

    def ended(self, at: float) -> None:
        """Note a job that has ended."""
        if (activity := self._activity) is not None:
            activity.update(ended=at, jobs=-1)

    def ping(self) -> None:
        """Ping the open session now. Raises InputError for a session that is not pinged, else what failed."""
        pings = self._pings
        if pings is None or self.mode is not KeepAliveMode.PING:
            problem = f"the session is not pinged ({self.mode.value}): {self.why}"
            raise InputError("keep_alive", problem, "Open it with keep_alive='ping', or leave the ping out.")
        with continued(self._observation):  # the caller may be another thread or task of the flow
            pings.ping()

    def idle_s(self, now: float) -> float | None:
        """Return the seconds that the open session has been idle; None while its idle minutes do not count."""
        activity = self._activity
        since = None if activity is None else idle_since(self._rule, activity.now)
        return None if since is None else now - since

    def idle_left(self, now: float) -> float | None:
        """Return the seconds until the open session idles out; None while its idle minutes do not count."""
        idle_s = self.idle_s(now)
        return None if idle_s is None else max(0.0, IDLE_LIMIT_S - idle_s)

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
            pings, self._pings, self._activity = self._pings, None, None
        if pings is not None:
            pings.stop(settles=settles)

    def _timer(self, session: SessionRow, activity: ActivityTracker) -> PingTimer:
        first, unsettled = self._log.load(session.ordinal)
        activity.update(pings=len(unsettled))
        pings = PingSender(self._service, self._log, self._clock, self._target, session.id, first, unsettled)
        rule = self._rule if self.mode is KeepAliveMode.PING else None
        return PingTimer(self._clock, self._timers, self._run, rule, activity, pings, self._hold_pings)


class ActivityTracker:
    """The activity of one session; thread-safe."""

    def __init__(self, activity: SessionActivity) -> None:
        self.now = activity
        self._lock = threading.Lock()

    def update(
        self, *, submitted: float | None = None, ended: float | None = None, jobs: int = 0, pings: int = 0
    ) -> None:
        """Note a submission or an end, and add to the numbers of jobs and pings in flight."""
        with self._lock:
            now = self.now
            self.now = SessionActivity(
                now.opened_at,
                _later(now.last_submission, submitted),
                _later(now.last_job_end, ended),
                max(0, now.jobs_in_flight + jobs),
                now.pings_in_flight + pings,
            )


class PingTimer:
    """Pings one session when it is due, from the first `look` until `stop`.

    Jobs only defer pings, so the timer is not set again for them.
    """

    def __init__(
        self,
        clock: Clock,
        timers: Poller,
        run: Callable[[Callable[[], None]], None],
        rule: IdleRule | None,
        activity: ActivityTracker,
        pings: PingSender,
        hold_pings: int,
    ) -> None:
        """`rule`: start of the idle time; None: idle time does not matter, pings are for exclusive access alone.

        `hold_pings`: number of jobs that exclusive access may take, see `ExclusiveAccess.pings`.
        """
        self.has_ceased = False  # after an error no more pings are sent until the next job
        self._clock = clock
        self._timers = timers
        self._run = run
        self._rule = rule
        self._activity = activity
        self._pings = pings
        self._hold_left = hold_pings
        self._sending = ClockLock(clock)  # held during requests
        self._stopped = False
        self._settles = True
        self._look_at = 0.0
        self._alive_at = 0.0  # last moment at which a ping was seen in flight
        self._pinged_at = 0.0
        self._not_before = 0.0

    def look(self) -> None:
        """Hand what is due to a worker, or set the timer for the next moment."""
        if self._stopped:
            return
        now = self._clock.now()
        pause = self._next_moment(now) - now
        if pause > 0.0:
            self._timers.call_later(pause, self.look)
        else:
            self._run(self._work)

    def ping(self) -> None:
        """Send a ping now. Raises HybridloopError."""
        with self._sending:
            self._send(self._clock.now())
        self.look()

    def stop(self, *, settles: bool = True) -> None:
        """Send no more pings, and settle the last ones; a worker whose request takes long does it afterwards."""
        self._settles = settles
        self._stopped = True
        if settles and self._sending.acquire(_CLOSE_S):
            try:
                self._pings.close()
            finally:
                self._sending.release()

    def _work(self) -> None:
        try:
            with self._sending:
                if not self._stopped:
                    self._do_due(self._clock.now())
                    if self._stopped and self._settles:
                        self._pings.close()
        except BaseException as error:  # as of a clock that has ended: a call of the pool handles its errors
            self._cease(error)
        self.look()

    def _next_moment(self, now: float) -> float:
        due = self._next_ping()
        moments = [now + PING_AFTER_S if due is None else due]
        if self._hold_left:
            moments.append(now + HOLD_AFTER_S)
        if self._activity.now.pings_in_flight:
            moments.append(self._look_at)
        return min(moments)

    def _next_ping(self) -> float | None:
        """Return the moment of the next ping, by the idle rule or for exclusive access."""
        if self.has_ceased:
            return None
        activity = self._activity.now
        moments = [self._idle_due(activity)]
        if self._hold_left and activity.last_submission is not None:
            moments.append(activity.last_submission + HOLD_AFTER_S)
        due = min((moment for moment in moments if moment is not None), default=None)
        return None if due is None else max(due, self._not_before)

    def _idle_due(self, activity: SessionActivity) -> float | None:
        return None if self._rule is None else due_at(self._rule, activity)

    def _do_due(self, now: float) -> None:
        if self._activity.now.pings_in_flight and now >= self._look_at:
            self._settle(now)
        due = self._next_ping()
        if due is not None and now >= due:
            self._ping(now)

    def _ping(self, now: float) -> None:
        activity = self._activity.now
        idle_due = self._idle_due(activity)
        is_for_hold = idle_due is None or now < idle_due
        try:
            self._send(now)
        except (ServiceBusy, ServiceUnreachable) as error:
            self._not_before = self._clock.now() + REPEAT_S
            if is_for_hold or self._not_before < (idle_due or now) + MARGIN_S:
                _log.warning("a keep-alive ping failed and is sent again: %s", error)
            else:
                self._cease(error)
        except HybridloopError as error:
            self._cease(error)
        else:
            if self._hold_left and activity.last_submission is not None:
                self._hold_left -= 1
                if not self._hold_left:
                    _log.warning("the cap on exclusive access is reached: others may use the machine from now on")

    def _send(self, now: float) -> None:
        self._pings.send()
        self._activity.update(submitted=now, pings=1)
        self.has_ceased = False
        self._pinged_at = self._alive_at = now
        self._look_at = self._clock.now()
        self._not_before = 0.0

    def _cease(self, error: BaseException) -> None:
        self.has_ceased = True
        if not isinstance(error, SessionEnded):  # the next round reports that one
            _log.warning("the session is not kept alive any more: %s", error)

    def _settle(self, now: float) -> None:
        """Note pings that have ended; they count as ended when they were last seen in flight, which is earlier."""
        self._look_at = now + REPEAT_S
        try:
            left = self._pings.settle()
        except HybridloopError as error:
            _log.warning("the state of the keep-alive pings is unknown: %s", error)
            return
        if ended := self._activity.now.pings_in_flight - left:
            self._activity.update(ended=self._alive_at if ended > 0 else None, pings=-ended)
        if left:
            self._alive_at = now
            self._look_at = now + poll_interval(now - self._pinged_at)


def _later(one: float | None, other: float | None) -> float | None:
    return max((at for at in (one, other) if at is not None), default=None)
