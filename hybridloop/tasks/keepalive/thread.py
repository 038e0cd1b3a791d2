"""A thread beside a session that keeps it from idling out while nobody asks it for anything."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from hybridloop.errors import HybridloopError, ServiceBusy, ServiceUnreachable
from hybridloop.runtime.clock import Clock
from hybridloop.tasks.keepalive.rules import HOLD_AFTER_S, MARGIN_S, PING_AFTER_S, Activity, IdleRule, due_at

REPEAT_S = 10.0  # until a ping that did not get through is sent again
_PREPARE_EVERY_S = 60.0
_DEFER_EVERY_S = 1.0
_TICK_S = 10.0  # how often this thread runs at least, where it may be kept from running
_STARVED_S = 25.0  # after so long it was
_SHORTEST_LOOK_S, _LONGEST_LOOK_S, _SHARE_OF_WAIT = 0.005, 10.0, 0.1
_JOIN_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeepAliveTiming:
    """After how many idle seconds a ping is due; the service's rule sets it, and trials may be quicker.

    The stand-in is prepared once the session was open for a while, so that quick runs pay nothing for it, and waits so
    much longer than this process does.
    """

    ping_after_s: float = PING_AFTER_S
    standby_after_s: float = 20.0
    standby_margin_s: float = 15.0


TIMING = KeepAliveTiming()


class Pings(Protocol):
    """The pings of one session."""

    def send(self) -> None:
        """Submit one more; returns when the service has accepted it. Raises HybridloopError."""
        ...

    def settle(self) -> int:
        """Look at those that are not known to have ended; how many have not. Raises HybridloopError."""
        ...


class Standby(Protocol):
    """What sends pings while this process can't: a library that computes may keep every thread from running."""

    def prepare(self) -> bool:
        """Make one more ping ready, if it needs one; False says that it has all it needs. Raises HybridloopError."""
        ...

    def postpone(self, first_at: float | None) -> None:
        """Send the first ping at that moment, unless told otherwise by then; None: send none. Quick, never waits."""
        ...

    def sent(self) -> Sequence[float]:
        """The moments of the pings that it sent and that were not told of before."""
        ...


