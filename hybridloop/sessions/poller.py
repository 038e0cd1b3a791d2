"""One thread a session that asks how its rounds in flight are doing: one list a round and tick, by name prefix."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from hybridloop.sessions.rounds import Connection, RoundInFlight

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


class Poller:
    """Watches the rounds of one session until it is stopped."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._watched: list[_Watched] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False
        self._hold = connection.clock.hold()
        self._thread = threading.Thread(target=self._run, name="hybridloop-poller", daemon=True)
        self._thread.start()

    def watch(self, round_: RoundInFlight) -> None:
        """Look after a round from now until it ends."""
        now = self._connection.clock.now()
        with self._lock:
            self._watched.append(_Watched(round_, now, now))
        self._wake.set()

    def stop(self) -> None:
        """End the thread after the look it is at."""
        self._stopped = True
        self._wake.set()

    def _run(self) -> None:
        with self._hold:
            self._watch()

    def _watch(self) -> None:
        clock = self._connection.clock
        while not self._stopped:
            with self._lock:
                self._watched = [item for item in self._watched if not item.round.ended.is_set()]
                due = min(self._watched, key=lambda item: item.due_at, default=None)
            pause = _IDLE_S if due is None else due.due_at - clock.now()
            if pause > 0:
                if clock.wait(self._wake, pause):
                    self._wake.clear()
            elif due is not None:
                self._look(due.round)
                due.due_at = clock.now() + poll_interval(clock.now() - due.submitted_at)

    def _look(self, round_: RoundInFlight) -> None:
        connection = self._connection
        try:
            for job in connection.service.jobs_of_session(connection.session_id, name_prefix=round_.place.prefix):
                round_.observe(connection, job)
        except Exception as error:  # handed to whoever waits for the round, and raised there
            round_.fail(error)
