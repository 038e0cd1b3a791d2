"""Start of the service: state folder, keys, socket, wiring, path routing and the HTTP server."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hybridloop.emulator.admin import AdminRouter
from hybridloop.emulator.admin.clock import ClockEndpoint
from hybridloop.emulator.admin.target_status import TargetStatusOverrides
from hybridloop.emulator.clock import Clock, RealClock, VirtualClock
from hybridloop.emulator.faults.injection import Connections, FaultMiddleware
from hybridloop.emulator.faults.plan import ActiveFaults, FaultPlan, InvalidFaultPlan, load_fault_plan
from hybridloop.emulator.http.access import MAX_HEADER_BYTES, AccessMiddleware, TimeLimitedProtocol
from hybridloop.emulator.http.blob_storage import BlobStorage
from hybridloop.emulator.http.data_plane import DataPlane
from hybridloop.emulator.http.messages import error_response
from hybridloop.emulator.http.sas import SasSigner
from hybridloop.emulator.model.errors import ApiError
from hybridloop.emulator.model.extra_targets import InvalidTargets, load_extra_targets, with_extra_targets
from hybridloop.emulator.model.latency import LatencyModel, load_latency_profiles
from hybridloop.emulator.model.routes import is_data_plane_path
from hybridloop.emulator.model.session import IDLE_CHECK_INTERVAL_S
from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.pacing import JobPacer, RealTimers
from hybridloop.emulator.portal.portal import Portal
from hybridloop.emulator.service import EmulatorService
from hybridloop.emulator.settings import ClockKind, LatencyKind, Settings
from hybridloop.emulator.simulation.worker_process import MemoryPool, default_memory_limit
from hybridloop.emulator.store.blobs import FolderBlobs, MemoryBlobs
from hybridloop.emulator.store.schema import UnknownSchema
from hybridloop.emulator.store.store import Store
from hybridloop.emulator.virtual_time import VirtualTime
from hybridloop.emulator.worker_queue import WorkQueue

HOST = "127.0.0.1"
BACKLOG = 512
SHUTDOWN_GRACE_S = 1  # for requests in flight when the service stops


class StartupError(Exception):
    """The service can't start for the reason in the message."""


@dataclass(frozen=True, slots=True)
class ServiceKeys:
    """Secrets of the service: keys of the data plane and the admin endpoints, and the one that signs blob URLs."""

    api_key: str
    admin_key: str
    signing: bytes


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; return 0, or 1 or 2 with a line on standard error if it can't start."""
    try:
        with _lock_state_folder(settings.state):
            _serve(settings)
    except StartupError as error:
        print(f"hybridloop emulator: {error}", file=sys.stderr)
        return 1
    except InvalidTargets as error:
        print(f"hybridloop emulator: the extra targets can't be used: {error}", file=sys.stderr)
        return 2
    except InvalidFaultPlan as error:
        print(f"hybridloop emulator: the fault plan can't be used: {error}", file=sys.stderr)
        return 2
    return 0


def _serve(settings: Settings) -> None:
    # socket, keys and stored state
    listener = _open_socket(settings.port)
    keys = _load_keys(settings)
    store = _open_store(settings.state)
    contents = MemoryBlobs() if settings.state is None else FolderBlobs(settings.state / "blobs")
    clock, seed = _build_clock(settings, store), _resolve_seed(settings, store)
    # the service, its time and its faults
    catalogue, latencies = load_catalogue(), dict(load_latency_profiles())
    if settings.extra_targets is not None:
        extra = load_extra_targets(settings.extra_targets, catalogue)
        catalogue = with_extra_targets(catalogue, extra)
        latencies |= {each.target.id: latencies[each.like] for each in extra}
    service = EmulatorService(store, contents, clock, catalogue, settings.idle_rule, seed, settings.gate_compiler)
    time = VirtualTime(clock, service) if isinstance(clock, VirtualClock) else None
    latency = LatencyModel(latencies if settings.latency is LatencyKind.RECORDED else {}, seed)
    pacer = JobPacer(service, time or RealTimers(clock), latency)
    signer, faults = SasSigner(keys.signing), ActiveFaults()
    if settings.faults is not None:
        document = load_fault_plan(settings.faults)
        faults.plan = FaultPlan(document.rules, document.seed, clock.now())
    # the endpoints
    port = listener.getsockname()[1]
    data_plane = DataPlane(service, signer, keys.api_key, settings.workspace_kind)
    storage = BlobStorage(service, signer)
    target_status = TargetStatusOverrides(service, latency)
    portal = Portal(service, settings.clock, port)
    clock_endpoint = ClockEndpoint(clock, time)
    admin = AdminRouter(service, clock_endpoint, target_status, faults, portal.create_link, keys.admin_key)
    router = PathRouter(data_plane, storage, admin, portal)
    memory = MemoryPool(settings.max_memory or default_memory_limit())
    on_idle = (lambda: None) if time is None else time.notify_change
    workers = os.cpu_count() or 1
    queue = WorkQueue(pacer, workers, memory, on_idle, time_limit_s=settings.job_time_limit)
    app = build_app(
        service, pacer, time, router, queue, lambda: _print_connection_info(port, keys, settings, portal.create_link())
    )
    # the HTTP server
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops on these and raises them again at its end: an orderly stop is no failure
        signal.signal(number, lambda *_: None)
    injection = FaultMiddleware(app, faults, service, pacer, time, data_plane.is_authorized)
    config = uvicorn.Config(
        AccessMiddleware(injection),
        http=TimeLimitedProtocol,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        log_level="warning",
        access_log=False,
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
    )
    server = _Server(config, [injection.close] if time is None else [injection.close, time.close])
    injection.connections = Connections(server)
    try:
        server.run(sockets=[listener])
    finally:
        store.close()


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


