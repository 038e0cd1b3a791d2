"""A bound on the memory of all simulations together: first come, first served."""

from __future__ import annotations

import asyncio
import os
from collections import deque


def default_limit() -> int:
    """A third of the machine's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 3


class Memory:
    """Hands out `limit` bytes. Who waits longest is served first, so that large simulations have their turn."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._free = limit
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, needed: int) -> bool:
        """Wait until `needed` bytes are free and take them; False at once where that can never be."""
        if needed > self.limit:
            return False
        if not self._waiting and needed <= self._free:
            self._free -= needed
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((needed, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # served in the same moment
                self.give_back(needed)
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
                self._serve()  # the next one may need less
            raise
        return True

    def give_back(self, taken: int) -> None:
        """Free what was taken, and serve who waits."""
        self._free += taken
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            needed, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._free -= needed
                turn.set_result(None)
