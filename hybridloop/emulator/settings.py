"""Settings of the service. The command line imports this module for every command, so it imports nothing heavy."""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_PORT = 8099
DEFAULT_TIME_LIMIT_S = 600.0
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
_MIN_MEMORY = 2**20  # bytes


class ClockKind(enum.StrEnum):
    """Kind of the service's clock: the system clock, or virtual time."""

    REAL = "real"
    VIRTUAL = "virtual"


class LatencyKind(enum.StrEnum):
    """Kind of latency that is added to a job's computation: none, or as in recorded traffic."""

    NONE = "none"
    RECORDED = "recorded"


class IdleRule(enum.StrEnum):
    """Rule for the start of a session's ten idle minutes.

    `recorded` starts them when the session opens and when a job of it ends, but not while one is pending, as in
    recorded traffic. `documented` starts them with each submission, as in the provider's documentation.
    """

    RECORDED = "recorded"
    DOCUMENTED = "documented"


class WorkspaceKind(enum.StrEnum):
    """Kind of workspace; a `v2` one says Queued for Waiting, and Completed for Succeeded, of its jobs."""

    V1 = "v1"
    V2 = "v2"


class GateCompiler(enum.StrEnum):
    """Gate optimization of programs before they run: never, unless the job turns it off, or always."""

    NONE = "none"
    AS_ASKED = "as-asked"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one service process.

    `port` 0 takes a free port. Without `state` everything is stored in memory. A key that is None is read from the
    state folder, or generated and stored there. Without `seed` the state folder's is used, else 0. `faults` is a YAML
    file of faults to inject. `max_memory` bounds the bytes of all running simulations; None is a third of the
    machine's memory. A job that runs for longer than `job_time_limit` seconds, without its waits, fails.
    `gate_compiler` says which programs are optimized before they run. `extra_targets` is a JSON file of further
    targets. Raises ValueError for values out of range.
    """

    port: int = DEFAULT_PORT
    state: Path | None = None
    api_key: str | None = field(default=None, repr=False)
    admin_key: str | None = field(default=None, repr=False)
    clock: ClockKind = ClockKind.REAL
    seed: int | None = None
    idle_rule: IdleRule = IdleRule.RECORDED
    latency: LatencyKind = LatencyKind.NONE
    faults: Path | None = None
    max_memory: int | None = None
    job_time_limit: float = DEFAULT_TIME_LIMIT_S
    gate_compiler: GateCompiler = GateCompiler.NONE
    extra_targets: Path | None = None
    workspace_kind: WorkspaceKind = WorkspaceKind.V1

    def __post_init__(self) -> None:
        if self.max_memory is not None and self.max_memory < _MIN_MEMORY:
            raise ValueError(f"--max-memory must be at least 1 MiB, not {self.max_memory} bytes")
        if not 0 < self.job_time_limit < math.inf:
            raise ValueError(f"--job-time-limit must be a number of seconds above 0, not {self.job_time_limit:g}")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"--port must be between 0 and 65535, not {self.port}")
        for name, key in (("API", self.api_key), ("admin", self.admin_key)):
            if key is not None and (not key or not key.isascii() or not key.isprintable() or " " in key):
                option = f"--{name.lower()}-key or HYBRIDLOOP_EMULATOR_{name.upper()}_KEY"
                raise ValueError(f"the {name} key ({option}) must be printable ASCII without spaces, and not empty")
        if self.api_key is not None and self.api_key == self.admin_key:
            raise ValueError("--admin-key must differ from --api-key: clients with the API key must not be admins")


def parse_memory_size(text: str) -> int:
    """Parse a memory size to bytes: a number with an optional decimal or binary unit. Raises ValueError.

    >>> parse_memory_size("2GiB"), parse_memory_size("500 MB"), parse_memory_size("1024")
    (2147483648, 500000000, 1024)
    """
    size = _SIZE.fullmatch(text.strip())
    if size is None:
        raise ValueError(f"{text!r} is not a memory size; write it like 8GiB or 500MB")
    return int(float(size[1]) * (1024 if size[3] else 1000) ** " KMGT".index(size[2].upper() or " "))
