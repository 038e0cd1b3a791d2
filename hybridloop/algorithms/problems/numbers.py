"""Decimal numbers in text, as programs write them."""

from __future__ import annotations

import re

_DECIMAL = re.compile(
    r"[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|nan|inf|infinity)", re.IGNORECASE | re.ASCII
)  # float() also takes digits of other scripts, and underscores


def parse_decimal(word: str) -> float:
    """Return the number that a word of ASCII digits states; ±inf for one beyond the range. Raises ValueError.

    >>> parse_decimal("-1.5e-3")
    -0.0015
    """
    if _DECIMAL.fullmatch(word) is None:
        raise ValueError(f"{word[:40]!r} is not a number")
    return float(word)
