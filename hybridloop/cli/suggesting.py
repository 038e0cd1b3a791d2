"""What may have been meant by a name that there is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, names: Iterable[str], *, otherwise: str | None = None) -> str:
    """The nearest name as a question; else `otherwise`, else all names."""
    there = list(names)
    near = difflib.get_close_matches(name.lower(), there, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return otherwise or f"There are: {', '.join(there)}."
