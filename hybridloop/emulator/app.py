"""The service as one ASGI application: which face answers which path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hybridloop.emulator.admin import Admin
from hybridloop.emulator.dataplane import DataPlane
from hybridloop.emulator.pacing import Pacing
from hybridloop.emulator.portal import Portal
from hybridloop.emulator.queue import Capacity, WorkQueue
from hybridloop.emulator.service import Service
from hybridloop.emulator.session import SWEEP_EVERY_S
from hybridloop.emulator.storage import Storage
from hybridloop.emulator.virtual_time import VirtualTime


def is_data_plane(path: str) -> bool:
    """Whether a path is of the service's own endpoints, whatever its case."""
    return path[:15].lower() == "/subscriptions/"


class Faces:
    """The data plane, the storage, the admin endpoints and the portal behind one address."""

    def __init__(self, data_plane: DataPlane, storage: Storage, admin: Admin, portal: Portal) -> None:
        self._data_plane = data_plane
        self._storage = storage
        self._admin = admin
        self._portal = portal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> ASGIApp:
        path: str = request.scope["path"]
        if is_data_plane(path):
            return await self._data_plane.answer(request)
        if path.startswith("/_admin/"):
            return await self._admin.answer(request)
        if path == "/" or path.startswith("/_portal/"):
            return await self._portal.answer(request)
        return await self._storage.answer(request)


def application(
    service: Service,
    pacing: Pacing,
    time: VirtualTime | None,
    faces: ASGIApp,
    capacity: Capacity,
    ready: Callable[[], None],
) -> Starlette:
    """The application; it calls `ready` when it can serve, and stops its workers when it ends.

    `time` is None where the clock is real, which sweeps on its grid; virtual time sweeps as it goes forward.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        queue = WorkQueue(pacing, capacity, lambda: None if time is None else time.settle())
        pacing.workers = queue
        service.queue = pacing
        if time is not None:
            time.is_computing = lambda: queue.is_computing
            time.awaits_results = lambda: pacing.awaits_results
        service.sweep()
        ready()
        await queue.start()
        for job in service.pending():
            pacing.add(job)
        sweeper = asyncio.create_task(_sweep_on_the_grid(service)) if time is None else None
        try:
            yield
        finally:
            if sweeper is not None:
                sweeper.cancel()
                with suppress(asyncio.CancelledError):
                    await sweeper
            await queue.stop()

    return Starlette(routes=[Route("/{path:path}", faces, methods=None)], lifespan=lifespan)


async def _sweep_on_the_grid(service: Service) -> None:
    """End idle sessions every two minutes of real time."""
    while True:
        await asyncio.sleep(SWEEP_EVERY_S - service.clock.now() % SWEEP_EVERY_S)
        service.sweep()
