"""Time comes in through this door, so that a test never sleeps and a virtual service can share its time."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """The time that deadlines, polls and retries go by."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most so many seconds; True says that it is set."""
        ...


class RealClock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most so many seconds; True says that it is set."""
        return event.wait(seconds)
