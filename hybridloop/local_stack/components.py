"""The components of the local stack, Prefect's server and the emulator: command, health check, version of the code."""

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

from hybridloop.local_stack.log_rotation import MAX_BYTES
from hybridloop.local_stack.prefect_settings import server_environment
from hybridloop.local_stack.state_files import ProcessRecord, private_folder

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Launch:
    """Command and environment of one start. `command` has no port yet; the keys are those of a `ProcessRecord`."""

    command: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)
    api_key: str = field(default="", repr=False)
    admin_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Component:
    """A process of the stack that answers 200 at `health_path` if it is healthy.

    A process that is alive and does not answer may only be slow on a loaded machine, with a run on it: it is replaced
    after `recovery_timeout_s`.
    """

    name: str
    title: str
    health_path: str
    start_timeout_s: float
    release: Callable[[], str]
    launch: Callable[[Path, Mapping[str, str], ProcessRecord | None], Launch]
    health_timeout_s: float = 5.0
    recovery_timeout_s: float = 30.0
    stop_timeout_s: float = 6.0


def launch_emulator(home: Path, environ: Mapping[str, str], previous: ProcessRecord | None) -> Launch:
    """Return the launch of the emulator, with the keys of the one that it replaces: clients stay valid."""
    api_key = previous.api_key if previous else secrets.token_urlsafe(32)
    admin_key = previous.admin_key if previous else secrets.token_urlsafe(32)
    state = private_folder(home / "emulator")
    return Launch(
        command=(*_with_log_rotation(home, "emulator"), "hybridloop.emulator", "--state", str(state)),
        # keys in the environment: every user of the machine can read a process's arguments
        environ={
            **environ,
            "HYBRIDLOOP_EMULATOR_API_KEY": api_key,
            "HYBRIDLOOP_EMULATOR_ADMIN_KEY": admin_key,
        },
        api_key=api_key,
        admin_key=admin_key,
    )


def launch_prefect(home: Path, environ: Mapping[str, str], previous: ProcessRecord | None) -> Launch:
    """Return the launch of Prefect's server with its scheduler, on its own database.

    It keeps the auth string of the one that it replaces: workers and clients stay valid.
    """
    auth_string = (previous.api_key if previous else "") or f"hybridloop:{secrets.token_urlsafe(32)}"
    return Launch(
        command=(*_with_log_rotation(home, "prefect"), "hybridloop.local_stack.prefect_server"),
        environ=server_environment(environ, private_folder(prefect_home(home)), auth_string),
        api_key=auth_string,
    )


def log_path(home: Path, component: str) -> Path:
    """Return the file for a component's standard output and standard error."""
    return home / "stack" / f"{component}.log"


def _with_log_rotation(home: Path, component: str) -> tuple[str, ...]:
    arguments = (str(log_path(home, component)), str(MAX_BYTES))
    return (sys.executable, "-P", "-m", "hybridloop.local_stack.log_rotation", *arguments)


def prefect_home(home: Path) -> Path:
    """Return the PREFECT_HOME of the stack's server and of processes that use it."""
    return home / "prefect"


def emulator_release() -> str:
    """Return hybridloop's version and a digest of the emulator's code, as a new commit may keep the version."""
    return f"{version('hybridloop')}+{_digest((PACKAGE / 'emulator').rglob('*'))}"


def prefect_release() -> str:
    """Return Prefect's version and a digest of the modules that start its server."""
    return f"{version('prefect')}+{_digest(Path(__file__).parent.glob('prefect_*.py'))}"


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(path for path in paths if path.suffix in {".py", ".json"}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def is_healthy(component: Component, record: ProcessRecord) -> bool:
    """Return True if the component answers with our key; another emulator on this port would refuse it."""
    address = urlsplit(record.url)
    # http.client never uses a proxy
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=component.health_timeout_s)
    try:
        connection.request("GET", component.health_path, headers={"x-admin-key": record.admin_key})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


EMULATOR = Component("emulator", "the local service", "/_admin/clock", 60.0, emulator_release, launch_emulator)
# Prefect starts in 8 s on an idle machine with an empty database; 35 s were measured under load.
PREFECT = Component("prefect", "the local Prefect server", "/api/health", 180.0, prefect_release, launch_prefect)
