"""Poller: one thread per run that polls its rounds in flight and makes delayed calls, as for retries and pings."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from hybridloop.runtime.clock import Clock
from hybridloop.runtime.run_events import start_thread

SHORTEST_S = 0.005
LONGEST_S = 10.0
SHARE_OF_WAIT = 0.1
_IDLE_S = 3600.0

_log = logging.getLogger(__name__)


def poll_interval(waited_s: float) -> float:
    """Return the seconds until the next poll of a round submitted waited_s ago: a tenth of its wait, within bounds.

    So a result is seen at most a tenth late, and half a day in a queue costs some thousand calls.
    """
    return min(LONGEST_S, max(SHORTEST_S, SHARE_OF_WAIT * waited_s))


@dataclass(slots=True, eq=False)
class _Timer:
    """A call that is due at a moment: repeated until `ended` is set, or made once if `ended` is None."""

    call: Callable[[], None]
    due_at: float
    started_at: float
    ended: threading.Event | None


class Poller:
    """Polls the rounds of one run and makes its delayed calls, in one thread, until it is stopped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timers: list[_Timer] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False
        self._hold = clock.hold()
        start_thread(self._run, "hybridloop-poller")

    def watch(self, poll: Callable[[], None], ended: threading.Event) -> None:
        """Poll from now on until the event is set; the intervals grow as `poll_interval` says."""
        self._add(poll, 0.0, ended)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Make a short call so many seconds from now, instead of an equal one that waits.

        It is dropped if the poller is stopped first.
        """
        self._add(call, seconds, None)

    def stop(self) -> None:
        """End the thread after its current call."""
        self._stopped = True
        self._wake.set()

    def _add(self, call: Callable[[], None], seconds: float, ended: threading.Event | None) -> None:
        now = self._clock.now()
        with self._lock:
            self._timers = [timer for timer in self._timers if timer.call != call]
            self._timers.append(_Timer(call, now + seconds, now, ended))
        self._wake.set()

    def _run(self) -> None:
        with self._hold:
            while not self._stopped:
                self._step()

    def _step(self) -> None:
        """Make the call that is due, or wait for the next one."""
        now = self._clock.now()
        with self._lock:
            self._timers = [timer for timer in self._timers if timer.ended is None or not timer.ended.is_set()]
            timer = min(self._timers, key=lambda timer: timer.due_at, default=None)
            is_due = timer is not None and timer.due_at <= now
            if timer is not None and is_due and timer.ended is None:
                self._timers.remove(timer)
        if timer is None or not is_due:
            self._wait(_IDLE_S if timer is None else timer.due_at - now)
            return
        timer.call()
        if timer.ended is not None:
            timer.due_at = self._clock.now() + poll_interval(self._clock.now() - timer.started_at)

    def _wait(self, seconds: float) -> None:
        try:
            if self._clock.wait(self._wake, seconds):
                self._wake.clear()
        except Exception as error:  # virtual time has ended: all waits of the run raise that, where the user sees it
            self._stopped = True
            _log.debug("the poller has ended: %s", error)
