"""What a call finds around it, or starts: a workspace, and Prefect with a server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hybridloop import local_stack as stack
from hybridloop.errors import ServiceUnreachable


def workspace_called(workspace: str | Any | None) -> Any:
    """The SDK's workspace as it is, that of a saved block by the block's name, or for None the default one.

    For a name Prefect's server is asked, and started if need be. Raises InputError where it has no such block.
    """
    if workspace is None:
        return default_workspace()
    if not isinstance(workspace, str):
        return workspace
    with prefect():
        from hybridloop.blocks import load_workspace

        return load_workspace(workspace)


def default_workspace() -> Any:
    """The workspace of AZURE_QUANTUM_CONNECTION_STRING, else the local service, which is started if need be."""
    from hybridloop.azure.workspace import LocalService, connect, connect_from_environment

    if (named := connect_from_environment()) is not None:
        return named
    emulator = stack.ensure_emulator()
    os.environ.update(emulator.environment)
    return connect(LocalService(emulator.url + "/", emulator.api_key))


@contextmanager
def prefect() -> Iterator[None]:
    """Prefect with a server: that of the flow run around us; else the user's own; else ours, started if need be."""
    if stack.is_in_flow_run():
        yield
        return
    server = stack.ensure_prefect()
    for name, value in stack.QUIET.items():
        os.environ.setdefault(name, value)
    os.environ.update(server.environment)  # whole: half of it would name our server and another's settings
    try:
        with stack.run_flows_on(server):
            yield
    except Exception as error:
        if not _is_prefects(error):
            raise
        raise ServiceUnreachable(
            f"the Prefect server at {server.api_url} failed: {error}",
            "A session that was open has been closed; jobs that were accepted run on and are billed.",
            "`hybridloop status` shows the server; yours is what PREFECT_API_URL or the active profile names.",
        ) from error


def _is_prefects(error: Exception) -> bool:
    """Whether Prefect's own client raised it; the quantum service is spoken to over another library."""
    from httpx import HTTPError

    return isinstance(error, HTTPError) or (type(error) is RuntimeError and "Failed to reach API" in str(error))
