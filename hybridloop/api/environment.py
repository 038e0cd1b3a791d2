"""Environment of a flow call: a workspace, and Prefect with a server; both are started if needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hybridloop import local_stack as stack
from hybridloop.errors import NOTHING_SUBMITTED, InputError, ServiceUnreachable
from hybridloop.runtime.stages import announce
from hybridloop.runtime.workspace_variables import workspace_variable
from hybridloop.targets import Target, find_target, may_be_offered, recorded_target, unknown_target

IN_A_RUN = "The session was closed if one was open; jobs that were accepted run on and are billed."
_REFUSED = (401, 403)  # statuses of a server that wants another password


def resolve_workspace(workspace: str | Any | None) -> Any:
    """Return the SDK's workspace: the given one, that of this resource id or saved block, or for None the default one.

    A resource id is opened by the user's Azure identity. A block's name is looked up on the Prefect server, which is
    started if needed. Raises InputError for an unknown block.
    """
    if workspace is None:
        return default_workspace()
    if not isinstance(workspace, str):
        return workspace
    from hybridloop.azure.workspace import connect_by_resource_id, is_resource_id

    if is_resource_id(workspace):
        return connect_by_resource_id(workspace)
    with running_prefect():
        from hybridloop.blocks import load_workspace

        return load_workspace(workspace)


def find_target_in(workspace: str | Any | None, name: str, is_stored: bool = False) -> Target:  # noqa: FBT001, FBT002
    """Return the target with this name, in any case; the workspace is looked up only if the table lacks the name.

    A local service that does not run is not started for it, as it would offer what the table has, unless a run on the
    target is resumed. Raises InputError for a name that neither the table nor the workspace has, and for a target that
    takes no gates.
    """
    if not may_be_offered(name):
        return find_target(name)
    if not is_stored and workspace is None and workspace_variable(os.environ) is None and stack.find_emulator() is None:
        raise unknown_target(name)
    from hybridloop.azure.offered import find_offered_target

    return find_offered_target(name, resolve_workspace(workspace))


def labels_of_run() -> dict[str, str]:
    """Return the sweep and the deployment by which limits and reports find a run that begins here."""
    from hybridloop.journal.journal import FLOW_RUN_VARIABLE

    if not stack.is_in_flow_run() and FLOW_RUN_VARIABLE not in os.environ:
        return {}
    from hybridloop.flows.in_prefect.flow_run_labels import flow_run_labels

    return flow_run_labels()


def target_of_run(workspace: str | Any | None, name: str, run_key: str | None) -> Target:
    """Return the target of a run: as `find_target_in`, or one that is gone if the journal has a run of this key on it.

    Raises InputError.
    """
    try:
        return find_target_in(workspace, name)
    except InputError:
        if run_key is not None:
            from hybridloop.journal import open_journal

            with open_journal() as journal:
                if (record := journal.run_by_key(run_key)) is not None and record.target.lower() == name.lower():
                    return recorded_target(name)
        raise


def default_workspace() -> Any:
    """Return the workspace that the environment names, else the local service, which is started if needed."""
    from hybridloop.azure.workspace import connect_from_environment, local_workspace

    return connect_from_environment() or local_workspace()


def has_prefect() -> bool:
    """Return whether there is a Prefect server, without starting one: the user's own, or ours."""
    return stack.find_prefect() is not None or stack.has_own_prefect(os.environ)


@contextmanager
def running_prefect(consequence: str = NOTHING_SUBMITTED) -> Iterator[None]:
    """Use Prefect with a server: the surrounding flow run's, else the user's, else ours, which is started if needed.

    Raises ServiceUnreachable, with the `consequence`, where the server fails in the block.
    """
    if stack.is_in_flow_run():
        yield
        return
    server = stack.ensure_prefect()
    announce("loading Prefect")
    for name, value in stack.QUIET.items():
        os.environ.setdefault(name, value)
    os.environ.update(server.environment)  # all of it: a part would mix our server with the settings of another
    try:
        with stack.run_flows_on(server):
            yield
    except Exception as error:
        from httpx import HTTPError, HTTPStatusError

        if type(error).__module__.startswith("prefect.") and isinstance(error.__cause__, HTTPError):
            error = error.__cause__  # as of a deployment that was not applied
        # errors of Prefect's client; the quantum service is reached through another library
        if not isinstance(error, HTTPError) and not (
            type(error) is RuntimeError and "Failed to reach API" in str(error)
        ):
            raise
        remedy = "`hybridloop status` shows the server; PREFECT_API_URL or the active profile names your own."
        if isinstance(error, HTTPStatusError) and error.response.status_code in _REFUSED:
            remedy = "It takes no request with this password: set PREFECT_API_AUTH_STRING to that of the server."
        raise ServiceUnreachable(
            f"the Prefect server at {server.api_url} failed: {error}",
            consequence,
            remedy,
        ) from error


@contextmanager
def flow_environment(workspace: str | Any | None) -> Iterator[Any]:
    """Provide the flow calls of the block with Prefect; yield the SDK's workspace."""
    sdk_workspace = resolve_workspace(workspace)
    with running_prefect(IN_A_RUN):
        from hybridloop.runtime.messages import show_warnings

        if not stack.is_in_flow_run():  # there it is Prefect's to show them
            show_warnings()
        yield sdk_workspace
