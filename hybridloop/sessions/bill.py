"""What the service says that jobs cost."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

_CREDITS = {"hqc": "HQC", "ehqc": "eHQC"}  # Quantinuum's, which the service counts beside a total of 0 USD


def charges(estimate: Mapping[str, Any] | None) -> dict[str, float] | None:
    """A job's cost estimate by unit (USD, HQC, eHQC, …); None where the service states none, as for failed jobs."""
    stated = estimate or {}
    found: list[tuple[object, object]] = [
        (_CREDITS[line["dimensionId"]], line.get("amountBilled"))
        for line in stated.get("events") or ()
        if line.get("dimensionId") in _CREDITS
    ]
    billed: defaultdict[str, float] = defaultdict(float)
    for unit, amount in found or [(stated.get("currencyCode"), stated.get("estimatedTotal"))]:
        if isinstance(unit, str) and isinstance(amount, int | float):
            billed[unit] += amount
    return dict(billed) or None


class Bill:
    """The sum of what was charged so far, by unit."""

    def __init__(self, before: Mapping[str, float] = {}) -> None:
        self._total: defaultdict[str, float] = defaultdict(float, before)
        self._lock = threading.Lock()

    def add(self, amounts: Mapping[str, float] | None) -> None:
        """Add what a job was charged."""
        with self._lock:
            for unit, amount in (amounts or {}).items():
                self._total[unit] += amount

    def total(self) -> dict[str, float]:
        """The amounts so far."""
        with self._lock:
            return dict(self._total)
