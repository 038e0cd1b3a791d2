"""Keep-alive thread: pings one session when it is due, so that it does not idle out between jobs."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hybridloop.errors import HybridloopError, ServiceBusy, ServiceUnreachable
from hybridloop.runtime.clock import Clock
from hybridloop.runtime.run_events import start_thread
from hybridloop.tasks.keepalive.rules import HOLD_AFTER_S, MARGIN_S, PING_AFTER_S, IdleRule, SessionActivity, due_at

ASKED_LIMIT_S = 120.0  # more than the attempts of a call take
REPEAT_S = 10.0  # until a ping that failed is sent again
_PREPARE_EVERY_S = 60.0
_DEFER_EVERY_S = 1.0
_TICK_S = 10.0  # this thread runs at least so often, unless a library holds the interpreter
_STARVED_S = 25.0  # after so long it did not run
_SHORTEST_LOOK_S, _LONGEST_LOOK_S, _SHARE_OF_WAIT = 0.005, 10.0, 0.1
_JOIN_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeepAliveTiming:
    """Idle seconds until a ping; the service's rule sets them, and tests may be quicker.

    The standby is prepared once the session was open for a while, so that quick runs pay nothing for it; its pings are
    due later than those of this process by the margin.
    """

    ping_after_s: float = PING_AFTER_S
    standby_after_s: float = 20.0
    standby_margin_s: float = 15.0


TIMING = KeepAliveTiming()


class Pings(Protocol):
    """The pings of one session."""

    def send(self) -> None:
        """Submit one more ping and return when the service has accepted it. Raises HybridloopError."""

    def settle(self) -> int:
        """Look for pings that have ended; return the number of those that have not. Raises HybridloopError."""


class Standby(Protocol):
    """Sends pings while a library holds the interpreter of this process."""

    def prepare(self) -> bool:
        """Prepare one more ping; False if no more are needed. Raises HybridloopError."""

    def postpone(self, first_at: float | None) -> None:
        """Send the first ping at that moment, unless called again before; None: send none. Never waits."""

    def sent(self) -> Sequence[float]:
        """Return the moments of the pings that it sent since the last call."""


class _AskedPing:
    """A ping that somebody asked for, and the error that stands as long as it was not sent."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.error: HybridloopError | None = ServiceUnreachable(
            "the keep-alive ping was not sent",
            "Nothing is lost: the session is pinged before it idles out, unless it is being closed.",
            "Try again, or go on.",
        )


class ActivityTracker:
    """The activity of one session, shared by all that keep it alive; thread-safe."""

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


