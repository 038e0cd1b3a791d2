"""Bounds of the benchmarks' figures, and their verdicts."""

from __future__ import annotations

import enum
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass


class Side(enum.StrEnum):
    """Direction of a bound: a minimum or a maximum."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True, slots=True)
class Bound:
    """A measured figure with its unit ("" for a ratio) and its bound."""

    name: str
    measured: float
    side: Side
    limit: float
    unit: str = ""

    @property
    def is_kept(self) -> bool:
        """True if the figure is within its bound."""
        return self.measured >= self.limit if self.side is Side.AT_LEAST else self.measured <= self.limit

    def __str__(self) -> str:
        verdict = "ok" if self.is_kept else "MISSED"
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.name:<52} {self.measured:8.2f}{unit} ({self.side} {self.limit:g}{unit})  {verdict}"


def conclude(bounds: Sequence[Bound]) -> int:
    """Print each bound with its verdict; return the exit code, 1 if one was missed."""
    for bound in bounds:
        print(bound)
    return 0 if all(bound.is_kept for bound in bounds) else 1


def machine() -> str:
    """Return one line on this machine and its load, which the figures depend on."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {load} at the start"
    )
