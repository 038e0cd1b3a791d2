"""A local service of the benchmark's own: a process, ended with its `with` block."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure.core.credentials import AzureKeyCredential
from azure.quantum import Workspace

PAST_PROXIES = {name: "127.0.0.1,localhost" for name in ("no_proxy", "NO_PROXY")}  # as the local stack sets it
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
RESOURCE_GROUP = "benchmarks"
WORKSPACE = "benchmarks"


@dataclass(frozen=True, slots=True)
class LocalService:
    """A running service: where it listens, its key, its process's id, the command that it was started with.

    `ready_s` is how long it took from its start to its ready line.
    """

    endpoint: str  # ends with a slash
    api_key: str = field(repr=False)
    pid: int
    command: str
    ready_s: float

    def workspace(self) -> Any:
        """The unmodified SDK's workspace on it."""
        return Workspace(
            subscription_id=SUBSCRIPTION,
            resource_group=RESOURCE_GROUP,
            name=WORKSPACE,
            location="eastus",
            credential=AzureKeyCredential(self.api_key),
            _quantum_endpoint=self.endpoint,
        )


@contextmanager
def local_service(state: Path | None = None) -> Iterator[LocalService]:
    """Start a service on a free port, its state in memory or in that folder, and end it with the block."""
    where = ["--in-memory"] if state is None else ["--state", str(state)]
    arguments = ["-m", "hybridloop.emulator", "--port", "0", *where]
    os.environ.update(PAST_PROXIES)
    keys = {name: secrets.token_urlsafe(24) for name in ("API", "ADMIN")}
    environ = {**os.environ, **{f"HYBRIDLOOP_EMULATOR_{name}_KEY": key for name, key in keys.items()}}
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("listening on "):
                raise RuntimeError(f"the local service did not start; it said {line!r}")
            ready_s = time.perf_counter() - started
            command = f"python {' '.join(arguments)} (pid {process.pid})"
            yield LocalService(line.split()[-1], keys["API"], process.pid, command, ready_s)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
