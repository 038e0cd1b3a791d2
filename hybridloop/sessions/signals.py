"""Signals: SIGTERM as an exception, so that what is open at the service is closed; and counted while it is."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 128 + signal.SIGTERM  # what a shell shows for a process that SIGTERM ended


@contextmanager
def sigterm_unwinds() -> Iterator[None]:
    """Let SIGTERM leave the block as `SystemExit(143)`; by default it ends the process on the spot, all left open.

    Does nothing where somebody handles SIGTERM already (Prefect does during a flow run), and in threads other than
    the main one, which alone is interrupted by signals.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


@contextmanager
def counted_signals(hurry: Callable[[], None]) -> Iterator[None]:
    """While a session is closed, a signal ends the waiting before the close, and one more ends the process.

    Only the main thread is told of signals; elsewhere this does nothing. The close is bounded by its own limits.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    counted = 0

    def heard(number: int, _frame: FrameType | None) -> None:
        nonlocal counted
        counted += 1
        if counted > 1:
            os._exit(128 + number)  # asked for three times: the session is left to `sessions sweep`
        hurry()

    former = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
