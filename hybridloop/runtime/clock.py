"""Clock protocol for deadlines, polls and retries, so that tests never sleep and virtual time can replace real time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Protocol

_FOREVER_S = 3600.0
_LONGEST_SLICE_S = 10.0  # a wait in progress does not count the machine's suspend
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_s() -> float:
    """Return seconds of a clock that is never set and that, where the system has one, counts the machine's suspend."""
    return time.clock_gettime(_STEADY)


_BEGUN_S: ContextVar[float | None] = ContextVar("hybridloop-begun", default=None)


@contextmanager
def beginning_now() -> Iterator[None]:
    """Let the deadlines of runs inside the block, which is a command or a call, count from its begin."""
    begun = _BEGUN_S.set(steady_s())
    try:
        yield
    finally:
        _BEGUN_S.reset(begun)


def begun_s() -> float:
    """Return the begin of the command or call around by the steady clock, from which deadlines count; else now."""
    begun = _BEGUN_S.get()
    return steady_s() if begun is None else begun


class Clock(Protocol):
    """A source of time that threads wait by; a virtual one advances only while all its threads wait."""

    def now(self) -> float:
        """Seconds since the epoch as of the clock's start; setting the machine's clock does not change it."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most so many seconds; return True if it is set."""
        ...

    def hold(self) -> AbstractContextManager[object]:
        """Stop virtual time until the block is left, except in waits of the thread that entered it.

        To start a thread, call this first and let the thread enter the block, so that no time passes in between.
        """
        ...


class RealClock:
    """The machine's clock as it was set at the start of this one: intervals and deadlines hold when it is set later."""

    def __init__(self) -> None:
        self._epoch = time.time() - steady_s()

    def now(self) -> float:
        """Seconds since the epoch, of a clock that is never set."""
        return self._epoch + steady_s()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most so many seconds; return True if it is set."""
        until = steady_s() + seconds
        while (left := until - steady_s()) > 0.0 and not event.wait(min(left, _LONGEST_SLICE_S)):
            pass
        return event.is_set()

    def hold(self) -> AbstractContextManager[object]:
        """Return a null context: real time can't be stopped."""
        return nullcontext()


class ClockLock:
    """A reentrant lock whose waiters wait by a clock, so that its holder may wait by that clock as well.

    A thread blocked on a plain lock would count as working, and virtual time would never reach the end of the holder's
    wait.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._guard = threading.Lock()
        self._waiting: list[threading.Event] = []

    def __enter__(self) -> None:
        while not self.acquire(_FOREVER_S):
            pass

    def __exit__(self, *_raised: object) -> None:
        self.release()

    def acquire(self, seconds: float) -> bool:
        """Wait at most so many seconds for the lock; return True if the calling thread has it."""
        until = self._clock.now() + seconds
        while not self._lock.acquire(blocking=False):
            freed = threading.Event()
            with self._guard:
                self._waiting.append(freed)
            if self._lock.acquire(blocking=False):  # released before this thread was on the list
                return True
            if not self._clock.wait(freed, until - self._clock.now()):
                return False
        return True

    def release(self) -> None:
        """Release the lock, and wake those that wait for it."""
        self._lock.release()
        with self._guard:
            waiting, self._waiting = self._waiting, []
        for freed in waiting:
            freed.set()
