"""The local stack: a Prefect server and the local quantum service, started on demand and found again.

Both live in folders under HYBRIDLOOP_HOME and are left running for the next call. Whoever has a Prefect
server or a workspace of their own is left with it. Every function takes its settings from `environ`, by
default `os.environ`, and starts processes with it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hybridloop.errors import StackError
from hybridloop.home import home
from hybridloop.stack.lifecycle import PartState, PartStatus, end, ensure, look, running
from hybridloop.stack.parts import EMULATOR, PREFECT, prefect_home
from hybridloop.stack.prefect_settings import (
    QUIET,
    chosen_server,
    client_environment,
    flows_on,
    loopback_environment,
)
from hybridloop.stack.records import Record

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
    "is_in_flow_run",
    "prefect_environment",
    "running_emulator",
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


def ensure_emulator(environ: Mapping[str, str] = os.environ) -> Emulator:
    """The local service, started if need be."""
    return _emulator(ensure(EMULATOR, home(environ), environ), environ)


def running_emulator(environ: Mapping[str, str] = os.environ) -> Emulator | None:
    """The local service, if it runs and answers; starts and changes nothing."""
    record = running(EMULATOR, home(environ))
    return None if record is None else _emulator(record, environ)


def ensure_prefect(environ: Mapping[str, str] = os.environ) -> PrefectServer:
    """The user's own Prefect server if they chose one, else ours, started if need be."""
    folder = home(environ)
    if (chosen := chosen_server(environ, prefect_home(folder))) is not None:
        return PrefectServer(chosen, is_local=False, environment={})
    api_url = f"{ensure(PREFECT, folder, environ).url}/api"
    return PrefectServer(api_url, is_local=True, environment=prefect_environment(api_url, folder, environ))


def is_in_flow_run() -> bool:
    """Whether a flow or task of Prefect's runs around the caller, whose server is the one to use."""
    if "prefect.context" not in sys.modules:
        return False
    from prefect.context import FlowRunContext, TaskRunContext

    return FlowRunContext.get() is not None or TaskRunContext.get() is not None


@contextmanager
def calls_on(server: PrefectServer) -> Iterator[None]:
    """Flows that are called inside run on `server`; on ours they end without waiting for Prefect's heartbeat."""
    if not server.is_local:
        yield
        return
    with flows_on(server.api_url, Path(server.environment["PREFECT_HOME"])):
        yield


def prefect_environment(api_url: str, folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What must be in a process's environment before it imports Prefect, to use our server at `api_url`."""
    return {**client_environment(api_url, prefect_home(folder)), **loopback_environment(environ)}


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
    folder = home(environ)
    return tuple(part.name for part in (PREFECT, EMULATOR) if end(part, folder)) if folder.exists() else ()


def status(environ: Mapping[str, str] = os.environ) -> StackStatus:
    """How the parts are; starts and changes nothing."""
    folder = home(environ)
    prefect, emulator = look(PREFECT, folder), look(EMULATOR, folder)
    if (chosen := chosen_server(environ, prefect_home(folder))) is not None:
        prefect = PartStatus("prefect", PartState.YOURS, url=chosen)
    if _has_workspace(environ):
        emulator = PartStatus("emulator", PartState.YOURS)
    return StackStatus(folder, (prefect, emulator))


def _has_workspace(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("AZURE_QUANTUM_CONNECTION_STRING"))


def _emulator(record: Record, environ: Mapping[str, str]) -> Emulator:
    return Emulator(record.url, record.api_key, record.admin_key, loopback_environment(environ))
