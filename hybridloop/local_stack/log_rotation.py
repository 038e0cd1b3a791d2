"""Log rotation: run a module whose output file is replaced by a new one when it is large.

    python -m hybridloop.local_stack.log_rotation FILE BYTES MODULE ARGUMENTS…

Components of the stack run for weeks. The file is renamed, which replaces the one renamed before, and the process's
standard output and error go to a new file: no line is lost, and at most about twice BYTES are kept.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
from pathlib import Path

CHECK_EVERY_S = 5.0
MAX_BYTES = 8 << 20


def previous_log(output: Path) -> Path:
    """Return the path to which a log file is renamed."""
    return output.with_suffix(".previous.log")


def rotate_when_large(output: Path, max_bytes: int, stop: threading.Event, every_s: float = CHECK_EVERY_S) -> None:
    """Check this process's log file every `every_s` seconds and rotate it when large, until `stop` is set."""
    while not stop.wait(every_s):
        try:
            if output.stat().st_size > max_bytes:
                _rotate(output)
        except OSError:  # a full disk, or the file was deleted: write to the old file
            continue


def _rotate(output: Path) -> None:
    output.replace(previous_log(output))
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for stream in (1, 2):
            os.dup2(file, stream)
    finally:
        os.close(file)


def main() -> None:
    """Run the module as `__main__`, with a thread that rotates its log."""
    output, max_bytes, module, *arguments = sys.argv[1:]
    rotation = threading.Thread(
        target=rotate_when_large,
        args=(Path(output), int(max_bytes), threading.Event()),
        name="hybridloop-output",
        daemon=True,
    )
    rotation.start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
