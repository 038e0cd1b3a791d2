"""Start of the service: its parts are put together, and served over HTTP."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence

import uvicorn

from hybridloop.emulator.admin import AdminRouter
from hybridloop.emulator.admin.clock import ClockEndpoint
from hybridloop.emulator.admin.target_status import TargetStatusOverrides
from hybridloop.emulator.app import PathRouter, build_app
from hybridloop.emulator.clock import VirtualClock
from hybridloop.emulator.faults.injection import Connections, FaultMiddleware
from hybridloop.emulator.faults.plan import ActiveFaults, FaultPlan, InvalidFaultPlan, load_fault_plan
from hybridloop.emulator.http.access import MAX_HEADER_BYTES, AccessMiddleware, TimeLimitedProtocol
from hybridloop.emulator.http.blob_storage import BlobStorage
from hybridloop.emulator.http.data_plane import DataPlane
from hybridloop.emulator.http.sas import SasSigner
from hybridloop.emulator.model.extra_targets import InvalidTargets, load_targets
from hybridloop.emulator.model.latency import LatencyModel
from hybridloop.emulator.pacing import JobPacer, RealTimers
from hybridloop.emulator.portal.portal import Portal
from hybridloop.emulator.service import EmulatorService
from hybridloop.emulator.settings import LatencyKind, Settings
from hybridloop.emulator.simulation.memory import default_memory_limit
from hybridloop.emulator.simulation.worker_process import MemoryPool
from hybridloop.emulator.state import (
    ServiceKeys,
    StartupError,
    build_clock,
    load_keys,
    lock_state_folder,
    open_contents,
    open_store,
    resolve_seed,
)
from hybridloop.emulator.virtual_time import VirtualTime
from hybridloop.emulator.worker_queue import WorkQueue

HOST = "127.0.0.1"
BACKLOG = 512
SHUTDOWN_GRACE_S = 1  # for requests in flight when the service stops


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; return 0, or 1 or 2 with a line on standard error if it can't start."""
    try:
        with lock_state_folder(settings.state):
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
    keys = load_keys(settings)
    store = open_store(settings.state)
    clock, seed = build_clock(settings, store), resolve_seed(settings, store)
    # the service, its time and its faults
    catalogue, latencies = load_targets(settings.extra_targets)
    service = EmulatorService(
        store, open_contents(settings.state), clock, catalogue, settings.idle_rule, seed, settings.gate_compiler
    )
    time = VirtualTime(clock, service) if isinstance(clock, VirtualClock) else None
    latency = LatencyModel(latencies if settings.latency is LatencyKind.RECORDED else {}, seed)
    pacer = JobPacer(service, time or RealTimers(clock), latency)
    signer, faults = SasSigner(keys.signing), ActiveFaults()
    if settings.faults is not None:
        document = load_fault_plan(settings.faults)
        faults.plan = FaultPlan(document.rules, document.seed, clock.now())
    # the endpoints
    port = listener.getsockname()[1]
    memory = MemoryPool(settings.max_memory or default_memory_limit())
    data_plane = DataPlane(service, signer, keys.api_key, settings.workspace_kind, memory.limit)
    storage = BlobStorage(service, signer)
    target_status = TargetStatusOverrides(service, latency)
    portal = Portal(service, settings.clock, port)
    clock_endpoint = ClockEndpoint(clock, time)
    admin = AdminRouter(service, clock_endpoint, target_status, faults, portal.create_link, keys.admin_key)
    router = PathRouter(data_plane, storage, admin, portal)
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


class _Server(uvicorn.Server):
    """A server that first ends the replies that stay open by design, then waits for the other requests."""

    def __init__(self, config: uvicorn.Config, end_open_replies: Sequence[Callable[[], None]]) -> None:
        super().__init__(config)
        self._end_open_replies = end_open_replies

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for end in self._end_open_replies:
            end()
        await super().shutdown(sockets)


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
