"""A webhook that hears the messages of Prefect's automations."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.http_helpers import replying
from tests.waiting import PATIENCE_S


@contextmanager
def heard(status: int = 204, answers: threading.Event | None = None) -> Iterator[tuple[str, queue.Queue[Any]]]:
    """Hold a webhook listener; yield its URL and the list of received messages.

    It answers with this status, once `answers` is set.
    """
    told: queue.Queue[Any] = queue.Queue()

    def listen(request: BaseHTTPRequestHandler) -> None:
        told.put(json.loads(request.rfile.read(int(request.headers["content-length"]))))
        if answers is not None:
            answers.wait(PATIENCE_S)
        with suppress(OSError):  # its client may have left
            request.send_response(status)
            request.end_headers()

    with replying(listen) as url:
        yield url, told
