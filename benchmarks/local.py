"""A local service of the benchmark's own: a process, ended with its `with` block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hybridloop.pytest_plugin import Emulator, running_emulator

PAST_PROXIES = {name: "127.0.0.1,localhost" for name in ("no_proxy", "NO_PROXY")}  # as the local stack sets it
WORKSPACE = "benchmarks"


@contextmanager
def local_service(state: Path | None = None) -> Iterator[Emulator]:
    """Start a service on a free port, its state in memory or in that folder, and end it with the block."""
    os.environ.update(PAST_PROXIES)
    with running_emulator(state=state) as service:
        yield service
