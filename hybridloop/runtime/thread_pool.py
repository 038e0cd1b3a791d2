"""Thread pool for a session's requests, with daemon threads that never delay the exit of the process."""

from __future__ import annotations

import queue
from collections.abc import Callable
from contextlib import AbstractContextManager

from hybridloop.runtime.clock import Clock
from hybridloop.runtime.run_events import start_thread

THREADS = 8  # the client is limited by its own CPU time: more threads gain nothing


class ThreadPool:
    """A pool of daemon threads; calls must handle their errors. Virtual time stands still while a call is queued."""

    def __init__(self, name: str, clock: Clock, threads: int = THREADS) -> None:
        self._clock = clock
        self._calls: queue.SimpleQueue[tuple[AbstractContextManager[object], Callable[[], None]] | None]
        self._calls = queue.SimpleQueue()
        self._threads = [start_thread(self._work, f"{name}-{i}") for i in range(threads)]

    def submit(self, call: Callable[[], None]) -> None:
        """Queue a call, which runs when a thread is free."""
        self._calls.put((self._clock.hold(), call))

    def close(self) -> None:
        """Drop queued calls, and end each thread after its current call; don't wait for them."""
        while not self._calls.empty():
            dropped = self._calls.get()
            if dropped is not None:
                with dropped[0]:
                    pass  # release the hold on virtual time
        for _ in self._threads:
            self._calls.put(None)

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            hold, call = item
            with hold:
                call()
