"""Ends connections from underneath a request, as networks do."""

from __future__ import annotations

import asyncio
import socket
import struct

import uvicorn
from starlette.types import Scope

LINGER_NOT = struct.pack("ii", 1, 0)  # on, zero seconds: a close then sends RST and drops what was not sent


class Connections:
    """The open connections of a running server."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._server = server

    def reset(self, scope: Scope) -> None:
        """End the request's connection with a reset; what was sent and not yet read there is lost."""
        transport = self._transport(scope)
        opened = transport.get_extra_info("socket")
        if opened is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        transport.abort()

    def hang_up(self, scope: Scope) -> None:
        """End the request's connection in order, once what was written is sent."""
        self._transport(scope).close()

    def _transport(self, scope: Scope) -> asyncio.Transport:
        client = tuple(scope["client"])
        for connection in self._server.server_state.connections:
            transport = connection.transport
            if transport is not None and transport.get_extra_info("peername") == client:
                return transport
        raise ConnectionError("the caller has gone already")
