"""Access checks before routing: Host header, size of URL and headers, and time to receive a request."""

from __future__ import annotations

import asyncio

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from hybridloop.emulator.http.messages import error_response
from hybridloop.emulator.model.errors import ApiError

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
MAX_URL_BYTES = 32 * 2**10  # of path and query: the longest list filter, escaped, fits
MAX_HEADER_BYTES = 64 * 2**10  # of all names and values


class AccessMiddleware:
    """ASGI middleware that refuses requests with another host's name, or with a URL or headers that are too large.

    It prevents DNS rebinding: a web page of another site can let its own name resolve to 127.0.0.1, and browsers then
    treat this service as the page's origin. The Host header still has that name, so other names are refused.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = access_error(scope) if scope["type"] == "http" else None
        await (self._app if error is None else error_response(error))(scope, receive, send)


def access_error(scope: Scope) -> ApiError | None:
    """Return the error that refuses the request, or None."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
    if len(hosts) != 1 or hosts[0] not in allowed_hosts(scope["server"][1]):
        return ApiError(
            421,
            "MisdirectedRequest",
            "The Host header must be 127.0.0.1, localhost or [::1] with the port of this service.",
        )
    if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_URL_BYTES:
        return ApiError(414, "RequestUrlTooLong", f"Path and query exceed {MAX_URL_BYTES} bytes.")
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return ApiError(431, "HeadersTooLarge", f"The headers exceed {MAX_HEADER_BYTES} bytes.")
    return None


def allowed_hosts(port: int) -> tuple[str, ...]:
    """Return the valid Host headers of a service on that port; port 80 may be omitted.

    >>> allowed_hosts(8099)
    ('127.0.0.1:8099', 'localhost:8099', '[::1]:8099')
    """
    names = tuple(f"{name}:{port}" for name in LOOPBACK_NAMES)
    return names + LOOPBACK_NAMES if port == 80 else names


class TimeLimitedProtocol(H11Protocol):
    """HTTP/1.1 protocol of uvicorn that aborts a connection whose request is not complete in time.

    uvicorn limits only the time between requests, so a client that sends a byte now and then would keep a connection
    and its buffers forever. The h11 implementation is chosen because it bounds the size of a request's head.
    """

    limit_s = 60.0  # from a connection's opening, or a request's first byte, to the request's last byte
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base has it
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self.limit_s, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            if self._deadline is None:
                self._deadline = self.loop.call_later(self.limit_s, self.transport.abort)
        else:
            self._cancel_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
