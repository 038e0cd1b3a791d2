"""A few threads for a session's exchanges; they never hold the exit of a process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from hybridloop.sessions.clock import Clock

THREADS = 8  # the client is bound by its own CPU time: more gain nothing


class Workers:
    """Runs calls in daemon threads. The calls handle their own errors: what they raise is the program's fault."""

    def __init__(self, name: str, clock: Clock, threads: int = THREADS) -> None:
        self._clock = clock
        self._calls: queue.SimpleQueue[tuple[AbstractContextManager[object], Callable[[], None]] | None]
        self._calls = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def do(self, call: Callable[[], None]) -> None:
        """Have a call run when a thread is free."""
        self._calls.put((self._clock.hold(), call))

    def close(self) -> None:
        """Let the threads end when they are done with what they are at; what is queued behind is dropped."""
        while not self._calls.empty():
            dropped = self._calls.get()
            if dropped is not None:
                with dropped[0]:
                    pass  # nobody will work under this hold on time
        for _ in self._threads:
            self._calls.put(None)

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            hold, call = item
            with hold:
                call()
