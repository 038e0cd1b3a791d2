"""The one retry layer: which calls are asked again, how often, and how long between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Set
from typing import TypeVar

import tenacity

from hybridloop.sessions.clock import Clock
from hybridloop.sessions.transport import PASSING, ExchangeFailed, Trouble

ATTEMPTS = 5  # of calls for which somebody waits
PATIENT_ATTEMPTS = 11  # of calls in the midst of a run: some 40 s
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0
RETRY_AFTER_CAP_S = 30.0

T = TypeVar("T")
_jitter = tenacity.wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S)  # full jitter


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ExchangeFailed) else None
    return _jitter(state) if asked is None else max(_jitter(state), min(asked, RETRY_AFTER_CAP_S))


def repeat(
    call: Callable[[], T],
    *,
    clock: Clock,
    stop: threading.Event,
    attempts: int = ATTEMPTS,
    passing: Set[Trouble] = PASSING,
) -> T:
    """The call's value, asked again after passing trouble, at most `attempts` times in all.

    Only for calls that are safe to repeat: reads, writes under an id that we chose, closing. A server's Retry-After
    is honoured up to 30 s. Once `stop` is set there is no further attempt. Raises the last ExchangeFailed.
    """

    def wait(seconds: float) -> None:
        clock.wait(stop, seconds)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, ExchangeFailed) and error.trouble in passing),
        wait=_wait,
        stop=tenacity.stop_any(tenacity.stop_after_attempt(attempts), tenacity.stop_when_event_set(stop)),
        sleep=wait,
        reraise=True,
    )
    return retrying(call)
