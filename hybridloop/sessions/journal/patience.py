"""How long a write waits for a journal that others keep: a while once, and hardly at all after that was in vain.

A run that ends because its journal is locked still has a dozen things to write: its last round, its session's end,
its status, its lease. Each would wait for as long as the first, and they all tell the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

IN_HASTE_S = 0.2
RECONNECT_IN_HASTE_S = 2  # the least that PostgreSQL's library takes


class Patience:
    """What writes of one journal wait, in seconds; `now` is a clock that only goes forward. For any number of threads.

    After a wait in vain writes wait `IN_HASTE_S`, until one has got through, or none has failed for `busy_s`.
    """

    def __init__(self, busy_s: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self.busy_s = busy_s
        self._now = now
        self._lock = threading.Lock()
        self._since: float | None = None
        self._failed_at = 0.0

    @property
    def is_used_up(self) -> bool:
        """Whether somebody waited in vain just now."""
        with self._lock:
            return self._since is not None and self._now() < self._failed_at + self.busy_s

    @property
    def wait_s(self) -> float:
        """What a write that begins now waits at most."""
        return min(IN_HASTE_S, self.busy_s) if self.is_used_up else self.busy_s

    @property
    def waited_s(self) -> float:
        """For how long the journal has kept everybody waiting, once somebody has waited in vain."""
        with self._lock:
            return self.busy_s if self._since is None else round(self._failed_at - self._since, 1)

    def in_vain(self) -> None:
        """A write has waited for all that it may."""
        is_first = not self.is_used_up
        with self._lock:
            self._failed_at = self._now()
            if is_first:
                self._since = self._failed_at - self.busy_s

    def got_through(self) -> None:
        """A write has had its turn."""
        with self._lock:
            self._since = None
