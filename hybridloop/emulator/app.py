"""ASGI application of the service: path routing, start-up and shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hybridloop.emulator.admin import AdminRouter
from hybridloop.emulator.http.blob_storage import BlobStorage
from hybridloop.emulator.http.data_plane import DataPlane
from hybridloop.emulator.model.routes import is_data_plane_path
from hybridloop.emulator.model.session import IDLE_CHECK_INTERVAL_S
from hybridloop.emulator.pacing import JobPacer
from hybridloop.emulator.portal.portal import Portal
from hybridloop.emulator.service import EmulatorService
from hybridloop.emulator.virtual_time import VirtualTime
from hybridloop.emulator.worker_queue import Capacity, WorkQueue


class PathRouter:
    """Dispatch of a request by its path: data plane, blob storage, admin endpoints or portal."""

    def __init__(self, data_plane: DataPlane, storage: BlobStorage, admin: AdminRouter, portal: Portal) -> None:
        self._data_plane = data_plane
        self._storage = storage
        self._admin = admin
        self._portal = portal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        await (await self._handle(request))(scope, receive, send)

    async def _handle(self, request: Request) -> ASGIApp:
        path: str = request.scope["path"]
        if is_data_plane_path(path):
            return await self._data_plane.handle(request)
        if path.startswith("/_admin/"):
            return await self._admin.handle(request)
        if path == "/" or path.startswith("/_portal/"):
            return await self._portal.handle(request)
        return await self._storage.handle(request)


def build_app(
    service: EmulatorService,
    pacer: JobPacer,
    time: VirtualTime | None,
    router: ASGIApp,
    capacity: Capacity,
    ready: Callable[[], None],
) -> Starlette:
    """Build the application; it calls `ready` once it can serve, and stops its workers at shutdown.

    `time` is None on the real clock, where a task ends idle sessions periodically. Virtual time ends them as it
    advances.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # connect service, pacer and workers, which refer to one another
        queue = WorkQueue(pacer, capacity, lambda: None if time is None else time.notify_change())
        pacer.workers = queue
        service.queue = pacer
        if time is not None:
            time.is_computing = lambda: queue.is_computing
            time.awaits_results = lambda: pacer.awaits_results
        # continue with what the state folder holds
        service.end_idle_sessions()
        ready()
        await queue.start()
        for job in service.pending_jobs():
            pacer.add(job)
        idle_check = asyncio.create_task(_end_idle_sessions_periodically(service)) if time is None else None
        try:
            yield
        finally:
            if idle_check is not None:
                idle_check.cancel()
                with suppress(asyncio.CancelledError):
                    await idle_check
            await queue.stop()

    return Starlette(routes=[Route("/{path:path}", router, methods=None)], lifespan=lifespan)


async def _end_idle_sessions_periodically(service: EmulatorService) -> None:
    """End idle sessions every two minutes of real time."""
    while True:
        await asyncio.sleep(IDLE_CHECK_INTERVAL_S - service.clock.now() % IDLE_CHECK_INTERVAL_S)
        service.end_idle_sessions()
