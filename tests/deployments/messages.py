"""A webhook that hears the messages of Prefect's automations."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.waiting import PATIENCE_S


@contextmanager
def heard(status: int = 204, answers: threading.Event | None = None) -> Iterator[tuple[str, queue.Queue[Any]]]:
    """Hold a webhook listener; yield its URL and the list of received messages.

    It answers with this status, once `answers` is set.
    """
    told: queue.Queue[Any] = queue.Queue()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            if answers is not None:
                answers.wait(PATIENCE_S)
            with suppress(OSError):  # its client may have left
                self.send_response(status)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Suppress the log of requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/", told
        finally:
            server.shutdown()
            thread.join()
