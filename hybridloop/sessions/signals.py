"""SIGTERM as an exception, so that a process that is told to end closes what it has open at the service."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
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
