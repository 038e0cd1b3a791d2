"""Reservations of memory that are noted, and granted with one thread."""

from __future__ import annotations


class Reservations(list[int]):
    """The bytes that a simulator reserved; with `threads` for each simulation."""

    def __init__(self, threads: int = 1) -> None:
        super().__init__()
        self.threads = threads

    def __call__(self, size: int, seconds: float) -> int:
        self.append(size)
        return self.threads
