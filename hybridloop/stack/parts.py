"""The two parts of the local stack: how each is started, how it shows that it is well, which code it runs."""

from __future__ import annotations

import hashlib
import http.client
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from hybridloop.stack.bounded_output import MOST_BYTES
from hybridloop.stack.prefect_settings import server_environment
from hybridloop.stack.records import Record, private_folder

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Launch:
    """What one start of a part takes; `command` lacks its port; the keys are the emulator's, else ""."""

    command: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)
    api_key: str = field(default="", repr=False)
    admin_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Part:
    """One of the stack's processes: `health` is a path that answers 200 when it is well.

    One that lives and is silent may only be slow, on a loaded machine and with somebody's run on it: it gets
    `patience_s` before it is replaced.
    """

    name: str
    health: str
    start_within_s: float
    release: Callable[[], str]
    launch: Callable[[Path, Mapping[str, str], Record | None], Launch]
    answer_within_s: float = 5.0
    patience_s: float = 60.0
    stop_within_s: float = 6.0


def launch_emulator(home: Path, environ: Mapping[str, str], previous: Record | None) -> Launch:
    """The local Azure Quantum service, with the keys of the one it replaces, so that clients stay valid."""
    api_key = previous.api_key if previous else secrets.token_urlsafe(32)
    admin_key = previous.admin_key if previous else secrets.token_urlsafe(32)
    state = private_folder(home / "emulator")
    return Launch(
        command=(*_bounded(home, "emulator"), "hybridloop.emulator", "--state", str(state)),
        # by the environment, because every user of the machine can read a process's arguments
        environ={
            **environ,
            "HYBRIDLOOP_EMULATOR_API_KEY": api_key,
            "HYBRIDLOOP_EMULATOR_ADMIN_KEY": admin_key,
        },
        api_key=api_key,
        admin_key=admin_key,
    )


def launch_prefect(home: Path, environ: Mapping[str, str], _previous: Record | None) -> Launch:
    """Prefect's server with its scheduler, on a database of its own."""
    return Launch(
        command=(*_bounded(home, "prefect"), "hybridloop.stack.prefect_server"),
        environ=server_environment(environ, private_folder(prefect_home(home))),
    )


def output_of(home: Path, part: str) -> Path:
    """The file that takes a part's standard output and standard error."""
    return home / "stack" / f"{part}.log"


def _bounded(home: Path, part: str) -> tuple[str, ...]:
    bounds = (str(output_of(home, part)), str(MOST_BYTES))
    return (sys.executable, "-m", "hybridloop.stack.bounded_output", *bounds)


def prefect_home(home: Path) -> Path:
    """The PREFECT_HOME of our server and of the processes that use it."""
    return home / "prefect"


def emulator_release() -> str:
    """The version, and a digest of the code: a checkout that was pulled keeps its version."""
    return f"{version('hybridloop')}+{_digest((PACKAGE / 'emulator').rglob('*'))}"


def prefect_release() -> str:
    """Prefect's version, and a digest of what starts it."""
    return f"{version('prefect')}+{_digest(Path(__file__).parent.glob('prefect_*.py'))}"


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(path for path in paths if path.suffix in {".py", ".json"}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def answers(part: Part, record: Record) -> bool:
    """Whether the part answers, and is ours: another emulator on this port would refuse our key."""
    address = urlsplit(record.url)
    # http.client, because it never asks a proxy
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=part.answer_within_s)
    try:
        connection.request("GET", part.health, headers={"x-admin-key": record.admin_key})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


EMULATOR = Part("emulator", "/_admin/clock", 60.0, emulator_release, launch_emulator)
# Prefect's start takes 8 s on a quiet machine with an empty database; 35 s were seen under load.
PREFECT = Part("prefect", "/api/health", 180.0, prefect_release, launch_prefect)