class _Server(uvicorn.Server):
    """A server that first ends the replies that stay open by design, then waits for the other requests."""

    def __init__(self, config: uvicorn.Config, end_open_replies: Sequence[Callable[[], None]]) -> None:
        super().__init__(config)
        self._end_open_replies = end_open_replies

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for end in self._end_open_replies:
            end()
        await super().shutdown(sockets)


@contextmanager
def _lock_state_folder(state: Path | None) -> Iterator[None]:
    """Hold the state folder's lock: two services on one folder would run every job twice. Raises StartupError."""
    if state is None:
        yield
        return
    lock = FileLock(state / "lock", timeout=0, mode=0o600)
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.chmod(0o700)
        lock.acquire()
    except Timeout:
        problem = f"another service uses the folder {state}; stop it, or choose another folder with --state"
        raise StartupError(problem) from None
    except OSError as error:
        problem = f"the state folder {state} can't be used: {error}; choose another folder with --state"
        raise StartupError(problem) from error
    try:
        yield
    finally:
        lock.release()


def _open_store(state: Path | None) -> Store:
    try:
        return Store(None if state is None else state / "service.sqlite")
    except (UnknownSchema, sqlite3.DatabaseError) as error:
        problem = f"the database in {state} can't be read: {error}; choose another folder with --state"
        raise StartupError(problem) from error


def _open_socket(port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol is named; without it every small reply waits 40 ms
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise StartupError(f"port {port} can't be used: {error.strerror}; choose another with --port") from error
    listener.listen(BACKLOG)
    return listener


def _load_keys(settings: Settings) -> ServiceKeys:
    """Take the keys from the settings, else from the state folder, which gets random ones the first time."""
    stored = {name: secrets.token_urlsafe(32) for name in ("api_key", "admin_key", "signing")}
    if settings.state is not None:
        path = settings.state / "keys.json"
        if path.exists():
            stored = _read_keys(path)
        else:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(stored, file)
    return ServiceKeys(
        api_key=settings.api_key or stored["api_key"],
        admin_key=settings.admin_key or stored["admin_key"],
        signing=stored["signing"].encode(),
    )


def _read_keys(path: Path) -> dict[str, str]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {name: str(stored[name]) for name in ("api_key", "admin_key", "signing")}
    except (ValueError, KeyError, TypeError) as error:
        problem = f"the keys in {path} can't be read: {error!r}; remove that file to generate new ones"
        raise StartupError(problem) from error


def _build_clock(settings: Settings, store: Store) -> Clock:
    if settings.clock is ClockKind.REAL:
        return RealClock()
    # stored times of a virtual future must not lie ahead of the clock after a restart
    return VirtualClock(max(RealClock().now(), float(store.note("virtual_now") or 0.0)))


def _resolve_seed(settings: Settings, store: Store) -> int:
    seed = settings.seed if settings.seed is not None else int(store.note("seed") or 0)
    store.put_note("seed", str(seed))
    return seed


def _print_connection_info(port: int, keys: ServiceKeys, settings: Settings, link: str) -> None:
    """Print the ready line, and all that a client needs to connect; a key from the settings is not repeated."""
    url = f"http://{HOST}:{port}/"
    api_key = keys.api_key if settings.api_key is None else "<the key that you gave>"
    admin_key = keys.admin_key if settings.admin_key is None else "<the key that you gave>"
    subscription = "11111111-2222-3333-4444-555555555555"
    print(f"listening on {url}", flush=True)
    print(
        f"""
Connect the azure-quantum SDK:
    from azure.core.credentials import AzureKeyCredential
    from azure.quantum import Workspace
    workspace = Workspace(subscription_id="{subscription}", resource_group="local", name="local",
                          location="eastus", credential=AzureKeyCredential("{api_key}"),
                          _quantum_endpoint="{url}")
Connect hybridloop, with the environment variable AZURE_QUANTUM_CONNECTION_STRING set to:
    SubscriptionId={subscription};ResourceGroupName=local;WorkspaceName=local;ApiKey={api_key};QuantumEndpoint={url};
Portal: {url.removesuffix("/")}{link} signs a browser in once
Admin endpoints: {url}_admin/ with the header x-admin-key: {admin_key}
Clock: {settings.clock}. State: {settings.state or "in memory"}. Stop with Ctrl-C.""",
        flush=True,
    )
