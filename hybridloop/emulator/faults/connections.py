"""Resets and closes of the TCP connection below a request."""

from __future__ import annotations

import asyncio
import socket
import struct

import uvicorn
from starlette.types import Scope

NO_LINGER = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: close sends RST and drops unsent data


class Connections:
    """Open connections of a running server."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._server = server

    def reset(self, scope: Scope) -> None:
        """Reset the request's connection; data that the client has not read yet is lost.

        Raises ConnectionError if the client has disconnected.
        """
        transport = self._transport(scope)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        transport.abort()

    def close(self, scope: Scope) -> None:
        """Close the request's connection after all written data is sent.

        Raises ConnectionError if the client has disconnected.
        """
        self._transport(scope).close()

    def _transport(self, scope: Scope) -> asyncio.Transport:
        client = tuple(scope["client"])
        for connection in self._server.server_state.connections:
            transport = connection.transport
            if transport is not None and transport.get_extra_info("peername") == client:
                return transport
        raise ConnectionError("the client has disconnected")
