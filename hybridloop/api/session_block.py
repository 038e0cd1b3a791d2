"""Block of an open session: a context manager that closes the session, at the latest when its program ends."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from hybridloop.tasks.session import OpenSession

P = ParamSpec("P")

_log = logging.getLogger(__name__)


class SessionBlock(AbstractContextManager["OpenSession"]):
    """A session for a `with` block, which opens and closes it.

    One that was entered in another way is closed, with a warning, when nothing refers to this object any more, or when
    the program ends.
    """

    def __init__(self, block: AbstractContextManager[OpenSession]) -> None:
        self._block = block
        self._left_open: weakref.finalize[..., SessionBlock] | None = None

    def __enter__(self) -> OpenSession:
        session = self._block.__enter__()
        self._left_open = weakref.finalize(self, _close, self._block, session)
        return session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._left_open is not None:
            self._left_open.detach()
        return self._block.__exit__(kind, error, trace)

    def __getattr__(self, name: str) -> Any:
        """Raise AttributeError, which says how a session is got."""
        remedy = f"with hybridloop.open_session(…) as session: session.{name}"
        raise AttributeError(f"open_session(…) has no {name!r}, and no session is open yet; write: {remedy}")


def session_block(function: Callable[P, Iterator[OpenSession]]) -> Callable[P, SessionBlock]:
    """Make a function of a generator that yields its session once, as `contextlib.contextmanager` does."""
    block_of = contextmanager(function)

    @wraps(function)
    def open_block(*args: P.args, **kwargs: P.kwargs) -> SessionBlock:
        return SessionBlock(block_of(*args, **kwargs))

    return open_block


def _close(block: AbstractContextManager[OpenSession], session: OpenSession) -> None:
    """Close a session as a SystemExit in its block does: its rounds in flight get some seconds, and no more."""
    remedy = "to close it where its work ends: with hybridloop.open_session(…) as session: …"
    _log.warning("session %s was left open and is closed now; %s", session.id, remedy)
    block.__exit__(SystemExit, SystemExit(), None)
