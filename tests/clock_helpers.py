"""Clocks that stand in for the machine's in tests of waits."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext


class ManualClock:
    """Clock that is set by hand; a wait takes no time and advances it."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.time += seconds
        return event.is_set()

    def hold(self) -> AbstractContextManager[object]:
        return nullcontext()
