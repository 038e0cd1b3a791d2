"""What the service is started with; light enough to be imported by a command line."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_PORT = 8099
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
_LEAST_MEMORY = 2**20


class ClockKind(enum.StrEnum):
    """Which time the service lives in."""

    REAL = "real"
    VIRTUAL = "virtual"


class LatencyKind(enum.StrEnum):
    """How long jobs take besides their computing: not at all, or as seen in recorded traffic."""

    NONE = "none"
    RECORDED = "recorded"


class IdleRule(enum.StrEnum):
    """From when a session's ten idle minutes count.

    `recorded`: from the later of its opening and its last job's end, and not while a job is pending, as seen in
    recorded traffic. `documented`: from the last submission, as the provider's documentation has it.
    """

    RECORDED = "recorded"
    DOCUMENTED = "documented"


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve: `port` 0 takes a free one; `state` None keeps everything in memory.

    A key that is None is read from the state folder, or made at random and kept there. `seed` None takes the one
    kept with the state, else 0. `faults` is a YAML file of faults to make. `max_memory` bounds the bytes of all running
    simulations; None takes a third of the machine's memory.
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

    def __post_init__(self) -> None:
        if self.max_memory is not None and self.max_memory < _LEAST_MEMORY:
            raise ValueError(f"the memory must be at least 1 MiB, not {self.max_memory} bytes")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must be between 0 and 65535, not {self.port}")
        for name, key in (("api key", self.api_key), ("admin key", self.admin_key)):
            if key is not None and (not key or not key.isascii() or not key.isprintable() or " " in key):
                raise ValueError(f"the {name} must be printable ASCII without spaces, and not empty")
        if self.api_key is not None and self.api_key == self.admin_key:
            raise ValueError("the admin key must differ from the API key: one must not open the other's door")


def bytes_of(text: str) -> int:
    """The number of bytes of a size as people write it; raises ValueError where it is none.

    >>> bytes_of("2GiB"), bytes_of("500 MB"), bytes_of("1024")
    (2147483648, 500000000, 1024)
    """
    size = _SIZE.fullmatch(text.strip())
    if size is None:
        raise ValueError(f"{text!r} is no size of memory; write it like 8GiB or 500MB")
    return int(float(size[1]) * (1024 if size[3] else 1000) ** " KMGT".index(size[2].upper() or " "))
