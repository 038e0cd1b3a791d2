"""Stages of a run before its first round, such as the start of a server: each is shown as start-up progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_receiver: ContextVar[Callable[[str], None] | None] = ContextVar("receiver of stages", default=None)


@contextmanager
def stages_to(receiver: Callable[[str], None]) -> Iterator[None]:
    """Hand the stages that the code of the block announces to a receiver."""
    token = _receiver.set(receiver)
    try:
        yield
    finally:
        _receiver.reset(token)


def announce(stage: str) -> None:
    """Say what is being done now, in a few words; the text is dropped where no receiver was set."""
    if (receiver := _receiver.get()) is not None:
        receiver(stage)
