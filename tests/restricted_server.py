"""A Prefect server as a user without admin rights sees it: a reverse proxy that answers some requests with HTTP 403."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from select import select
from urllib.parse import urlsplit

from tests.waiting import PATIENCE_S

# what a user of limits does, in contrast to one who creates and changes them
USES = frozenset({"filter", "increment", "decrement", "increment-with-lease", "decrement-with-lease", "renew"})
LIMITS = ("/api/concurrency_limits", "/api/v2/concurrency_limits")
OF_THE_CONNECTION = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})


@dataclass(slots=True)
class RestrictedServer:
    """The proxy's API address, and the requests that it refused and the web sockets that it opened so far."""

    api_url: str
    hides_limits: bool = False
    is_open: bool = False
    refused: list[tuple[str, str]] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    passes_on: Callable[[str, str], bool] = lambda method, path: (
        True
    )  # of the answer to a request; False ends the proxy
    loses: Callable[[str, bytes], str] = lambda path, body: (
        ""
    )  # by 500: "request", or "answer" to what was done; "busy": by 503

    def refuses(self, method: str, path: str) -> bool:
        """True for all of /admin and for changes of concurrency limits; with `hides_limits` also for reading them."""
        if self.is_open:
            return False
        if path.startswith("/api/admin/"):
            return True
        if not path.startswith(LIMITS) or path.rsplit("/", 1)[-1] in USES:
            return False
        return method != "GET" or self.hides_limits


@contextmanager
def restricted_server(api_url: str) -> Iterator[RestrictedServer]:
    """Hold a proxy of the server with this API address."""
    host, port = urlsplit(api_url).hostname, urlsplit(api_url).port
    assert host is not None
    assert port is not None
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(host, port)) as proxy:
        proxy.daemon_threads, proxy.block_on_close = True, False  # clients keep their connections
        seen = RestrictedServer(f"http://127.0.0.1:{proxy.server_address[1]}/api")
        proxy.seen = seen  # type: ignore[attr-defined]
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield seen
        finally:
            proxy.shutdown()
            thread.join()


def _handler(host: str, port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            seen: RestrictedServer = self.server.seen  # type: ignore[attr-defined]
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            self.headers.replace_header("Host", f"{host}:{port}")  # the server refuses other names
            if seen.refuses(self.command, path):
                seen.refused.append((self.command, path))
                self._answer(403, {"Content-Type": "application/json"}, b'{"detail": "Forbidden"}')
            elif self.headers.get("Upgrade", "").lower() == "websocket":
                seen.sockets.append(path)
                self._tunnel()
            else:
                self._forward(body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _handle  # names of the standard library

        def _forward(self, body: bytes) -> None:
            failed = {"Content-Type": "application/json"}, b"{}"
            lost = self.server.seen.loses(urlsplit(self.path).path, body)  # type: ignore[attr-defined]
            if lost in ("request", "busy"):
                self._answer(503 if lost == "busy" else 500, *failed)
                return
            status, headers, content = self._reply(body)
            if lost:
                self._answer(500, *failed)
            elif self.server.seen.passes_on(self.command, urlsplit(self.path).path):  # type: ignore[attr-defined]
                self._answer(status, headers, content)
            else:
                self._end()

        def _reply(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            """The server's answer; where a loaded machine keeps it busy (503), its answer to the same request later."""
            until = time.monotonic() + PATIENCE_S
            while True:
                upstream = HTTPConnection(host, port, timeout=PATIENCE_S)
                try:
                    upstream.request(self.command, self.path, body, dict(self.headers))
                    reply: HTTPResponse = upstream.getresponse()
                    content = reply.read()
                finally:
                    upstream.close()
                if reply.status != 503 or time.monotonic() > until:
                    return reply.status, dict(reply.getheaders()), content
                time.sleep(0.2)

        def _end(self) -> None:
            """Refuse all connections from now on, as a server's machine does once its process is gone."""
            self.close_connection = True
            self.server.shutdown()
            self.server.server_close()

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in OF_THE_CONNECTION:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _tunnel(self) -> None:
            """Pass on the request and then all bytes of both sides, until one of them closes."""
            self.close_connection = True
            with socket.create_connection((host, port)) as upstream:
                upstream.sendall(f"{self.requestline}\r\n{self.headers}".encode("latin-1"))
                other = {self.connection: upstream, upstream: self.connection}
                while True:
                    for source in select(list(other), [], [])[0]:
                        if not (data := source.recv(1 << 16)):
                            return
                        other[source].sendall(data)

        def log_message(self, format: str, *_: object) -> None: ...

    return Handler
