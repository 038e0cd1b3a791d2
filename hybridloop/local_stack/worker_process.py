"""Prefect's worker as a process that ends with the one that started it, also after kill -9."""

from __future__ import annotations

import os
import sys
import threading


def main() -> None:
    """Run `prefect` with the arguments until it ends, or until standard input does: its other end was the parent's."""
    lifeline = os.dup(0)  # not inherited by runs
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=_end_with, args=(lifeline,), name="hybridloop-lifeline", daemon=True).start()
    from prefect.cli import app

    sys.argv[0] = "prefect"
    app()


def _end_with(lifeline: int) -> None:
    """End this process at once when the pipe closes: its runs go on, close their sessions, and no other is begun."""
    os.read(lifeline, 1)
    os._exit(1)
