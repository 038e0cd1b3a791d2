"""The local stack: a Prefect server and the Azure Quantum emulator, started on demand and kept running.

Their state is in folders under HYBRIDLOOP_HOME, where the next call finds the running processes. Users with a Prefect
server or a workspace of their own keep using that. Every function reads its settings from `environ`, by default
`os.environ`, and starts processes with it.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hybridloop.errors import PrefectAway, StackError
from hybridloop.local_stack.components import EMULATOR, PREFECT, prefect_home
from hybridloop.local_stack.lifecycle import (
    ComponentState,
    ComponentStatus,
    component_status,
    ensure_running,
    find_running,
    stop_component,
)
from hybridloop.local_stack.prefect_settings import (
    QUIET,
    SIGN_IN_PATH,
    client_environment,
    loopback_environment,
    temporary_server_settings,
    user_server,
    without_version_check,
)
from hybridloop.local_stack.state_files import ProcessRecord
from hybridloop.runtime.paths import home
from hybridloop.runtime.waits import SERVER_ANSWER_S, STACK_REQUEST_S
from hybridloop.runtime.workspace_variables import workspace_variable

__all__ = [
    "QUIET",
    "ComponentState",
    "ComponentStatus",
    "PrefectServer",
    "RunningEmulator",
    "StackError",
    "StackStatus",
    "down",
    "ensure_emulator",
    "ensure_prefect",
    "find_emulator",
    "find_prefect",
    "is_in_flow_run",
    "portal_link",
    "run_flows_on",
    "status",
    "up",
]


@dataclass(frozen=True, slots=True)
class RunningEmulator:
    """A running emulator: its origin without a trailing slash, and its keys.

    Put `environment` into `os.environ` before the first request: it excludes the emulator from proxies.
    """

    url: str
    api_key: str = field(repr=False)
    admin_key: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """The Prefect server to use: the stack's (`is_local`) or the user's own.

    Put `environment` into `os.environ` before Prefect is imported; it is empty for the user's own server.
    """

    api_url: str
    is_local: bool
    environment: Mapping[str, str] = field(repr=False)

    @property
    def sign_in_url(self) -> str | None:
        """Address that opens the stack's server in a browser, with its auth string as fragment; None for others."""
        if not self.is_local:
            return None
        key = base64.b64encode(self.environment["PREFECT_API_AUTH_STRING"].encode()).decode()
        return f"{self.api_url.removesuffix('/api')}{SIGN_IN_PATH}#{key}"


@dataclass(frozen=True, slots=True)
class StackStatus:
    """Status of the local stack: its folder and its components, Prefect first.

    `prefect_sign_in` opens Prefect in a browser, with its password; None while the stack's server does not run.
    """

    home: Path
    components: tuple[ComponentStatus, ...]
    prefect_sign_in: str | None = field(default=None, repr=False)


def ensure_emulator(environ: Mapping[str, str] = os.environ) -> RunningEmulator:
    """Return the running emulator; start it if needed. Raises StackError."""
    return _emulator(ensure_running(EMULATOR, home(environ), environ), environ)


def find_emulator(environ: Mapping[str, str] = os.environ) -> RunningEmulator | None:
    """Return the emulator if it runs and answers, else None; start and change nothing."""
    record = find_running(EMULATOR, home(environ))
    return None if record is None else _emulator(record, environ)


def portal_link(service: RunningEmulator) -> str:
    """Return an address that opens the service's portal signed in, once. Raises StackError."""
    address = urlsplit(service.url)
    # http.client never uses a proxy
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=STACK_REQUEST_S)
    try:
        connection.request("POST", "/_admin/portal", headers={"x-admin-key": service.admin_key})
        answer = connection.getresponse()
        if answer.status == http.HTTPStatus.OK:
            return service.url + str(json.load(answer)["path"])
        problem = f"it answered {answer.status}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        problem = str(error)
    finally:
        connection.close()
    raise StackError(f"the local service at {service.url} made no link: {problem}", "`hybridloop status` shows it.")


