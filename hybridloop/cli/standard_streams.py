"""Standard streams of the program: one that is closed from the start, and a standard error without a reader."""

from __future__ import annotations

import io
import os
import sys


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
    binary = io.BufferedWriter(io.FileIO(sys.stderr.fileno(), "w", closefd=False))
    sys.stderr = _Expendable(binary, sys.stderr.encoding, errors="backslashreplace", line_buffering=True)


class _Expendable(io.TextIOWrapper):
    """Text stream that drops what can't be written, or not at once.

    Buffer and file are those of C: a signal that interrupts a file written in Python would leave what is written in the
    buffer, to be written again.
    """

    def write(self, text: str, /) -> int:
        """Write the text; return its length also if it could not be written."""
        try:
            return super().write(text)
        except OSError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        """Write what is in the buffer, or drop it."""
        try:
            super().flush()
        except OSError:
            self._drop()

    def _drop(self) -> None:
        """Empty the buffer, as its data would be written again."""
        number = self.fileno()
        kept, nothing = os.dup(number), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nothing, number)
            super().flush()
        finally:
            os.dup2(kept, number)
            os.close(kept)
            os.close(nothing)
