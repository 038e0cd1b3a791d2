"""The local stack: a Prefect server and the local quantum service, started on demand and found again.

Both live in folders under HYBRIDLOOP_HOME and are left running for the next call. Whoever has a Prefect
server or a workspace of their own is left with it. Every function takes its settings from `environ`, by
default `os.environ`, and starts processes with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from hybridloop.errors import StackError
from hybridloop.stack.lifecycle import PartState, PartStatus, end, ensure, look
from hybridloop.stack.parts import EMULATOR, PREFECT, prefect_home
from hybridloop.stack.prefect_settings import (
    QUIET,
    chosen_server,
    client_environment,
    flows_on,
    loopback_environment,
)

__all__ = [
    "QUIET",
    "Emulator",
    "PartState",
    "PartStatus",
    "PrefectServer",
    "StackError",
    "StackStatus",
    "calls_on",
    "down",
    "ensure_emulator",
    "ensure_prefect",
    "prefect_environment",
    "stack_home",
    "status",
    "up",
]


@dataclass(frozen=True, slots=True)
class Emulator:
    """The running local service: its origin without a trailing slash, and its keys.

    `environment` belongs into `os.environ` before the first request: it keeps proxies away from it.
    """

    url: str
    api_key: str = field(repr=False)
    admin_key: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """The Prefect server to use: ours (`is_local`), or the user's own.

    `environment` belongs into `os.environ` before Prefect is imported; it is empty for the user's own server.
    """

    api_url: str
    is_local: bool
    environment: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class StackStatus:
    """The local stack: its folder and its parts."""

    home: Path
    parts: tuple[PartStatus, ...]


def stack_home(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of all state: HYBRIDLOOP_HOME, else the platform's folder for user data."""
    if chosen := environ.get("HYBRIDLOOP_HOME"):
        return Path(chosen).expanduser().resolve()
    return platformdirs.user_data_path("hybridloop", appauthor=False)


def ensure_emulator(environ: Mapping[str, str] = os.environ) -> Emulator:
    """The local service, started if need be."""
    record = ensure(EMULATOR, stack_home(environ), environ)
    return Emulator(record.url, record.api_key, record.admin_key, loopback_environment(environ))


def ensure_prefect(environ: Mapping[str, str] = os.environ) -> PrefectServer:
    """The user's own Prefect server if they chose one, else ours, started if need be."""
    home = stack_home(environ)
    if (chosen := chosen_server(environ, prefect_home(home))) is not None:
        return PrefectServer(chosen, is_local=False, environment={})
    api_url = f"{ensure(PREFECT, home, environ).url}/api"
    return PrefectServer(api_url, is_local=True, environment=prefect_environment(api_url, home, environ))


@contextmanager
def calls_on(server: PrefectServer) -> Iterator[None]:
    """Flows that are called inside run on `server`; on ours they end without waiting for Prefect's heartbeat."""
    if not server.is_local:
        yield
        return
    with flows_on(server.api_url, Path(server.environment["PREFECT_HOME"])):
        yield


def prefect_environment(api_url: str, home: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What must be in a process's environment before it imports Prefect, to use our server at `api_url`."""
    return {**client_environment(api_url, prefect_home(home)), **loopback_environment(environ)}


def up(environ: Mapping[str, str] = os.environ) -> StackStatus:
    """Start what is missing of the stack, or replace what is outdated, and tell how it is."""
    if not _has_workspace(environ):
        ensure_emulator(environ)
    ensure_prefect(environ)
    return status(environ)


def down(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Stop the stack's process groups, forget keys and ports, keep what was stored; the parts that ran.

    Leaves no trace where there never was a stack.
    """
    home = stack_home(environ)
    return tuple(part.name for part in (PREFECT, EMULATOR) if end(part, home)) if home.exists() else ()


def status(environ: Mapping[str, str] = os.environ) -> StackStatus:
    """How the parts are; starts and changes nothing."""
    home = stack_home(environ)
    prefect, emulator = look(PREFECT, home), look(EMULATOR, home)
    if (chosen := chosen_server(environ, prefect_home(home))) is not None:
        prefect = PartStatus("prefect", PartState.YOURS, url=chosen)
    if _has_workspace(environ):
        emulator = PartStatus("emulator", PartState.YOURS)
    return StackStatus(home, (prefect, emulator))


def _has_workspace(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("AZURE_QUANTUM_CONNECTION_STRING"))
