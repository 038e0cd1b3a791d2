"""Who holds a run, and whether that process lives."""

from __future__ import annotations

import os
import platform
import secrets
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import psutil

_SAME_START_S = 0.5  # psutil computes a start from two clocks; a process id is not given anew as quickly


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that claimed a run: `token` is random for each claim, `started_at` tells it from a later process.

    `started_at` counts seconds from the boot on Linux, where a corrected clock does not move it, else from the epoch.
    """

    host: str
    boot_id: str
    pid: int
    started_at: float
    token: str

    @classmethod
    def of_this_process(cls) -> Owner:
        """This process, with a token for one claim."""
        pid = os.getpid()
        return cls(platform.node(), boot_id(), pid, _started_at(pid) or 0.0, secrets.token_hex(16))

    def as_mapping(self) -> dict[str, str | int | float]:
        """The facts by name, for JSON."""
        return asdict(self)

    def is_here(self) -> bool:
        """Whether the process was started on this host since its boot, so that one can look for it."""
        return self.host == platform.node() and self.boot_id == boot_id()

    def is_dead_here(self) -> bool:
        """Whether the process was started on this host since its boot, and is gone."""
        if not self.is_here():
            return False
        started_at = _started_at(self.pid)
        return started_at is None or abs(started_at - self.started_at) > _SAME_START_S

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@lru_cache(maxsize=1)
def boot_id() -> str:
    """What tells this boot of the machine from all others, and the processes seen here from those of its containers.

    A container that shares the machine's name still has process ids of its own: none of another's can be looked for.
    """
    if sys.platform == "linux":
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return str(round(psutil.boot_time()))


def _started_at(pid: int) -> float | None:
    """When the process started; None if there is none, or only what its parent has not yet noticed the end of."""
    try:
        process = psutil.Process(pid)
        if process.status() in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}:
            return None
        if sys.platform == "linux":
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            return int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of the line, see proc(5)
        return process.create_time()
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None
