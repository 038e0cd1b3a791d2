"""Queue of the processes that write to one SQLite file: the kernel wakes the next one, where SQLite itself polls.

SQLite's busy handler sleeps up to 0.1 s between two tries and is not fair: with many writers on a slow disk, one may
find the file locked at each of its tries.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class WriteQueue:
    """Lock of a file beside the journal, for one writer of each process at a time.

    The kernel releases it when its process ends. A forked child must not write by the same queue.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def turn(self, timeout_s: float) -> Iterator[bool]:
        """Hold this process's turn in the block; yield False if it did not come in time.

        Where there can be no queue, such as on a full disk, it is True: SQLite says what is wrong.
        """
        held, may_write = None, True
        with suppress(OSError):
            held = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held = _Waiter(held).result(timeout_s)
                may_write = held is not None
        try:
            yield may_write
        finally:
            if held is not None:
                _release(held)


class _Waiter:
    """Wait for the lock in a thread, which a timeout or a signal leaves behind: it gives its turn back."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._has_lock, self._decision, self._is_left = threading.Event(), threading.Lock(), False
        threading.Thread(target=self._run, name="hybridloop-journal-queue", daemon=True).start()

    def result(self, timeout_s: float) -> int | None:
        is_in_time = False
        try:
            is_in_time = self._has_lock.wait(timeout_s)
        finally:
            with self._decision:
                self._is_left = not (is_in_time or self._has_lock.is_set())
                is_unwanted = self._has_lock.is_set() and not is_in_time
            if is_unwanted:
                _release(self._descriptor)
        return self._descriptor if is_in_time else None

    def _run(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        with self._decision:
            self._has_lock.set()
            is_left = self._is_left
        if is_left:
            _release(self._descriptor)


def _release(descriptor: int) -> None:
    with suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough: a child of a fork may have it open as well
    os.close(descriptor)
