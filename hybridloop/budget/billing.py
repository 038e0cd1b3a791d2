"""Billing: the costs that the service states for ended jobs, and their sum."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

_CREDITS = {"hqc": "HQC", "ehqc": "eHQC"}  # Quantinuum's credits, which the service lists beside a total of 0 USD


def billed_amounts(estimate: Mapping[str, Any] | None) -> dict[str, float] | None:
    """Return the amounts of a job's `costEstimate` by unit (USD, HQC, eHQC, …); None if it has none, as failed jobs."""
    stated = estimate or {}
    credits: list[tuple[object, object]] = [
        (_CREDITS[line["dimensionId"]], line.get("amountBilled"))
        for line in stated.get("events") or ()
        if line.get("dimensionId") in _CREDITS
    ]
    billed: defaultdict[str, float] = defaultdict(float)
    for unit, amount in credits or [(stated.get("currencyCode"), stated.get("estimatedTotal"))]:
        if isinstance(unit, str) and isinstance(amount, int | float):
            billed[unit] += amount
    return dict(billed) or None


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
