"""Real and virtual clock of the service, and its time formats in replies.

The client's clocks, in `hybridloop.runtime.clock`, are its own: the emulator imports no other part of hybridloop.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time, in seconds since 1970-01-01 UTC."""

    def now(self) -> float: ...


class RealClock:
    """The machine's clock as it was set at the start of this one, so that no session ends because it was set later."""

    def __init__(self) -> None:
        self._epoch = time.time() - _steady_s()

    def now(self) -> float:
        return self._epoch + _steady_s()


def _steady_s() -> float:
    """Return seconds of a clock that is never set and, where there is one, counts the machine's suspend."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class VirtualClock:
    """A clock that moves only by `advance_to`, and only forward."""

    def __init__(self, start: float) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def advance_to(self, moment: float) -> None:
        """Set the time to `moment`; a moment in the past changes nothing."""
        self._now = max(self._now, moment)


def format_time(moment: float, zone: str = "Z") -> str:
    """Format a time as the service does: ISO 8601 with seven digits of fraction, and "Z" or "+00:00".

    >>> format_time(0.25)
    '1970-01-01T00:00:00.2500000Z'
    """
    seconds, fraction = divmod(round(moment * 10_000_000), 10_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:07d}{zone}"


def format_time_to_second(moment: float) -> str:
    """Format a time to the whole second, rounded down, as SAS signatures have it.

    >>> format_time_to_second(59.9)
    '1970-01-01T00:00:59Z'
    """
    return f"{datetime.fromtimestamp(int(moment), UTC):%Y-%m-%dT%H:%M:%SZ}"


def parse_time(text: str) -> float:
    """Parse an ISO 8601 time to seconds since 1970; without a zone it is UTC. Raises ValueError.

    >>> parse_time("1970-01-01T00:01:00Z")
    60.0
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
