"""Named places at which a process can be told to die, so that tests can show that it does no harm there.

`HYBRIDLOOP_CRASH_AT=put.after` kills this process with SIGKILL when it first comes by that place, `put.after:3` when it
comes by for the third time. Without the variable nothing is counted.
"""

from __future__ import annotations

import os
import signal
import threading

VARIABLE = "HYBRIDLOOP_CRASH_AT"
STEPS = ("intent", "upload", "put", "answer", "poll", "result", "commit", "step", "open", "renew", "close")
POINTS = tuple(f"{step}.{side}" for step in STEPS for side in ("before", "after"))

_passed = 0
_lock = threading.Lock()


def crash_point(name: str) -> None:
    """Die here if the environment says so."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    at, _, times = wanted.partition(":")
    if at != name:
        return
    global _passed  # one count a process is what the variable speaks of
    with _lock:
        _passed += 1
        if _passed == int(times or 1):
            os.kill(os.getpid(), signal.SIGKILL)
