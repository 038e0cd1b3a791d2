"""What was used lately, up to a size: the least recently used is forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """Values under digests, of at most `capacity` bytes together as their owners count them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[bytes, tuple[V, int]] = OrderedDict()
        self._size = 0

    def get(self, key: bytes) -> V | None:
        """The value, which thereby becomes the most recent; None if it was forgotten or never there."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: bytes, value: V, size: int) -> None:
        """Keep a value; what is larger than all may be together is not kept."""
        if size > self._capacity:
            return
        if key in self._kept:
            self._size -= self._kept.pop(key)[1]
        self._kept[key] = (value, size)
        self._size += size
        while self._size > self._capacity:
            self._size -= self._kept.popitem(last=False)[1][1]
