"""What a benchmark promises, and whether it was kept."""

from __future__ import annotations

import enum
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass


class Side(enum.StrEnum):
    """On which side of its bound a figure must lie."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True, slots=True)
class Bound:
    """A figure with its unit (or "" for a ratio), and the bound that it must keep."""

    name: str
    measured: float
    side: Side
    limit: float
    unit: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether the figure lies on the right side."""
        return self.measured >= self.limit if self.side is Side.AT_LEAST else self.measured <= self.limit

    def __str__(self) -> str:
        verdict = "ok" if self.is_kept else "MISSED"
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.name:<52} {self.measured:8.2f}{unit} ({self.side} {self.limit:g}{unit})  {verdict}"


def conclude(bounds: Sequence[Bound]) -> int:
    """Print each bound with its verdict; the exit code, 1 if one was missed."""
    for bound in bounds:
        print(bound)
    return 0 if all(bound.is_kept for bound in bounds) else 1


def machine() -> str:
    """This machine and how busy it is, in one line: figures are worth little without it."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {load} at the start"
    )
