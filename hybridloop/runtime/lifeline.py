"""Lifeline of a child process: a pipe as its standard input, by which it ends with the process that started it."""

from __future__ import annotations

import os
import threading


def end_with_parent() -> None:
    """End this process at once when its standard input does: its other end was the parent's, also after kill -9."""
    lifeline = os.dup(0)  # not inherited by its own children
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=_end_with, args=(lifeline,), name="hybridloop-lifeline", daemon=True).start()


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)
