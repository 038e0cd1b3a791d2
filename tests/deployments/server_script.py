"""Run a guide's shell script that starts a Prefect server, on a port that nothing else can take meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hybridloop.setup_checks.services import check_prefect
from tests.paths import ROOT
from tests.waiting import PATIENCE_S, eventually


@contextmanager
def reserved_port() -> Iterator[int]:
    """Yield a free port that only a server which asks for its number gets.

    A bound socket that does not listen keeps the system from giving the port to anyone else, and leaves it to servers,
    which set SO_REUSEADDR as this socket does.
    """
    with socket.socket() as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind(("127.0.0.1", 0))
        yield reservation.getsockname()[1]


@contextmanager
def server_of(
    script: str, port: int, client: Mapping[str, str], environ: Mapping[str, str], log: Path
) -> Iterator[str]:
    """Run a script whose last line is a server's; yield the address of its API once it answers a client."""
    url = f"http://127.0.0.1:{port}/api"
    with log.open("wb") as output:
        server = subprocess.Popen(
            ["bash", "-ec", script],
            env={**environ, "PREFECT_SERVER_API_PORT": str(port)},
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def answers() -> bool:
        assert server.poll() is None, f"the server ended: {log.read_text()}"
        return "does not answer" not in check_prefect({**client, "PREFECT_API_URL": url}).found

    try:
        eventually(answers, log.read_text)
        yield url
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(PATIENCE_S)
