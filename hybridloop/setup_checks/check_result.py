"""Result of one check of the set-up."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class CheckStatus(enum.StrEnum):
    """Status of a check."""

    OK = "ok"
    WARNING = "warning"  # runs are possible, with a surprise
    WRONG = "wrong"  # runs are not possible, or not as intended
    SKIPPED = "skipped"  # another problem prevents the check


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of a check: what was `found`, and the `remedy`, which is empty if there is nothing to fix."""

    check: str
    state: CheckStatus
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> CheckResult:
    """Return a result without a problem."""
    return CheckResult(check, CheckStatus.OK, found)


def warning(check: str, found: str, remedy: str) -> CheckResult:
    """Return a result with which runs are possible."""
    return CheckResult(check, CheckStatus.WARNING, found, remedy)


def wrong(check: str, found: str, remedy: str) -> CheckResult:
    """Return a result that must be fixed."""
    return CheckResult(check, CheckStatus.WRONG, found, remedy)


def skipped(check: str, reason: str) -> CheckResult:
    """Return the result of a check that could not be made."""
    return CheckResult(check, CheckStatus.SKIPPED, reason)
