"""Durations as text, in the same form on terminals, in reports and in messages."""

from __future__ import annotations

_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"))


def format_duration(seconds: float) -> str:
    """Format a duration to a tenth of the largest unit of which it has two, for estimates, limits and totals.

    >>> [format_duration(seconds) for seconds in (0.5, 90, 1799.9, 43_200, 1e6)]
    ['0.5 s', '90 s', '30 min', '12 h', '11.6 d']
    """
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2.0 * size), (1.0, "s"))
    return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"


def format_elapsed(seconds: float) -> str:
    """Format a running time in its two largest units, the last one rounded down, for live displays.

    >>> [format_elapsed(seconds) for seconds in (7.2, 95, 28_800, 93_600)]
    ['7 s', '1 min 35 s', '8 h 0 min', '1 d 2 h']
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
