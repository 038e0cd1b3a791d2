"""Runs Prefect's own server on a port that the system chose and tells it on the first line of output.

`prefect server start` takes a port but can't choose one, and whoever picks a free port for it can lose it
before the server binds. Here the port is bound first and stays ours; the API answers once the server is up.
"""

from __future__ import annotations

import argparse
import os
import socket

HOST = "127.0.0.1"


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m hybridloop.stack.prefect_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: one that is free")
    with _bound(parser.parse_args().port) as sock:
        origin = f"http://{HOST}:{sock.getsockname()[1]}"
        # The pages of the UI ask this address; without it they look for port 4200.
        os.environ["PREFECT_UI_API_URL"] = f"{origin}/api"
        print(f"listening on {origin}/", flush=True)
        _serve(sock)


def _bound(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, port))
    return sock


def _serve(sock: socket.socket) -> None:
    # Imported late: Prefect reads its settings from the environment when it is imported.
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    settings = get_current_settings().server
    config = uvicorn.Config(
        create_app(final=True),
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
    )
    uvicorn.Server(config).run(sockets=[sock])


if __name__ == "__main__":
    main()
