"""Virtual time with several who live in it: it jumps when all of them wait and nothing is being computed.

A discrete-event clock. Each participant is one process; it is busy until it waits, and then waits for a moment. The
service's own moments (alarms, sessions' time-outs) are stops on the way: what falls due there is done there.
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


def jump_to(waits: Sequence[float | None], own: Callable[[], float | None]) -> float | None:
    """The moment to which time jumps, None while it stands.

    `waits` has the moment that each participant waits for (infinity: for ever), None for one that is busy: while
    there is such a one, or nobody at all, time stands. `own` gives the service's next moment; it is asked last.

    >>> jump_to([30.0, 20.0], lambda: 25.0)
    20.0
    >>> jump_to([30.0, None], lambda: 25.0) is None
    True
    """
    moments = [moment for moment in waits if moment is not None]
    if not moments or len(moments) < len(waits):
        return None
    own_moment = own()
    earliest = min(moments if own_moment is None else [*moments, own_moment])
    return earliest if math.isfinite(earliest) else None


class Books(Protocol):
    """What time does to the service's books."""

    def advance(self, clock: VirtualClock, moment: float) -> None: ...

    def next_time_out(self) -> float | None: ...


@dataclass(slots=True)
class Participant:
    """A process that lives in this time: busy while `wakes` is None, else waiting for `until`."""

    id: str
    name: str
    until: float = math.inf
    wakes: asyncio.Future[None] | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def waits_for(self) -> float | None:
        """The moment that it waits for, None while it is busy."""
        return None if self.wakes is None else self.until


@dataclass(order=True, slots=True)
class Alarm:
    """Something that the service has to do at a moment; without `act` it was cancelled."""

    moment: float
    number: int
    act: Callable[[], None] | None = field(compare=False)

    def cancel(self) -> None:
        """Do not do it."""
        self.act = None


class VirtualTime:
    """Who waits for what, and the jumps. To be used from the event loop only."""

    def __init__(self, clock: VirtualClock, books: Books) -> None:
        self.clock = clock
        self.is_computing: Callable[[], bool] = lambda: False
        self.awaits_results: Callable[[], bool] = lambda: False
        self._changed = asyncio.Event()
        self._books = books
        self._participants: dict[str, Participant] = {}
        self._alarms: list[Alarm] = []
        self._numbers = itertools.count()
        self._is_settling = False

    @property
    def participants(self) -> list[Participant]:
        """All who have joined."""
        return list(self._participants.values())

    def at(self, moment: float, act: Callable[[], None]) -> Alarm:
        """Have something done at a moment; one that has passed is now."""
        alarm = Alarm(moment, next(self._numbers), act)
        heapq.heappush(self._alarms, alarm)
        self.settle()
        return alarm

    def join(self, name: str) -> Participant:
        """Take a process in; it is busy, so time stands until it waits."""
        participant = Participant(secrets.token_hex(8), name)
        self._participants[participant.id] = participant
        return participant

    def leave(self, participant: Participant) -> None:
        """Let a process go, also one that died: nobody waits for it any more."""
        self._participants.pop(participant.id, None)
        _wake(participant)
        participant.gone.set()
        self.settle()

    def close(self) -> None:
        """Let all go: the service is about to end."""
        for participant in self.participants:
            self.leave(participant)

    def find(self, participant_id: str) -> Participant | None:
        """The participant of that id."""
        return self._participants.get(participant_id)

    async def wait(self, participant: Participant, until: float) -> None:
        """Wait for the moment, or for a call of `wake`; whoever waited before on its behalf is woken."""
        _wake(participant)
        if until <= self.clock.now():
            return
        participant.until = until
        participant.wakes = waiting = asyncio.get_running_loop().create_future()
        self.settle()
        try:
            await waiting
        finally:
            if participant.wakes is waiting:
                participant.wakes = None

    def wake(self, participant: Participant) -> None:
        """End the participant's wait: something came up, and it is busy again."""
        _wake(participant)

    def settle(self) -> None:
        """Something has changed: look soon whether time can jump."""
        self._changed.set()
        if not self._is_settling:
            self._is_settling = True
            asyncio.get_running_loop().call_soon(self._settle)

    def _settle(self) -> None:
        self._is_settling = False
        self._ring()
        while (moment := self._next_jump()) is not None:
            self._go(moment)

    def _next_jump(self) -> float | None:
        if self.is_computing():
            return None
        return jump_to([participant.waits_for for participant in self._participants.values()], self._own_moment)

    async def advance(self, moment: float) -> None:
        """Go forward by hand, over all that waits on the way; the service's own moments are kept in their order."""
        while (own := await self._own_moment_once_known()) is not None and own <= moment:
            self._go(own)
        self._go(moment)

    async def _own_moment_once_known(self) -> float | None:
        while self.awaits_results():
            self._changed.clear()
            await self._changed.wait()
        return self._own_moment()

    def _own_moment(self) -> float | None:
        while self._alarms and self._alarms[0].act is None:
            heapq.heappop(self._alarms)
        moments = [alarm.moment for alarm in self._alarms[:1]]
        time_out = self._books.next_time_out()
        return min(moments + ([] if time_out is None else [time_out]), default=None)

    def _go(self, moment: float) -> None:
        self._books.advance(self.clock, moment)
        self._ring()
        for participant in self._participants.values():
            if participant.wakes is not None and participant.until <= self.clock.now():
                _wake(participant)

    def _ring(self) -> None:
        while self._alarms and self._alarms[0].moment <= self.clock.now():
            act = heapq.heappop(self._alarms).act
            if act is not None:
                act()


def _wake(participant: Participant) -> None:
    """Busy from this moment on, not only from when its process hears of it."""
    waiting, participant.wakes = participant.wakes, None
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
