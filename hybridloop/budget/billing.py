"""Billing: the costs that the service states for ended jobs, and their sum."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from hybridloop.azure.job_document import checked_amount

_CREDITS = {"hqc": "HQC", "ehqc": "eHQC"}  # Quantinuum's credits, which the service lists beside a total of 0 USD
_LONGEST_UNIT = 8  # characters


def billed_amounts(estimate: Mapping[str, Any] | None) -> dict[str, float] | None:
    """Return the amounts of a job's `costEstimate` by unit (USD, HQC, eHQC, …); None if it has none, as failed jobs.

    An estimate with an amount that can't be one (negative, NaN, text) states no cost: the reserved amount counts then.
    """
    stated = estimate if isinstance(estimate, dict) else {}
    events = stated.get("events")
    lines = [line for line in events if isinstance(line, dict)] if isinstance(events, list) else []
    charges: list[tuple[object, object]] = [
        (_CREDITS[name], line.get("amountBilled"))
        for line in lines
        if isinstance(name := line.get("dimensionId"), str) and name in _CREDITS
    ]
    billed: defaultdict[str, float] = defaultdict(float)
    for unit, amount in charges or [(stated.get("currencyCode"), stated.get("estimatedTotal"))]:
        checked = checked_amount(amount)
        if checked is None or not isinstance(unit, str) or len(unit) > _LONGEST_UNIT:
            return None
        billed[unit] += checked
    return dict(billed)


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
