"""Sum of the costs that the service states for ended jobs."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping


class Bill:
    """Sum of the billed amounts so far, by unit; thread-safe."""

    def __init__(self, before: Mapping[str, float] = {}) -> None:
        self._total: defaultdict[str, float] = defaultdict(float, before)
        self._lock = threading.Lock()

    def add(self, amounts: Mapping[str, float] | None) -> None:
        """Add the billed amounts of a job."""
        with self._lock:
            for unit, amount in (amounts or {}).items():
                self._total[unit] += amount

    def total(self) -> dict[str, float]:
        """Return the amounts so far."""
        with self._lock:
            return dict(self._total)
