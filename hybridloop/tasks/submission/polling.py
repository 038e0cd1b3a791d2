"""One thread a run that asks how its rounds in flight are doing: one list a round, session and tick, by name prefix."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from hybridloop.azure.retry import ATTEMPTS_IN_RUN
from hybridloop.runtime.clock import Clock
from hybridloop.runtime.crash_points import crash_point
from hybridloop.tasks.connection import Connection
from hybridloop.tasks.submission.job_ids import session_id
from hybridloop.tasks.submission.round_in_flight import RoundInFlight

SHORTEST_S = 0.005
LONGEST_S = 10.0
SHARE_OF_WAIT = 0.1
_IDLE_S = 3600.0


def poll_interval(waited_s: float) -> float:
    """Seconds until the next look at a round that was submitted waited_s ago: a tenth of its wait, within bounds.

    So a result is seen at most a tenth late, and half a day in a queue costs some thousand calls.
    """
    return min(LONGEST_S, max(SHORTEST_S, SHARE_OF_WAIT * waited_s))


@dataclass(slots=True)
class _Watched:
    round: RoundInFlight
    submitted_at: float
    due_at: float


@dataclass(frozen=True, slots=True)
class _Postponed:
    call: Callable[[], None]
    due_at: float


class Poller:
    """Watches the rounds of one run until it is stopped, and makes calls that are put off."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watched: list[tuple[_Watched, Connection]] = []
        self._postponed: list[_Postponed] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False
        self._hold = clock.hold()
        self._thread = threading.Thread(target=self._run, name="hybridloop-poller", daemon=True)
        self._thread.start()

    def watch(self, connection: Connection, round_: RoundInFlight) -> None:
        """Look after a round from now until it ends."""
        now = self._clock.now()
        with self._lock:
            self._watched.append((_Watched(round_, now, now), connection))
        self._wake.set()

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Make a call, a short one, so many seconds from now; it is dropped if the poller is stopped first."""
        with self._lock:
            self._postponed.append(_Postponed(call, self._clock.now() + seconds))
        self._wake.set()

    def stop(self) -> None:
        """End the thread after the look it is at."""
        self._stopped = True
        self._wake.set()

    def _run(self) -> None:
        with self._hold:
            self._watch()

    def _watch(self) -> None:
        while not self._stopped:
            with self._lock:
                self._watched = [item for item in self._watched if not item[0].round.ended.is_set()]
                look = min(self._watched, key=lambda item: item[0].due_at, default=None)
                call = min(self._postponed, key=lambda item: item.due_at, default=None)
            dues = [] if look is None else [look[0].due_at]
            dues += [] if call is None else [call.due_at]
            pause = min(dues) - self._clock.now() if dues else _IDLE_S
            if pause > 0:
                if self._clock.wait(self._wake, pause):
                    self._wake.clear()
            elif call is not None and call.due_at <= self._clock.now():
                with self._lock:
                    self._postponed.remove(call)
                call.call()
            elif look is not None:
                watched, connection = look
                _look(connection, watched.round)
                watched.due_at = self._clock.now() + poll_interval(self._clock.now() - watched.submitted_at)


def _look(connection: Connection, round_: RoundInFlight) -> None:
    if not (sessions := round_.sessions):
        return  # all that is missing is being read, which nobody needs to ask for
    crash_point("poll.before")
    try:
        for ordinal in sorted(sessions):
            identifier = session_id(connection.run.uid, ordinal)
            for job in connection.service.list_session_jobs(
                identifier, name_prefix=round_.place.prefix, attempts=ATTEMPTS_IN_RUN
            ):
                round_.observe(connection, job)
    except Exception as error:  # handed to whoever waits for the round, and raised there
        round_.fail(error)
    crash_point("poll.after")
