"""Block of an open session: a context manager that closes the session, at the latest when its program ends."""

from __future__ import annotations

import logging
import weakref
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridloop.tasks.session import OpenSession

_log = logging.getLogger(__name__)


class SessionBlock(AbstractContextManager["OpenSession"]):
    """A session for a `with` block, which opens and closes it; or, as in the SDK, from `open()` to `close()`.

    One that was not closed is closed, with a warning, when nothing refers to it any more, or when the program ends.
    """

    def __init__(self, block: AbstractContextManager[OpenSession]) -> None:
        self._block = block
        self._left_open: weakref.finalize[..., SessionBlock] | None = None
        self._is_closed = False

    def open(self) -> OpenSession:
        """Open the session and return it; its `close()` ends the block, at the latest the end of the program does."""
        session = self.__enter__()
        session.on_close = self.close  # the session holds its block
        return session

    def close(self) -> None:
        """Await the session's jobs and close it, as the end of a `with` block does; it may have been closed before."""
        self.__exit__(None, None, None)

    def __enter__(self) -> OpenSession:
        session = self._block.__enter__()
        self._left_open = weakref.finalize(self, _close, self._block, session)
        block = weakref.ref(self)
        session.on_close = lambda: None if (held := block()) is None else held.close()
        return session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._is_closed:
            return None
        self._is_closed = True
        if self._left_open is not None:
            self._left_open.detach()
        return self._block.__exit__(kind, error, trace)

    def __getattr__(self, name: str) -> Any:
        """Raise AttributeError, which says how a session is got."""
        remedy = f"with hybridloop.open_session(…) as session: session.{name}"
        problem = f"open_session(…) has no {name!r}, and no session is open yet"
        raise AttributeError(f"{problem}; write: {remedy}, or session = hybridloop.open_session(…).open()")


def _close(block: AbstractContextManager[OpenSession], session: OpenSession) -> None:
    """Close a session as a SystemExit in its block does: its rounds in flight get some seconds, and no more."""
    remedy = "to close it where its work ends: session.close(), or with hybridloop.open_session(…) as session: …"
    _log.warning("session %s was left open and is closed now; %s", session.id, remedy)
    block.__exit__(SystemExit, SystemExit(), None)