def ensure_prefect(environ: Mapping[str, str] = os.environ) -> PrefectServer:
    """Return the user's own Prefect server if one is set, else the stack's; start that if needed.

    Raises PrefectAway where that fails, and StackError where the user's own address belongs to another program.
    """
    folder = home(environ)
    if (api_url := user_server(environ, prefect_home(folder))) is not None:
        _check_own_server(api_url)
        return PrefectServer(api_url, is_local=False, environment={})
    try:
        return _prefect_server(ensure_running(PREFECT, folder, environ), folder, environ)
    except StackError as error:
        raise PrefectAway(error.happened, error.remedy) from error


def is_version(answer: bytes) -> bool:
    """Return True if the answer to a request for the version is that of a Prefect server: a text in JSON."""
    try:
        return isinstance(json.loads(answer), str)
    except ValueError:
        return False


def _check_own_server(api_url: str) -> None:
    """Raise StackError if another program answers at this address; what does not answer is left to its first use."""
    import httpx

    try:
        reply = httpx.get(f"{api_url.rstrip('/')}/admin/version", timeout=SERVER_ANSWER_S)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return
    if reply.status_code == httpx.codes.OK and not is_version(reply.content):
        raise StackError(
            f"{api_url} is not the API of a Prefect server: another program answers there",
            "Correct PREFECT_API_URL or the profile; the address of a server usually ends in /api.",
        )


def has_own_prefect(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether the user has set a Prefect server of their own."""
    return user_server(environ, prefect_home(home(environ))) is not None


def find_prefect(environ: Mapping[str, str] = os.environ) -> PrefectServer | None:
    """Return the stack's server if it runs and answers, else None; start and change nothing."""
    folder = home(environ)
    record = find_running(PREFECT, folder)
    return None if record is None else _prefect_server(record, folder, environ)


def is_in_flow_run() -> bool:
    """Return True if the caller runs inside a Prefect flow or task, whose server must then be used."""
    if "prefect.context" not in sys.modules:
        return False
    from prefect.context import FlowRunContext, TaskRunContext

    return FlowRunContext.get() is not None or TaskRunContext.get() is not None


@contextmanager
def run_flows_on(server: PrefectServer) -> Iterator[None]:
    """Run flows called in the block on `server`.

    On the stack's they don't wait for Prefect's heartbeat thread; on the user's they need no admin rights.
    """
    with temporary_server_settings(server.environment) if server.is_local else without_version_check():
        yield


def up(environ: Mapping[str, str] = os.environ) -> StackStatus:
    """Start missing components, replace outdated ones, and return the status."""
    if workspace_variable(environ) is None:
        ensure_emulator(environ)
    ensure_prefect(environ)
    return status(environ)


def down(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Stop the stack and return the names of the components that ran.

    Keys and ports are deleted, stored data is kept. Creates no folder if there never was a stack.
    """
    folder = home(environ)
    if not folder.exists():
        return ()
    return tuple(component.name for component in (PREFECT, EMULATOR) if stop_component(component, folder))


def status(environ: Mapping[str, str] = os.environ) -> StackStatus:
    """Return the status of the components; start and change nothing."""
    folder = home(environ)
    prefect, emulator = component_status(PREFECT, folder), component_status(EMULATOR, folder)
    if (api_url := user_server(environ, prefect_home(folder))) is not None:
        prefect = ComponentStatus("prefect", ComponentState.YOURS, url=api_url)
    if workspace_variable(environ) is not None:
        emulator = ComponentStatus("emulator", ComponentState.YOURS)
    server = find_prefect(environ) if prefect.state is ComponentState.RUNNING else None
    return StackStatus(folder, (prefect, emulator), None if server is None else server.sign_in_url)


def _prefect_server(record: ProcessRecord, folder: Path, environ: Mapping[str, str]) -> PrefectServer:
    api_url = f"{record.url}/api"
    client = client_environment(api_url, prefect_home(folder), record.api_key)
    return PrefectServer(api_url, is_local=True, environment={**client, **loopback_environment(environ)})


def _emulator(record: ProcessRecord, environ: Mapping[str, str]) -> RunningEmulator:
    return RunningEmulator(record.url, record.api_key, record.admin_key, loopback_environment(environ))
