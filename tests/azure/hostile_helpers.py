"""A hostile service: a proxy of the emulator that changes answers, and a second host that must never be reached."""

from __future__ import annotations

import http.client
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from hybridloop.algorithms.rounds import Counts
from hybridloop.azure.client import ServiceClient
from hybridloop.azure.workspace import LocalService, connect
from hybridloop.journal.held_run import HeldRun
from hybridloop.settings.keep_alive import KeepAliveMode, KeepAliveSettings
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import find_target
from tests.conftest import Emulator
from tests.session_helpers import open_run_session
from tests.tasks.test_session_closing import ones

KEY = "canary-key-of-the-workspace-0123456789"
Handler = BaseHTTPRequestHandler


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the emulator, or a changed one."""

    status: int
    headers: dict[str, str]
    body: bytes

    def with_json(self, change: Callable[[Any], Any]) -> Answer:
        return Answer(self.status, self.headers, json.dumps(change(json.loads(self.body))).encode())


Send = Callable[[Handler], None]
Change = Callable[[Answer], Answer | Send]


class FastClock:
    """A clock a thousand times as fast as the machine's, so that the waits of retries take milliseconds."""

    def now(self) -> float:
        return time.monotonic() * 1000.0

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(min(seconds, 3600.0) / 1000.0)

    def hold(self) -> AbstractContextManager[object]:
        return nullcontext()


class CountedClock(FastClock):
    """A clock of the waits alone, a thousand times as fast: how quickly the machine computes does not count."""

    def __init__(self) -> None:
        self._waited = 0.0

    def now(self) -> float:
        return self._waited

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self._waited += seconds
        return super().wait(event, seconds)


def operation(method: str, path: str) -> str:
    """Return the name of a call: open, close, sas, submit, cancel, job, list, upload or download."""
    head = path.partition("?")[0]
    if "/workspaces/" not in head:
        return "upload" if method == "PUT" else "download"
    call = head.rpartition("/workspaces/")[2].split("/", 1)[1]
    if method == "POST":
        return "sas" if call.startswith("storage") else "cancel" if call.endswith(":cancel") else "close"
    if method == "PUT":
        return "open" if call.startswith("sessions") else "submit"
    return "job" if call.startswith("jobs/") else "list"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore connections that a client has closed."""


@dataclass
class HostileService:
    """The proxy with its changes by operation, and the requests that reached the other host."""

    endpoint: str
    elsewhere: str
    reached: list[str]
    changes: dict[str, Change] = field(default_factory=dict)
    sent: int = 0  # bytes of streamed bodies that the client took
    current: str = ""  # method and path of the request that is being answered
    rewrite: Callable[[str, str, bytes], tuple[str, str, bytes]] | None = None  # of requests, before they are sent on

    @cached_property
    def workspace(self) -> Any:
        return connect(LocalService(self.endpoint, KEY))

    def reset(self) -> None:
        """Forget the changes and the requests of the test before."""
        self.changes.clear()
        self.rewrite = None
        self.reached.clear()
        self.sent = 0

    def stream(self, answer: Answer) -> Callable[[Handler], None]:
        """Send a body without an end, until the client closes the connection."""

        def send(handler: Handler) -> None:
            handler.send_response(answer.status)
            handler.send_header("Transfer-Encoding", "chunked")
            if "Location" in answer.headers:
                handler.send_header("Location", answer.headers["Location"])
            handler.end_headers()
            piece = bytes(1 << 20)
            try:
                while self.sent < 1 << 30:
                    handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    self.sent += len(piece)
            except OSError:
                handler.close_connection = True

        return send


@contextmanager
def hostile_service(emulator: Emulator) -> Iterator[HostileService]:
    """Run the proxy and the other host on free ports."""
    reached: list[str] = []
    origin = urlsplit(emulator.endpoint).netloc

    class Elsewhere(BaseHTTPRequestHandler):
        def _note(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reached.append(f"{self.command} {self.path} {dict(self.headers)} {body!r}")
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _note

        def log_message(self, format: str, *args: object) -> None:
            """Suppress the log of requests."""

    class Proxy(Elsewhere):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            own = self.headers["Host"]
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = body.replace(own.encode(), origin.encode())
            headers = {name.lower(): value for name, value in self.headers.items()}
            headers |= {"host": origin, "content-length": str(len(body)), "accept-encoding": "identity"}
            if "authorization" in headers:
                reached.append(f"{self.command} {self.path}, signed with {headers['authorization']}")
            if "x-ms-quantum-api-key" in headers:
                headers["x-ms-quantum-api-key"] = emulator.api_key
            command, path = self.command, self.path
            service.current = f"{command} {path}"
            if service.rewrite is not None:
                command, path, body = service.rewrite(command, path, body)
                headers["content-length"] = str(len(body))
            connection = http.client.HTTPConnection(origin)
            connection.request(command, path, body, headers)
            reply = connection.getresponse()
            content = reply.read().replace(origin.encode(), own.encode())
            connection.close()
            kept = {name: value for name, value in reply.headers.items() if name.lower() != "content-length"}
            original = Answer(reply.status, kept, content)
            change = service.changes.get(operation(self.command, self.path))
            answer = original if change is None else change(original)
            if not isinstance(answer, Answer):
                answer(self)
                return
            self.send_response_only(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(answer.body)
            except OSError:
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _pass_on

    servers = [_Server(("127.0.0.1", 0), kind) for kind in (Proxy, Elsewhere)]
    endpoint, elsewhere = (f"http://127.0.0.1:{server.server_port}/" for server in servers)
    service = HostileService(endpoint, elsewhere, reached)
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield service
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


SHOTS = 10
TARGET = find_target("rigetti.sim.qvm")


def measure(hostile: HostileService, run: HeldRun | None = None, **options: Any) -> Any:
    """Measure one circuit in a session; return its counts and the session."""
    chosen = SessionOptions(keep_alive=KeepAliveSettings(KeepAliveMode.OFF), **options)
    with open_run_session(hostile.workspace, TARGET, chosen, run=run, clock=FastClock()) as session:
        ((counts,),) = session.run_round([ones(SHOTS)])
        assert isinstance(counts, Counts)
        return counts.bitstrings(), session


def redirect(hostile: HostileService, status: int, body: bytes = b"") -> Change:
    return lambda _: Answer(status, {"Location": f"{hostile.elsewhere}taken?x=1"}, body)


def use(client: ServiceClient, hostile: HostileService, operation: str) -> None:
    """Make a call of this kind, and those that it needs before it."""
    identifier, job_id = str(uuid.uuid4()), str(uuid.uuid4())
    if operation in ("open", "close", "list"):
        client.open_session(identifier, "hostile", TARGET, "Continue")
        client.close_session(identifier)
        list(client.list_session_jobs(identifier))
        return
    container = client.create_container(job_id)
    if operation == "download":
        address = container.partition("?")[0]
        client.upload(container, b"result")
        client.download(job_id, f"{address}/inputData", container, bytes)
    elif operation == "upload":
        client.upload(container, b"program")
    elif operation == "submit":
        client.submit(job_id, container, {"metadata": {"place": "p"}})
    elif operation == "job":
        client.find_job(job_id)


def changed_job(**fields: Any) -> Change:
    return lambda answer: answer.with_json(
        lambda page: {**page, "value": [{**job, **fields} for job in page["value"]]} if "value" in page else page
    )
