"""The line of a user's program from which a call came."""

from __future__ import annotations

import sys
from pathlib import Path

_OWN = str(Path(__file__).parents[1])


def level_of_caller() -> int:
    """Return the `stacklevel` of a warning by which it shows the line outside of this package that led to it."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN):
        level, frame = level + 1, frame.f_back
    return level
