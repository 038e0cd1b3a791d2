"""Waits of tests: for a condition, with a bound for broken code that no working test reaches."""

from __future__ import annotations

from collections.abc import Callable

from hybridloop.local_stack.processes import POLL_S, wait_until

PATIENCE_S = 480.0  # a loaded machine took two minutes where an idle one takes ten seconds


def eventually(
    holds: Callable[[], object], what: Callable[[], object] | None = None, *, poll_s: float = POLL_S
) -> None:
    """Wait until a condition holds; fail with `what` was seen last if it does not."""
    if not wait_until(lambda: bool(holds()), PATIENCE_S, poll_s):
        raise AssertionError(f"not within {PATIENCE_S:.0f} s" + ("" if what is None else f": {what()}"))
