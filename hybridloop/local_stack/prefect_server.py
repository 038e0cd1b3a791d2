"""Prefect's server on a free port, which its first line of output names; for its own origin only.

`prefect server start` takes a port but can't choose a free one, and a port found free beforehand may be taken before
the server binds it. Here the socket is bound first and handed to the server.
"""

from __future__ import annotations

import argparse
import gc
import os
import socket
import threading
import time
from itertools import count

import uvicorn

HOST = "127.0.0.1"
COLLECT_EVERY_S = 1.0  # garbage of the last seconds
FULL_EVERY = 30  # of these collections take older garbage, too


def main() -> None:
    """Serve Prefect's API and pages until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m hybridloop.local_stack.prefect_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    with _bind(parser.parse_args().port) as sock:
        port = sock.getsockname()[1]
        origin = f"http://{HOST}:{port}"
        # The UI's pages call this address; the default is port 4200.
        os.environ["PREFECT_UI_API_URL"] = f"{origin}/api"
        os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = origin
        print(f"listening on {origin}/", flush=True)
        _serve(sock, port)


def _bind(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, port))
    return sock


def _serve(sock: socket.socket, port: int) -> None:
    # Imported late: Prefect reads its settings from the environment when it is imported.
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    from hybridloop.local_stack.prefect_access import OwnOriginMiddleware

    settings = get_current_settings().server
    config = uvicorn.Config(
        OwnOriginMiddleware(create_app(final=True), port),
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
    )
    collect_garbage_in_a_thread()
    uvicorn.Server(config).run(sockets=[sock])


def collect_garbage_in_a_thread() -> None:
    """Collect this process's garbage in a thread of its own, and nowhere else.

    A collected cursor of SQLite waits until its connection's statement ends. If that waits for another connection to
    commit, which takes the event loop, a collection in the loop's thread stops the server until the statement's
    timeout of a minute ("database is locked").
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    threading.Thread(target=_collect_garbage, name="hybridloop-garbage", daemon=True).start()


def _collect_garbage() -> None:
    for number in count(1):
        time.sleep(COLLECT_EVERY_S)
        gc.collect(1 if number % FULL_EVERY else 2)


if __name__ == "__main__":
    main()
