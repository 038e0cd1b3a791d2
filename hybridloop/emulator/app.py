"""The service as one ASGI application: which face answers which path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hybridloop.emulator.admin import Admin
from hybridloop.emulator.clock import VirtualClock
from hybridloop.emulator.dataplane import DataPlane
from hybridloop.emulator.queue import WorkQueue
from hybridloop.emulator.service import Service
from hybridloop.emulator.session import SWEEP_EVERY_S
from hybridloop.emulator.storage import Storage


class Faces:
    """The data plane, the storage and the admin endpoints behind one address."""

    def __init__(self, data_plane: DataPlane, storage: Storage, admin: Admin) -> None:
        self._data_plane = data_plane
        self._storage = storage
        self._admin = admin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path: str = request.scope["path"]
        if path[:15].lower() == "/subscriptions/":
            return await self._data_plane.answer(request)
        if path.startswith("/_admin/"):
            return await self._admin.answer(request)
        return await self._storage.answer(request)


def application(service: Service, faces: ASGIApp, workers: int, ready: Callable[[], None]) -> Starlette:
    """The application; it calls `ready` when it can serve, and stops its workers when it ends."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        queue = WorkQueue(service, workers)
        service.queue = queue
        service.sweep()
        ready()
        await queue.start()
        sweeper = asyncio.create_task(_sweep_on_the_grid(service))
        try:
            yield
        finally:
            sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await sweeper
            await queue.stop()

    return Starlette(routes=[Route("/{path:path}", faces, methods=None)], lifespan=lifespan)


async def _sweep_on_the_grid(service: Service) -> None:
    """End idle sessions every two minutes of real time; virtual time sweeps as it is advanced."""
    while not isinstance(service.clock, VirtualClock):
        await asyncio.sleep(SWEEP_EVERY_S - service.clock.now() % SWEEP_EVERY_S)
        service.sweep()
    await asyncio.Event().wait()
