"""Lengths of time in words, the same ones wherever people read them."""

from __future__ import annotations

_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"))


def one_unit(seconds: float) -> str:
    """A length of time to a tenth of the largest unit of which there are two, for estimates, limits and what is over.

    >>> [one_unit(each) for each in (0.5, 90, 1799.9, 43_200, 1e6)]
    ['0.5 s', '90 s', '30 min', '12 h', '11.6 d']
    """
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2.0 * size), (1.0, "s"))
    return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"


def two_units(seconds: float) -> str:
    """A length of time as a clock shows it, for what passes while one looks; the last unit is rounded down.

    >>> [two_units(each) for each in (7.2, 95, 28_800, 93_600)]
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
