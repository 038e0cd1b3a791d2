"""A local service for benchmarks: a process that ends with its `with` block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hybridloop.emulator.pytest_plugin import Emulator, running_emulator

PAST_PROXIES = {name: "127.0.0.1,localhost" for name in ("no_proxy", "NO_PROXY")}  # the local stack's value
WORKSPACE = "benchmarks"


@contextmanager
def local_service(state: Path | None = None) -> Iterator[Emulator]:
    """Hold a service on a free port, with its state in memory or in the folder."""
    os.environ.update(PAST_PROXIES)
    with running_emulator(state=state) as service:
        yield service
