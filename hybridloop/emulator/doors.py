"""Who is let in at all: requests that were meant for this machine, of bounded size, that arrive in bounded time."""

from __future__ import annotations

import asyncio

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from hybridloop.emulator.faults import ServiceFault
from hybridloop.emulator.http import fault_reply

NAMES = ("127.0.0.1", "localhost", "[::1]")
MAX_ADDRESS = 32 * 2**10  # bytes of path and query: a filter of the longest kind, escaped, fits
MAX_HEADERS = 64 * 2**10  # bytes of all names and values


class Doors:
    """In front of the whole application.

    A page of another site can have its own name point at 127.0.0.1 (DNS rebinding) and then counts as of one origin
    with this service. The Host header still has that name, so any other than this machine's own is refused.
    """

    def __init__(self, inside: ASGIApp) -> None:
        self._inside = inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = refusal(scope) if scope["type"] == "http" else None
        await (self._inside if fault is None else fault_reply(fault))(scope, receive, send)


def refusal(scope: Scope) -> ServiceFault | None:
    """Why the request is not let in, or None."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
    if len(hosts) != 1 or hosts[0] not in own_names(scope["server"][1]):
        return ServiceFault(421, "MisdirectedRequest", "The Host header names another machine or port than this one.")
    if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_ADDRESS:
        return ServiceFault(414, "RequestUrlTooLong", f"Path and query are above the limit of {MAX_ADDRESS} bytes.")
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADERS:
        return ServiceFault(431, "HeadersTooLarge", f"The headers are above the limit of {MAX_HEADERS} bytes.")
    return None


def own_names(port: int) -> tuple[str, ...]:
    """What a Host header may say to a service on that port; where it is HTTP's own, it may be left out.

    >>> own_names(8099)
    ('127.0.0.1:8099', 'localhost:8099', '[::1]:8099')
    """
    names = tuple(f"{name}:{port}" for name in NAMES)
    return names + NAMES if port == 80 else names


class PunctualProtocol(H11Protocol):
    """HTTP/1.1 of callers who say what they want: a request that is not whole in time ends its connection.

    uvicorn itself limits the time between requests only, so whoever sends a byte now and then would keep a
    connection, and what was sent on it, for ever. h11 is asked for by name because it bounds a request's head.
    """

    limit_s = 60.0  # from a connection's opening, or a request's first byte, to the request's last
    _overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base has it
        super().connection_made(transport)
        self._overdue = self.loop.call_later(self.limit_s, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            if self._overdue is None:
                self._overdue = self.loop.call_later(self.limit_s, self.transport.abort)
        else:
            self._on_time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_time()
        super().connection_lost(exc)

    def _on_time(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
