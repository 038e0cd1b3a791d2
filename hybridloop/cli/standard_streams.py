"""Standard streams of the program: one that is closed from the start, and a standard error without a reader."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


def make_streams_safe() -> None:
    """Let a run outlive its standard error: what can't be written there, as to a closed terminal, is dropped.

    Standard output has the result, so that an error of it stays one, also if it was closed from the start (`>&-`).
    Python has None for such a stream, and `print` would write to another.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")  # a write fails
    if sys.stderr is None:
        sys.stderr = open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    lines = io.BufferedWriter(_Expendable(sys.stderr.fileno(), "w", closefd=False))
    sys.stderr = io.TextIOWrapper(lines, sys.stderr.encoding, errors="backslashreplace", line_buffering=True)


class _Expendable(io.FileIO):
    """File that drops what can't be written."""

    def write(self, data: Any, /) -> int:
        """Write the data; return its length also if it could not be written, or not at once."""
        try:
            return super().write(data) or len(data)
        except OSError:
            return len(data)
