"""Retry policy of service calls: transient failures are retried with exponential backoff and jitter.

This is the only retry layer: the retries of the SDK and of the storage library are off (see `transport`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Set
from typing import TypeVar

import tenacity

from hybridloop.azure.transport import TRANSIENT, FailureKind, RequestFailed
from hybridloop.runtime.clock import Clock
from hybridloop.runtime.run_events import report
from hybridloop.runtime.waits import RETRY_AFTER_CAP_S, SERVICE_SILENT_S, SILENCE_SAID_S

ATTEMPTS = 5  # of calls for which a user waits
ATTEMPTS_IN_RUN = 11  # of calls within a run: about 40 s in all
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0
TOO_MANY_REQUESTS = 429
SAID_EVERY_S = 60.0
_last_said = -SAID_EVERY_S

T = TypeVar("T")
_jitter = tenacity.wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S)  # full jitter


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    retry_after = error.retry_after if isinstance(error, RequestFailed) else None
    return _jitter(state) if retry_after is None else max(_jitter(state), min(retry_after, RETRY_AFTER_CAP_S))


def _report_retry(state: tenacity.RetryCallState) -> None:
    """Report a call that will be sent again."""
    error = state.outcome.exception() if state.outcome else None
    if state.next_action is None or not isinstance(error, RequestFailed):
        return
    wait_s = state.next_action.sleep
    kind, why = "call.retried", f"a request to the service failed ({error.status or error.kind.name.lower()})"
    if error.status == TOO_MANY_REQUESTS:
        kind, why = "service.throttled", "the service throttles requests (429)"
    facts = {"status": error.status, "wait_s": round(wait_s, 3)}
    level, silent_s = logging.INFO, state.seconds_since_start or 0.0
    if error.kind is FailureKind.UNREACHABLE and silent_s >= SILENCE_SAID_S and _may_say():
        level, why = logging.WARNING, f"the service has not answered for {silent_s:.0f} s"
    report(kind, f"{why}; sent again in {wait_s:.1f} s", facts, level=level)


def _may_say() -> bool:
    """Return True once a minute: many requests wait for a silent service at once."""
    global _last_said
    may_say = time.monotonic() - _last_said >= SAID_EVERY_S
    if may_say:
        _last_said = time.monotonic()
    return may_say


def call_with_retries(
    call: Callable[[], T],
    *,
    clock: Clock,
    stop: threading.Event,
    attempts: int = ATTEMPTS,
    transient: Set[FailureKind] = TRANSIENT,
) -> T:
    """Return the call's value; retry it after a transient failure, with at most `attempts` attempts in all.

    Only for calls that are safe to repeat: reads, writes under an id that we chose, closing. A Retry-After header
    is honoured up to 30 s. Once `stop` is set, or a service has been silent for `SERVICE_SILENT_S`, there is no further
    attempt. Raises the last RequestFailed.
    """
    began = clock.now()

    def is_silent(state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        is_unreachable = isinstance(error, RequestFailed) and error.kind is FailureKind.UNREACHABLE
        return is_unreachable and clock.now() - began >= SERVICE_SILENT_S

    def wait(seconds: float) -> None:
        clock.wait(stop, seconds)

    limits = tenacity.stop_any(tenacity.stop_after_attempt(attempts), tenacity.stop_when_event_set(stop))
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, RequestFailed) and error.kind in transient),
        wait=_wait,
        stop=lambda state: limits(state) or is_silent(state),
        sleep=wait,
        before_sleep=_report_retry,
        reraise=True,
    )
    return retrying(call)
