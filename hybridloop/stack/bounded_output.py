"""Runs a module whose output file is begun anew once it is long: parts of the stack run for weeks.

    python -m hybridloop.stack.bounded_output FILE BYTES MODULE ARGUMENTS…

The file is moved aside, over the one that was moved before, and the process's standard output and error go to a new one
of its name: no line is lost, and at most twice BYTES are kept.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
from pathlib import Path

LOOK_EVERY_S = 5.0
MOST_BYTES = 8 << 20


def previous(output: Path) -> Path:
    """Where the output before goes."""
    return output.with_suffix(".previous.log")


def bounded(output: Path, most_bytes: int, stop: threading.Event, every_s: float = LOOK_EVERY_S) -> None:
    """Keep this process's output short until told to stop."""
    while not stop.wait(every_s):
        try:
            if output.stat().st_size > most_bytes:
                _begin_anew(output)
        except OSError:  # a full disk, a file that somebody took away: the output goes where it went
            continue


def _begin_anew(output: Path) -> None:
    output.replace(previous(output))
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for stream in (1, 2):
            os.dup2(file, stream)
    finally:
        os.close(file)


def main() -> None:
    """Run the module in the place of this one."""
    output, most_bytes, module, *arguments = sys.argv[1:]
    watching = threading.Thread(
        target=bounded,
        args=(Path(output), int(most_bytes), threading.Event()),
        name="hybridloop-output",
        daemon=True,
    )
    watching.start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
