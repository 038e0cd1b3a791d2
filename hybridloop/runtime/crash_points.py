"""Crash points: named places at which a process can be killed, so that tests can show that it resumes correctly.

`HYBRIDLOOP_CRASH_AT=put.after` kills this process with SIGKILL when it first passes that point, `put.after:3` when it
passes it for the third time. `POINTS` are those of every session; classical steps between rounds have
`iteration.before` and `iteration.after` as well, and the end of a run `end.stored` and, in Prefect, `end.shown`.
Without the variable nothing is counted.
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
    """Kill this process if the environment variable names this point and pass."""
    setting = os.environ.get(VARIABLE)
    if setting is None:
        return
    point, _, times = setting.partition(":")
    if point != name:
        return
    global _passed  # the variable counts passes of the whole process
    with _lock:
        _passed += 1
        if _passed == int(times or 1):
            os.kill(os.getpid(), signal.SIGKILL)
