"""Time comes in through this door, so that a test never sleeps and a virtual service can share its time."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


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
