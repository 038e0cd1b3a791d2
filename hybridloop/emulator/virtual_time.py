"""Discrete-event simulation time, shared by the service and any number of client processes.

Each participant is one process: busy, or waiting for a moment. Time jumps only when all participants wait and no
circuit is being computed. The service's own events (timers, idle timeouts of sessions) are stops on the way: what is
due at a moment is done at that moment. All times are seconds since 1970.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hybridloop.emulator.clock import VirtualClock


def next_jump(waits: Sequence[float | None], next_event: Callable[[], float | None]) -> float | None:
    """Return the moment to which time jumps, None if it must stand.

    `waits` has the moment that each participant waits for (infinity: forever), None for a busy one. Time stands while
    a participant is busy, or without participants. `next_event` returns the service's next event; it is called last.

    >>> next_jump([30.0, 20.0], lambda: 25.0)
    20.0
    >>> next_jump([30.0, None], lambda: 25.0) is None
    True
    """
    moments = [moment for moment in waits if moment is not None]
    if not moments or len(moments) < len(waits):
        return None
    event = next_event()
    earliest = min(moments if event is None else [*moments, event])
    return earliest if math.isfinite(earliest) else None


class TimeDrivenService(Protocol):
    """A service whose sessions time out on a virtual clock."""

    def advance(self, clock: VirtualClock, moment: float) -> None: ...

    def next_idle_timeout(self) -> float | None: ...


@dataclass(slots=True)
class Participant:
    """A process in virtual time: busy while `wake_up` is None, else waiting for `until`."""

    id: str
    name: str
    until: float = math.inf
    wake_up: asyncio.Future[None] | None = None
    has_left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def waits_for(self) -> float | None:
        """The moment that it waits for; None while it is busy."""
        return None if self.wake_up is None else self.until

    def wake(self) -> None:
        """End its wait: it is busy now, before its process receives the answer to the wait."""
        future, self.wake_up = self.wake_up, None
        if future is not None and not future.done():
            future.set_result(None)


@dataclass(order=True, slots=True)
class VirtualTimer:
    """A callback of the service at a moment; `callback` is None once it was cancelled."""

    moment: float
    number: int
    callback: Callable[[], None] | None = field(compare=False)

    def cancel(self) -> None:
        self.callback = None


class VirtualTime:
    """Participants, timers and jumps of one virtual clock. Use it from the event loop only."""

    def __init__(self, clock: VirtualClock, service: TimeDrivenService) -> None:
        self.clock = clock
        self.participants: dict[str, Participant] = {}  # by id
        self.is_computing: Callable[[], bool] = lambda: False
        self.awaits_results: Callable[[], bool] = lambda: False
        self._changed = asyncio.Event()
        self._service = service
        self._timers: list[VirtualTimer] = []
        self._numbers = itertools.count()
        self._is_update_scheduled = False

    def call_at(self, moment: float, callback: Callable[[], None]) -> VirtualTimer:
        """Schedule a callback; a moment in the past means as soon as possible."""
        timer = VirtualTimer(moment, next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        self.notify_change()
        return timer

    def join(self, name: str) -> Participant:
        """Add a participant; it is busy, so time stands until it waits."""
        participant = Participant(secrets.token_hex(8), name)
        self.participants[participant.id] = participant
        return participant

    def leave(self, participant: Participant) -> None:
        """Remove a participant, also one whose process died; time no longer waits for it."""
        self.participants.pop(participant.id, None)
        participant.wake()
        participant.has_left.set()
        self.notify_change()

    def close(self) -> None:
        for participant in list(self.participants.values()):
            self.leave(participant)

    async def wait(self, participant: Participant, until: float) -> None:
        """Wait until the moment or a call of the participant's `wake`; an earlier wait of the same participant ends."""
        participant.wake()
        if until <= self.clock.now():
            return
        participant.until = until
        participant.wake_up = future = asyncio.get_running_loop().create_future()
        self.notify_change()
        try:
            await future
        finally:
            if participant.wake_up is future:
                participant.wake_up = None

    def notify_change(self) -> None:
        """Check soon whether time can jump, because participants, timers or jobs changed."""
        self._changed.set()
        if not self._is_update_scheduled:
            self._is_update_scheduled = True
            asyncio.get_running_loop().call_soon(self._update)

    def _update(self) -> None:
        self._is_update_scheduled = False
        self._run_due_timers()
        while (moment := self._next_jump()) is not None:
            self._jump(moment)

    def _next_jump(self) -> float | None:
        if self.is_computing():
            return None
        return next_jump([participant.waits_for for participant in self.participants.values()], self._next_event)

    async def advance(self, moment: float) -> None:
        """Set the time to `moment`, whether or not participants wait; the service's events happen in their order."""
        while (event := await self._next_event_once_known()) is not None and event <= moment:
            self._jump(event)
        self._jump(moment)

    async def _next_event_once_known(self) -> float | None:
        """Return the service's next event, after the results on which it depends have come."""
        while self.awaits_results():
            self._changed.clear()
            await self._changed.wait()
        return self._next_event()

    def _next_event(self) -> float | None:
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        moments = [timer.moment for timer in self._timers[:1]]
        timeout = self._service.next_idle_timeout()
        return min(moments + ([] if timeout is None else [timeout]), default=None)

    def _jump(self, moment: float) -> None:
        self._service.advance(self.clock, moment)
        self._run_due_timers()
        for participant in self.participants.values():
            if participant.wake_up is not None and participant.until <= self.clock.now():
                participant.wake()

    def _run_due_timers(self) -> None:
        while self._timers and self._timers[0].moment <= self.clock.now():
            callback = heapq.heappop(self._timers).callback
            if callback is not None:
                callback()
