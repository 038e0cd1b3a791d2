"""Interruption of a long diagonalization between two products with the Hamiltonian."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_check: ContextVar[Callable[[], None] | None] = ContextVar("check of an interruption", default=None)


@contextmanager
def interrupted_by(check: Callable[[], None]) -> Iterator[None]:
    """Let `check` end diagonalizations of the block by what it raises; it is called before each product."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def check_interruption() -> None:
    """Raise what the check of the block raises; nothing outside of one, as in a worker process, which is killed."""
    if (check := _check.get()) is not None:
        check()
