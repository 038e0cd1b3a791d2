"""What was found out about one thing of the set-up."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.StrEnum):
    """How a thing is found."""

    OK = "ok"
    WARNING = "warning"  # runs are possible, and something will surprise
    WRONG = "wrong"  # runs are not possible, or not as they are meant
    SKIPPED = "skipped"  # another thing stands in its way


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found; `remedy` says how to mend it, and is empty where there is nothing to mend."""

    check: str
    state: State
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, State.OK, found)


def warning(check: str, found: str, remedy: str) -> Finding:
    """Something will surprise."""
    return Finding(check, State.WARNING, found, remedy)


def wrong(check: str, found: str, remedy: str) -> Finding:
    """Something must be mended."""
    return Finding(check, State.WRONG, found, remedy)


def skipped(check: str, because: str) -> Finding:
    """Nothing can be said."""
    return Finding(check, State.SKIPPED, because)
