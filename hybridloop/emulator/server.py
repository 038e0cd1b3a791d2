"""Starts the service: state folder, keys, socket, HTTP loop."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from hybridloop.emulator.admin import Admin
from hybridloop.emulator.app import Faces, application
from hybridloop.emulator.blobs import FolderBytes, MemoryBytes
from hybridloop.emulator.clock import Clock, RealClock, VirtualClock
from hybridloop.emulator.clock_face import ClockFace
from hybridloop.emulator.conditions import Conditions
from hybridloop.emulator.connections import Connections
from hybridloop.emulator.dataplane import DataPlane
from hybridloop.emulator.doors import MAX_HEADERS, Doors, PunctualProtocol
from hybridloop.emulator.fault_injection import FaultInjection
from hybridloop.emulator.fault_plan import FaultPlan, FaultsInForce
from hybridloop.emulator.faults_face import FaultsFace
from hybridloop.emulator.latency import Latency, recorded_profiles
from hybridloop.emulator.ledger_face import LedgerFace
from hybridloop.emulator.memory import Memory, default_limit
from hybridloop.emulator.pacing import Pacing, RealAlarms
from hybridloop.emulator.portal import Portal
from hybridloop.emulator.queue import Capacity
from hybridloop.emulator.sas import Signatures
from hybridloop.emulator.schema import UnknownSchema
from hybridloop.emulator.service import Service
from hybridloop.emulator.settings import ClockKind, LatencyKind, Settings
from hybridloop.emulator.storage import Storage
from hybridloop.emulator.store import Store
from hybridloop.emulator.targets import load_catalogue
from hybridloop.emulator.virtual_time import VirtualTime

HOST = "127.0.0.1"
BACKLOG = 512
GRACE_S = 1  # for requests in flight when the service is told to stop


class CannotServe(Exception):
    """The service can't be started; the text says why and what to do, `exit_code` is 2 where what was given is bad."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message, exit_code)
        self.exit_code = exit_code

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class Keys:
    """What opens the service's doors: for the data plane, for the admin endpoints, for signing URLs."""

    api_key: str
    admin_key: str
    signing: bytes


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; 0 when stopped so, 1 or 2 (with a line on standard error) if it can't start."""
    try:
        with _owned(settings.state):
            _serve(settings)
    except CannotServe as error:
        print(f"hybridloop emulator: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _serve(settings: Settings) -> None:
    listener = _listen(settings.port)
    keys = _keys(settings)
    store = _open_store(settings.state)
    contents = MemoryBytes() if settings.state is None else FolderBytes(settings.state / "blobs")
    clock, seed = _clock(settings, store), _seed(settings, store)
    service = Service(store, contents, clock, load_catalogue(), settings.idle_rule, seed)
    time = VirtualTime(clock, service) if isinstance(clock, VirtualClock) else None
    latency = Latency(recorded_profiles() if settings.latency is LatencyKind.RECORDED else {}, seed)
    pacing = Pacing(service, time or RealAlarms(clock), latency)
    signatures, faults = Signatures(keys.signing), FaultsInForce()
    if settings.faults is not None:
        faults.plan = _fault_plan(settings.faults, clock)
    port = listener.getsockname()[1]
    data_plane = DataPlane(service, signatures, keys.api_key)
    faces = Faces(
        data_plane,
        Storage(service.containers, signatures, service.clock),
        Admin(
            ClockFace(clock, time),
            Conditions(service, latency),
            FaultsFace(faults, clock),
            keys.admin_key,
            LedgerFace(store),
        ),
        Portal(service, keys.api_key, settings.clock, port),
    )
    capacity = Capacity(os.cpu_count() or 1, Memory(settings.max_memory or default_limit()))
    app = application(service, pacing, time, faces, capacity, lambda: _announce(port, keys, settings))
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops on these and raises them again when it is done: an orderly stop is no failure
        signal.signal(number, lambda *_: None)
    injection = FaultInjection(app, faults, service, pacing, time, data_plane.admits)
    config = uvicorn.Config(
        Doors(injection),
        http=PunctualProtocol,
        h11_max_incomplete_event_size=MAX_HEADERS,
        log_level="warning",
        access_log=False,
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config, [injection.close] if time is None else [injection.close, time.close])
    injection.connections = Connections(server)
    try:
        server.run(sockets=[listener])
    finally:
        store.close()


class _Server(uvicorn.Server):
    """Ends what is held open by design before it waits for the requests that are under way."""

    def __init__(self, config: uvicorn.Config, let_go: Sequence[Callable[[], None]]) -> None:
        super().__init__(config)
        self._let_go = let_go

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for end in self._let_go:
            end()
        await super().shutdown(sockets)


@contextmanager
def _owned(state: Path | None) -> Iterator[None]:
    """Hold the state folder: two services on one would each run what the other has."""
    if state is None:
        yield
        return
    lock = FileLock(state / "lock", timeout=0, mode=0o600)
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.chmod(0o700)
        lock.acquire()
    except Timeout:
        raise CannotServe(f"another service runs on {state}; stop it, or take another --state folder") from None
    except OSError as error:
        raise CannotServe(f"the state folder {state} can't be used: {error}") from error
    try:
        yield
    finally:
        lock.release()


def _open_store(state: Path | None) -> Store:
    try:
        return Store(None if state is None else state / "service.sqlite")
    except (UnknownSchema, sqlite3.DatabaseError) as error:
        raise CannotServe(f"the books in {state} can't be read: {error}; take another --state folder") from error


def _listen(port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol is named; without it every small reply waits 40 ms
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise CannotServe(f"port {port} can't be used: {error.strerror}; take another with --port") from error
    listener.listen(BACKLOG)
    return listener


def _keys(settings: Settings) -> Keys:
    """Keys given win; the others are those kept with the state, made at random the first time."""
    kept = {name: secrets.token_urlsafe(32) for name in ("api_key", "admin_key", "signing")}
    if settings.state is not None:
        path = settings.state / "keys.json"
        if path.exists():
            kept = _kept_keys(path)
        else:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(kept, file)
    return Keys(settings.api_key or kept["api_key"], settings.admin_key or kept["admin_key"], kept["signing"].encode())


def _kept_keys(path: Path) -> dict[str, str]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {name: str(kept[name]) for name in ("api_key", "admin_key", "signing")}
    except (ValueError, KeyError, TypeError) as error:
        raise CannotServe(f"the keys in {path} can't be read: {error!r}; remove that file for new ones") from error


def _clock(settings: Settings, store: Store) -> Clock:
    if settings.clock is ClockKind.REAL:
        return RealClock()
    # what was written in a virtual future must not lie ahead after a restart
    return VirtualClock(max(RealClock().now(), float(store.note("virtual_now") or 0.0)))


def _fault_plan(path: Path, clock: Clock) -> FaultPlan:
    from hybridloop.emulator.fault_file import BadFaultPlan, read_fault_file  # half a second for who needs it

    try:
        document = read_fault_file(path)
    except BadFaultPlan as error:
        raise CannotServe(f"the fault plan can't be used: {error}", exit_code=2) from error
    return FaultPlan(document.rules, document.seed, clock.now())


def _seed(settings: Settings, store: Store) -> int:
    seed = settings.seed if settings.seed is not None else int(store.note("seed") or 0)
    store.put_note("seed", str(seed))
    return seed


def _announce(port: int, keys: Keys, settings: Settings) -> None:
    """The ready line, and what a stranger needs to connect. A key that the caller gave is not repeated."""
    url = f"http://{HOST}:{port}/"
    api_key = keys.api_key if settings.api_key is None else "<the key that was given>"
    admin_key = keys.admin_key if settings.admin_key is None else "<the key that was given>"
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
The same for hybridloop, as its AZURE_QUANTUM_CONNECTION_STRING:
    SubscriptionId={subscription};ResourceGroupName=local;WorkspaceName=local;ApiKey={api_key};QuantumEndpoint={url};
Portal: {url} in a browser; the API key signs in
Admin endpoints: {url}_admin/ with the header x-admin-key: {admin_key}
Time: {settings.clock}. State: {settings.state or "in memory"}. Stop with Ctrl-C.""",
        flush=True,
    )
