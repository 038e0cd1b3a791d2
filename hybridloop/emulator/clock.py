"""The service's time: real, or virtual and told to advance; and how times look in replies."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time, in seconds since 1970-01-01 UTC."""

    def now(self) -> float: ...


class RealClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.time()


class VirtualClock:
    """Stands still until it is told to go forward; it never goes back."""

    def __init__(self, start: float) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def advance_to(self, moment: float) -> None:
        """Go forward to `moment`; a moment in the past leaves the clock where it is."""
        self._now = max(self._now, moment)


def utc_text(moment: float, zone: str = "Z") -> str:
    """The moment as the service writes it: seven digits of fraction, and "Z" or "+00:00".

    >>> utc_text(0.25)
    '1970-01-01T00:00:00.2500000Z'
    """
    seconds, fraction = divmod(round(moment * 10_000_000), 10_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:07d}{zone}"


def utc_second(moment: float) -> str:
    """The moment to the whole second, as signatures carry it.

    >>> utc_second(59.9)
    '1970-01-01T00:00:59Z'
    """
    return f"{datetime.fromtimestamp(int(moment), UTC):%Y-%m-%dT%H:%M:%SZ}"


def moment_of(text: str) -> float:
    """Seconds since 1970 of an ISO time; without a zone it is UTC. Raises ValueError where it is none.

    >>> moment_of("1970-01-01T00:01:00Z")
    60.0
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