class KeepAliveThread:
    """A thread that pings one session when it is due, from its construction until `stop()`."""

    def __init__(
        self,
        clock: Clock,
        rule: IdleRule | None,
        activity: ActivityTracker,
        pings: Pings,
        *,
        standby: Standby | None = None,
        hold_pings: int = 0,
        timing: KeepAliveTiming = TIMING,
    ) -> None:
        """`rule`: start of the idle time; None: idle time does not matter, pings are for exclusive access alone.

        `hold_pings`: number of jobs that exclusive access may take, see `ExclusiveAccess.pings`.
        """
        self._clock = clock
        self._rule = rule
        self._activity = activity
        self._pings = pings
        self._standby = standby
        self._hold_left = hold_pings
        self._timing = timing
        opened_at = activity.now.opened_at
        self._look_at = 0.0
        self._alive_at = 0.0  # last moment at which a ping was seen in flight
        self._pinged_at = 0.0
        self._not_before = 0.0
        self._deferred_at = 0.0
        self._ticked_at = opened_at
        self._starved_at = self._recovered_at = 0.0
        self._prepare_at = opened_at + timing.standby_after_s
        self._is_prepared = True
        self._ceased = ""
        self._asked = queue.SimpleQueue[_AskedPing]()
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._hold = clock.hold()
        self._thread = start_thread(self._run, "hybridloop-keep-alive")

    @property
    def ceased(self) -> str:
        """Error after which no more pings are sent until the next job; empty while they are sent."""
        return self._ceased

    @property
    def is_running(self) -> bool:
        """True until the thread has ended."""
        return self._thread.is_alive()

    def submitted(self, at: float) -> None:
        """Note a job that was accepted, and was sent at that moment or later."""
        self._activity.update(submitted=at, jobs=1)
        self._ceased = ""
        self._defer(at)

    def ended(self, at: float) -> None:
        """Note a job that was seen to have ended; if no thread ran for a while, it may have ended earlier."""
        end = at
        if self._standby is not None:
            if at - self._ticked_at > _STARVED_S:
                end = self._ticked_at
            elif at - self._recovered_at < _STARVED_S:
                end = self._starved_at
        self._activity.update(ended=end, jobs=-1)
        self._defer(at)

    def ping_now(self) -> None:
        """Send a ping as soon as this thread can. Raises the error if it was not sent, ServiceUnreachable if late."""
        asked = _AskedPing()
        self._asked.put(asked)
        self._wake.set()
        self._clock.wait(asked.answered, ASKED_LIMIT_S)
        if asked.error is not None:
            raise asked.error

    def stop(self) -> None:
        """Send no more pings; return when the thread has ended, or after a second if a request keeps it."""
        self._stopped.set()
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        with self._hold:
            while not self._stopped.is_set():
                pause = self._step() - self._clock.now()
                if pause > 0.0:
                    try:
                        if self._clock.wait(self._wake, pause) and not self._stopped.is_set():
                            self._wake.clear()
                    except HybridloopError as error:  # the service whose time it is has ended, and the session too
                        self._cease(error)
                        break
        while not self._asked.empty():
            self._asked.get().answered.set()

    def _step(self) -> float:
        """Do what is due and return the next moment. Jobs only defer pings, so they need not wake the thread."""
        now = self._clock.now()
        if now - self._ticked_at > _STARVED_S:
            self._starved_at, self._recovered_at = self._ticked_at, now
        self._ticked_at = now
        # pings: those that the standby sent, those that have ended, the next one
        if self._standby is not None:
            for at in self._standby.sent():
                self._note_sent(at)
        if self._activity.now.pings_in_flight and now >= self._look_at:
            self._settle(now)
        if not self._asked.empty():
            self._answer(self._asked.get(), now)
            return now
        due = self._next_ping()
        if due is not None and now >= due and not self._stopped.is_set():
            self._ping(now)
            return now
        # the next moment to look
        look_again = min(now + self._timing.ping_after_s if due is None else due, self._prepare_standby(now))
        if self._hold_left:
            look_again = min(look_again, now + HOLD_AFTER_S)
        if self._standby is not None:
            look_again = min(look_again, now + _TICK_S)
        return min(look_again, self._look_at) if self._activity.now.pings_in_flight else look_again

    def _next_ping(self) -> float | None:
        """Return the moment of the next ping, by the idle rule or for exclusive access."""
        if self._ceased:
            return None
        activity = self._activity.now
        moments = [self._idle_due(activity)]
        if self._hold_left and activity.last_submission is not None:
            moments.append(activity.last_submission + HOLD_AFTER_S)
        due = min((moment for moment in moments if moment is not None), default=None)
        return None if due is None else max(due, self._not_before)

    def _idle_due(self, activity: SessionActivity) -> float | None:
        return None if self._rule is None else due_at(self._rule, activity, self._timing.ping_after_s)

    def _answer(self, asked: _AskedPing, now: float) -> None:
        """Send a ping that somebody waits for."""
        try:
            self._pings.send()
        except HybridloopError as error:
            asked.error = error
        else:
            asked.error = None
            self._note_sent(now)
        asked.answered.set()

    def _ping(self, now: float) -> None:
        activity = self._activity.now
        idle_due = self._idle_due(activity)
        is_for_hold = idle_due is None or now < idle_due
        try:
            self._pings.send()
        except (ServiceBusy, ServiceUnreachable) as error:
            if is_for_hold or now + REPEAT_S < (idle_due or now) + MARGIN_S:
                self._not_before = now + REPEAT_S
                _log.warning("a keep-alive ping failed and is sent again: %s", error)
            else:
                self._cease(error)
        except HybridloopError as error:
            self._cease(error)
        else:
            self._note_sent(now)
            if self._hold_left and activity.last_submission is not None:
                self._hold_left -= 1
                if not self._hold_left:
                    _log.warning("the cap on exclusive access is reached: others may use the machine from now on")

    def _note_sent(self, at: float) -> None:
        self._activity.update(submitted=at, pings=1)
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
        """Note pings that have ended; they count as ended when they were last seen in flight, which is earlier."""
        try:
            left = self._pings.settle()
        except HybridloopError as error:
            _log.warning("the state of the keep-alive pings is unknown: %s", error)
            self._look_at = now + REPEAT_S
            return
        if ended := self._activity.now.pings_in_flight - left:
            self._activity.update(ended=self._alive_at if ended > 0 else None, pings=-ended)
        if left:
            self._alive_at = now
            waited = now - self._pinged_at
            self._look_at = now + min(_LONGEST_LOOK_S, max(_SHORTEST_LOOK_S, _SHARE_OF_WAIT * waited))
        self._postpone(now)

    def _prepare_standby(self, now: float) -> float:
        """Prepare one ping for the standby; return the moment to prepare the next."""
        if self._standby is None or self._stopped.is_set():
            return now + self._timing.ping_after_s
        if now >= self._prepare_at:
            try:
                more = self._standby.prepare()
            except HybridloopError as error:
                if self._is_prepared:
                    _log.warning("no ping can be prepared for times when this process can't send one: %s", error)
                self._is_prepared = more = False
            else:
                self._is_prepared = True
            self._prepare_at = now if more else now + _PREPARE_EVERY_S
        self._postpone(now)
        return self._prepare_at

    def _defer(self, now: float) -> None:
        """Postpone the standby in the job's thread, because this one may not get to run from now on."""
        if not 0.0 <= now - self._deferred_at < _DEFER_EVERY_S:  # a round may have hundreds of jobs
            self._deferred_at = now
            self._postpone(now)

    def _postpone(self, now: float) -> None:
        """Postpone the standby until after this process should have pinged."""
        if self._standby is None:
            return
        if self._ceased or self._rule is None:
            self._standby.postpone(None)
            return
        due = self._idle_due(self._activity.now)
        next_ping = max(now + self._timing.ping_after_s if due is None else due, now, self._not_before)
        self._standby.postpone(next_ping + self._timing.standby_margin_s)


def _later(one: float | None, other: float | None) -> float | None:
    return max((at for at in (one, other) if at is not None), default=None)
