"""The application of the service: each request goes to its endpoints, and workers live as long as it serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hybridloop.emulator.admin import AdminRouter
from hybridloop.emulator.http.blob_storage import BlobStorage
from hybridloop.emulator.http.data_plane import DataPlane
from hybridloop.emulator.http.messages import error_response
from hybridloop.emulator.model.errors import ApiError
from hybridloop.emulator.model.routes import is_data_plane_path
from hybridloop.emulator.model.session import IDLE_CHECK_INTERVAL_S
from hybridloop.emulator.pacing import JobPacer
from hybridloop.emulator.portal.portal import Portal
from hybridloop.emulator.service import EmulatorService
from hybridloop.emulator.virtual_time import VirtualTime
from hybridloop.emulator.worker_queue import WorkQueue


@dataclass(frozen=True, slots=True)
class PathRouter:
    """Dispatch of a request by its path: data plane, blob storage, admin endpoints or portal."""

    data_plane: DataPlane
    storage: BlobStorage
    admin: AdminRouter
    portal: Portal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            response = await self._handle(request)
        except ApiError as error:
            response = error_response(error)
        except ClientDisconnect:
            response = Response(status_code=400)  # never sent: no client waits for it, and nothing was done
        await response(scope, receive, send)

    async def _handle(self, request: Request) -> ASGIApp:
        path: str = request.scope["path"]
        if is_data_plane_path(path):
            return await self.data_plane.handle(request)
        if path.startswith("/_admin/"):
            return await self.admin.handle(request)
        if path == "/" or path.startswith("/_portal/"):
            return await self.portal.handle(request)
        return await self.storage.handle(request)


def build_app(
    service: EmulatorService,
    pacer: JobPacer,
    time: VirtualTime | None,
    router: ASGIApp,
    queue: WorkQueue,
    ready: Callable[[], None],
) -> Starlette:
    """Build the application; it calls `ready` once it can serve, and stops its workers at shutdown.

    `time` is None on the real clock, where a task ends idle sessions periodically. Virtual time ends them as it
    advances.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # connect service, pacer and workers, which refer to one another
        pacer.workers = queue
        service.queue = pacer
        if time is not None:
            time.is_computing = lambda: queue.is_computing
            time.awaits_results = lambda: pacer.awaits_results
        # continue with what the state folder holds
        service.end_idle_sessions()
        ready()
        for job in service.store.pending_jobs():
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
    while True:
        await asyncio.sleep(IDLE_CHECK_INTERVAL_S - service.clock.now() % IDLE_CHECK_INTERVAL_S)
        service.end_idle_sessions()