class KeepAliveThread:
    """A thread that pings one session when it is due, from its start until `stop()`. Others tell it of their jobs."""

    def __init__(
        self,
        clock: Clock,
        rule: IdleRule | None,
        opened_at: float,
        pings: Pings,
        *,
        standby: Standby | None = None,
        hold_pings: int = 0,
        left_over: int = 0,
        pace: KeepAliveTiming = TIMING,
    ) -> None:
        """`rule`: from when idle time counts; None: it is nobody's concern, and pings are for holding alone.

        `hold_pings`: how many jobs may be spent on holding the machine, see `ExclusiveAccess.pings`.

        `left_over`: how many earlier pings `pings` knows of that may not have ended.
        """
        self._clock = clock
        self._rule = rule
        self._pings = pings
        self._stand_in = standby
        self._hold_left = hold_pings
        self._pace = pace
        self._activity = Activity(opened_at)  # of the rounds and pings, but for `in_flight`: the rounds' alone
        self._pings_in_flight = left_over
        self._look_at = 0.0
        self._alive_at = 0.0  # when a ping was last seen not to have ended
        self._pinged_at = 0.0
        self._not_before = 0.0
        self._deferred_at = 0.0
        self._ticked_at = opened_at
        self._starved_at = self._recovered_at = 0.0
        self._prepare_at = opened_at + pace.standby_after_s
        self._is_prepared = True
        self._ceased = ""
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._hold = clock.hold()
        self._thread = threading.Thread(target=self._run, name="hybridloop-keep-alive", daemon=True)
        self._thread.start()

    @property
    def activity(self) -> Activity:
        """What is known of the session's jobs, pings included."""
        with self._lock:
            return self._with_pings()

    @property
    def ceased(self) -> str:
        """Why no more pings are sent until the next job of others; empty while they are."""
        return self._ceased

    @property
    def is_running(self) -> bool:
        """Whether the thread has not ended yet."""
        return self._thread.is_alive()

    def submitted(self, at: float) -> None:
        """A job of others was accepted, which was sent at that moment or later."""
        with self._lock:
            self._activity = replace(self._activity, last_submission=max(at, self._activity.last_submission or at))
            self._ceased = ""
        self._defer(at)

    def ended(self, at: float) -> None:
        """A job of others was seen to have ended. If no thread ran for a while, that may have been a while ago."""
        end = self._earliest(at)
        with self._lock:
            self._activity = replace(self._activity, last_job_end=max(end, self._activity.last_job_end or end))
        self._defer(at)

    def in_flight(self, jobs: int) -> None:
        """So many jobs of others are queued or running."""
        with self._lock:
            self._activity = replace(self._activity, in_flight=jobs)

    def stop(self) -> None:
        """Send no more; returns when the thread has ended, or after a second if an exchange keeps it."""
        self._stopped.set()
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_S)

    def _with_pings(self) -> Activity:
        return replace(self._activity, in_flight=self._activity.in_flight + self._pings_in_flight)

    def _run(self) -> None:
        with self._hold:
            while not self._stopped.is_set():
                pause = self._step() - self._clock.now()
                if pause > 0.0:
                    try:
                        self._clock.wait(self._wake, pause)
                    except HybridloopError as error:  # the service whose time it is went away, and its session with it
                        self._cease(error)
                        return

    def _step(self) -> float:
        """Do what is due; when to look again. What others tell only defers what is due, so nobody wakes the thread."""
        now = self._clock.now()
        if now - self._ticked_at > _STARVED_S:
            self._starved_at, self._recovered_at = self._ticked_at, now
        self._ticked_at = now
        self._hear()
        if self._pings_in_flight and now >= self._look_at:
            self._settle(now)
        due = self._next_ping()
        if due is not None and now >= due and not self._stopped.is_set():
            self._ping(now)
            return now
        look_again = min(now + self._pace.ping_after_s if due is None else due, self._prepared(now))
        if self._hold_left:
            look_again = min(look_again, now + HOLD_AFTER_S)
        if self._stand_in is not None:
            look_again = min(look_again, now + _TICK_S)
        return min(look_again, self._look_at) if self._pings_in_flight else look_again

    def _next_ping(self) -> float | None:
        """When the next ping is due, be it for the idle rule or for the hold."""
        with self._lock:
            if self._ceased:
                return None
            activity = self._with_pings()
        moments = [self._idle_due(activity)]
        if self._hold_left and activity.last_submission is not None:
            moments.append(activity.last_submission + HOLD_AFTER_S)
        due = min((moment for moment in moments if moment is not None), default=None)
        return None if due is None else max(due, self._not_before)

    def _earliest(self, at: float) -> float:
        """Since when a job may have ended that was seen at this moment to have: the threads may not have run before."""
        if self._stand_in is None:
            return at
        if at - self._ticked_at > _STARVED_S:
            return self._ticked_at
        return self._starved_at if at - self._recovered_at < _STARVED_S else at

    def _idle_due(self, activity: Activity) -> float | None:
        return None if self._rule is None else due_at(self._rule, activity, self._pace.ping_after_s)

    def _ping(self, now: float) -> None:
        activity = self.activity
        idle_due = self._idle_due(activity)
        is_for_hold = idle_due is None or now < idle_due
        try:
            self._pings.send()
        except (ServiceBusy, ServiceUnreachable) as error:
            if is_for_hold or now + REPEAT_S < (idle_due or now) + MARGIN_S:
                self._not_before = now + REPEAT_S
                _log.warning("a keep-alive ping did not get through and is sent again: %s", error)
            else:
                self._cease(error)
        except HybridloopError as error:
            self._cease(error)
        else:
            self._sent(now)
            if self._hold_left and activity.last_submission is not None:
                self._hold_left -= 1
                if not self._hold_left:
                    _log.warning("the cap on holding the machine is reached: others may take it from now on")

    def _sent(self, at: float) -> None:
        with self._lock:
            self._activity = replace(self._activity, last_submission=max(at, self._activity.last_submission or at))
            self._pings_in_flight += 1
            self._ceased = ""
        self._pinged_at = self._alive_at = at
        self._look_at = self._clock.now()
        self._not_before = 0.0
        self._postpone(at)

    def _cease(self, error: HybridloopError) -> None:
        self._ceased = str(error)
        self._postpone(self._clock.now())
        _log.warning("the session is not kept alive any more: %s", error)

    def _settle(self, now: float) -> None:
        """Take note of pings that have ended. They count as ended when they were last seen alive, which is earlier."""
        try:
            left = self._pings.settle()
        except HybridloopError as error:
            _log.warning("how the keep-alive pings are doing can't be seen: %s", error)
            self._look_at = now + REPEAT_S
            return
        with self._lock:
            if left < self._pings_in_flight:
                end = max(self._alive_at, self._activity.last_job_end or 0.0)
                self._activity = replace(self._activity, last_job_end=end)
            self._pings_in_flight = left
        if left:
            self._alive_at = now
            waited = now - self._pinged_at
            self._look_at = now + min(_LONGEST_LOOK_S, max(_SHORTEST_LOOK_S, _SHARE_OF_WAIT * waited))
        self._postpone(now)

    def _hear(self) -> None:
        """Take note of what the stand-in did while this thread could not run."""
        if self._stand_in is not None:
            for at in self._stand_in.sent():
                _log.info("a keep-alive ping was sent while this process could not")
                self._sent(at)

    def _prepared(self, now: float) -> float:
        """Get the stand-in ready, one ping a step; when to do so next."""
        if self._stand_in is None or self._stopped.is_set():
            return now + self._pace.ping_after_s
        if now >= self._prepare_at:
            try:
                more = self._stand_in.prepare()
            except HybridloopError as error:
                if self._is_prepared:
                    _log.warning("no ping can be made ready for when this process can't send one: %s", error)
                self._is_prepared = more = False
            else:
                self._is_prepared = True
            self._prepare_at = now if more else now + _PREPARE_EVERY_S
        self._postpone(now)
        return self._prepare_at

    def _defer(self, now: float) -> None:
        """Have the stand-in wait for what others did, in their thread: this one may not get to run from now on."""
        if not 0.0 <= now - self._deferred_at < _DEFER_EVERY_S:  # a round may have hundreds of jobs
            self._deferred_at = now
            self._postpone(now)

    def _postpone(self, now: float) -> None:
        """Have the stand-in wait until this process should have pinged."""
        if self._stand_in is None:
            return
        if self._ceased or self._rule is None:
            self._stand_in.postpone(None)
            return
        due = self._idle_due(self.activity)
        mine = max(now + self._pace.ping_after_s if due is None else due, self._not_before)
        self._stand_in.postpone(mine + self._pace.standby_margin_s)
