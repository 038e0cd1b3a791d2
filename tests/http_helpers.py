"""Stand-ins for services: local servers that give every request the same answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def replying(reply: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Hold a local server that replies so to every GET and POST; yield its address, which ends with a slash."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            reply(self)

        do_GET = do_POST = _handle  # names of the standard library

        def log_message(self, *_: object) -> None:
            """Suppress the log of requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def answer(
    request: BaseHTTPRequestHandler, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> None:
    """Answer a request with this status, body and further headers."""
    request.send_response(status)
    request.send_header("Content-Length", str(len(body)))
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)
