"""Owner of a run: a process, identified by host, boot, process id and start time so that its death is noticed."""

from __future__ import annotations

import os
import platform
import secrets
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import psutil

_ended_leases = set[str]()  # tokens of this process's leases whose end no journal has, as after a full disk
_SAME_START_S = 0.5  # psutil computes a start time from two clocks; no process id is reused within this time


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that holds or held a run.

    `token` is random for each lease. `started_at` tells the process from a later one with the same id. On Linux it is
    counted in seconds since the boot, which setting the clock does not change; elsewhere since the epoch.
    """

    host: str
    boot_id: str
    pid: int
    started_at: float
    token: str

    @classmethod
    def of_this_process(cls) -> Owner:
        """Return this process as owner, with a new token."""
        pid = os.getpid()
        return cls(platform.node(), boot_id(), pid, _started_at(pid) or 0.0, secrets.token_hex(16))

    def as_mapping(self) -> dict[str, str | int | float]:
        """Return the fields by name, for JSON."""
        return asdict(self)

    def is_local(self) -> bool:
        """Return True if the process was started on this host since its boot, so that its id can be looked up."""
        return self.host == platform.node() and self.boot_id == boot_id()

    def is_known_dead(self) -> bool:
        """Return True if the process was started on this host since its boot, and has ended or ended this lease."""
        if not self.is_local():
            return False
        if self.token in _ended_leases:
            return True
        started_at = _started_at(self.pid)
        return started_at is None or abs(started_at - self.started_at) > _SAME_START_S

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def note_ended(token: str) -> None:
    """Note that this process has ended its lease with this token, where the journal could not store it."""
    _ended_leases.add(token)


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Return an id of this boot of the machine and, on Linux, of this process's namespace of process ids.

    A container may have the machine's name, but it numbers its processes itself, so that no process outside can look up
    their ids.
    """
    if sys.platform == "linux":
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return str(round(psutil.boot_time()))


def _started_at(pid: int) -> float | None:
    """Return the start time of a process as in `Owner`; None for a zombie, or if no process has this id."""
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
