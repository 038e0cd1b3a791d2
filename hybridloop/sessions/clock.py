"""Time comes in through this door, so that a test never sleeps and a virtual service can share its time."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

_FOREVER_S = 3600.0


class Clock(Protocol):
    """The time that deadlines, polls and retries go by."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most so many seconds; True says that it is set."""
        ...

    def hold(self) -> AbstractContextManager[object]:
        """Keep virtual time from passing until the block is left, but for the waits of the thread that entered it.

        Whoever starts a thread calls this first, and the thread enters the block: so time can't pass in between.
        """
        ...


class RealClock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most so many seconds; True says that it is set."""
        return event.wait(seconds)

    def hold(self) -> AbstractContextManager[object]:
        """Nothing: real time can't be held."""
        return nullcontext()


class PatientLock:
    """A reentrant lock that may be held over a clock's waits: who waits for it waits by that clock, and time passes.

    With a plain one a thread that blocks would keep virtual time from ever reaching the end of the holder's wait.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held = threading.RLock()
        self._guard = threading.Lock()
        self._waiting: list[threading.Event] = []

    def __enter__(self) -> None:
        while not self._held.acquire(blocking=False):
            freed = threading.Event()
            with self._guard:
                self._waiting.append(freed)
            if self._held.acquire(blocking=False):  # it was freed before we were on the list
                return
            self._clock.wait(freed, _FOREVER_S)

    def __exit__(self, *_raised: object) -> None:
        self._held.release()
        with self._guard:
            waiting, self._waiting = self._waiting, []
        for freed in waiting:
            freed.set()
