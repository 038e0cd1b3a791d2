"""Streams of a session's rounds, numbered in the order of the calls; one thread at a time makes them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hybridloop.errors import HybridloopError, RunStopped, StreamBusy
from hybridloop.runtime.clock import Clock
from hybridloop.runtime.waits import INTERRUPTED_WAIT_S
from hybridloop.tasks.submission.round_in_flight import RoundInFlight

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Stream:
    """The rounds of one stream: the calling thread, the number of rounds, those in flight."""

    thread: int
    rounds: int = 0
    in_flight: list[RoundInFlight] = field(default_factory=list)
    is_building: bool = False


@dataclass(slots=True)
class Turn:
    """The next round of a stream: its number, and the round once it is built."""

    number: int
    round: RoundInFlight | None = None


class Streams:
    """The streams of a session by name; no round begins once `stopped` is set. Thread-safe."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.jobs = 0  # of all rounds so far, without further attempts
        self.shots = 0
        self.lost = 0  # jobs without counts, of rounds that were collected
        self._by_name: dict[str, _Stream] = {}
        self._lock = threading.Lock()

    def next_number(self, stream: str) -> int:
        """Return the number of the stream's next round, from 0."""
        state = self._by_name.get(stream)
        return state.rounds if state else 0

    @contextmanager
    def turn(self, stream: str, stop_reason: HybridloopError | None) -> Iterator[Turn]:
        """Hold the stream while its next round is built; its number stays free if the block raises.

        Raises StreamBusy if another thread uses the stream, and the reason of the stop if no round may begin.
        """
        state = self._take(stream, stop_reason)
        turn = Turn(state.rounds)
        try:
            yield turn
        finally:
            with self._lock:
                state.is_building = False
                if turn.round is not None:
                    state.rounds += 1
                    state.in_flight.append(turn.round)
                    self.jobs += turn.round.size
                    self.shots += turn.round.shots

    def add_lost(self, jobs: int) -> None:
        """Count the lost jobs of a round that was collected."""
        with self._lock:
            self.lost += jobs

    def rounds(self) -> list[RoundInFlight]:
        """Return the last rounds of all streams, those in flight among them."""
        with self._lock:
            return [round_ for stream in self._by_name.values() for round_ in stream.in_flight]

    def in_flight(self) -> list[RoundInFlight]:
        """Return the rounds in flight."""
        return [round_ for round_ in self.rounds() if not round_.ended.is_set()]

    def wait_for_last_rounds(self, clock: Clock, *, is_signalled: bool) -> None:
        """Wait some seconds for the rounds in flight: their counts are paid for, and a resume need not fetch them."""
        pending = sum(round_.in_flight for round_ in self.in_flight())
        action = "no job is in flight, and the session is closed"
        if pending:
            action = f"waits at most {INTERRUPTED_WAIT_S:.0f} s for {pending} job(s) in flight, then closes the session"
        further = "; a second signal skips the wait, a third leaves the session open" if is_signalled else ""
        _log.warning("interrupted: %s%s", action, further)
        until = clock.now() + INTERRUPTED_WAIT_S
        for round_ in self.in_flight():
            clock.wait(round_.ended, max(0.0, until - clock.now()))

    def _take(self, stream: str, stop_reason: HybridloopError | None) -> _Stream:
        caller = threading.get_ident()
        with self._lock:
            if self.stopped.is_set():
                raise stop_reason or RunStopped(0)
            state = self._by_name.setdefault(stream, _Stream(caller))
            state.in_flight = [round_ for round_ in state.in_flight if not round_.ended.is_set()]
            if state.thread != caller and (state.in_flight or state.is_building):
                raise StreamBusy(stream)
            state.thread = caller
            state.is_building = True
        return state
