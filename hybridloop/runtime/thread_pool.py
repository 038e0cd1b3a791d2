"""Thread pool for a session's requests, with daemon threads that never delay the exit of the process."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager

from hybridloop.runtime.clock import Clock
from hybridloop.runtime.run_events import start_thread

Call = Callable[[], None]


class ThreadPool:
    """A pool of daemon threads; calls must handle their errors.

    A call for which no thread is free starts one, while there are fewer than `most()`; else it waits for one. Virtual
    time stands still until a free thread has a call that is handed to it.
    """

    def __init__(self, name: str, clock: Clock, most: Callable[[], int]) -> None:
        self._name, self._clock, self._most = name, clock, most
        self._handed: queue.SimpleQueue[tuple[AbstractContextManager[object], Call] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting: deque[Call] = deque()  # for a thread
        self._threads = 0
        self._free = 0  # threads without a call
        self._closed = False

    def submit(self, call: Call, *, first: bool = False) -> None:
        """Run a call in a thread, with `first` before those that wait; after `close` it is dropped."""
        with self._lock:
            if not self._closed:
                if first:
                    self._waiting.appendleft(call)
                else:
                    self._waiting.append(call)
                self._hand_out()

    def close(self) -> None:
        """Drop the calls that no thread has begun, and end each thread after its current call; don't wait for them."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            while not self._handed.empty():
                dropped = self._handed.get()
                if dropped is not None:
                    with dropped[0]:
                        pass  # release the hold on virtual time
            for _ in range(self._threads):
                self._handed.put(None)

    def _hand_out(self) -> None:
        """Hand waiting calls to free threads, and start threads for others; `_lock` is held."""
        while self._waiting and not self._closed:
            if self._free == 0:
                if self._threads >= self._most():
                    return
                start_thread(self._work, f"{self._name}-{self._threads}")
                self._threads += 1
                self._free += 1
            self._free -= 1
            self._handed.put((self._clock.hold(), self._waiting.popleft()))

    def _work(self) -> None:
        while (item := self._handed.get()) is not None:
            hold, call = item
            with hold:
                next_call: Call | None = call
                while next_call is not None:
                    next_call()
                    next_call = self._next()

    def _next(self) -> Call | None:
        """Return a waiting call for the thread whose call has ended; None if there is none."""
        with self._lock:
            call = self._waiting.popleft() if self._waiting else None
            self._free += call is None
            self._hand_out()
            return call
