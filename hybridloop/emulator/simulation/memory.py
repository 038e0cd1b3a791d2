"""Memory limit for all simulations together, a first-in-first-out semaphore that counts bytes."""

from __future__ import annotations

import asyncio
import os
from collections import deque


def default_memory_limit() -> int:
    """Return a third of the machine's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 3


class MemoryPool:
    """Pool of `limit` bytes, granted in the order of requests, so that small requests can't starve large ones."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._free = limit
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def acquire(self, size: int) -> bool:
        """Wait until `size` bytes are free and take them; False at once if the pool is smaller than that."""
        if size > self.limit:
            return False
        if not self._waiting and size <= self._free:
            self._free -= size
            return True
        grant: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, grant))
        try:
            await grant
        except asyncio.CancelledError:
            if grant.done() and not grant.cancelled():  # granted just before the cancellation
                self.release(size)
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not grant)
                self._grant_waiting()  # the next request may be smaller
            raise
        return True

    def release(self, size: int) -> None:
        """Return `size` bytes to the pool and grant the requests that fit now."""
        self._free += size
        self._grant_waiting()

    def _grant_waiting(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, grant = self._waiting.popleft()
            if not grant.cancelled():
                self._free -= size
                grant.set_result(None)
