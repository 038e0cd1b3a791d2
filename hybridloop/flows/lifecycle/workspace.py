"""The workspace of a flow run that no caller of this process gave one."""

from __future__ import annotations

import os
from typing import Any

from hybridloop.azure.workspace import LOCAL_SERVICE_VARIABLE, connect_from_environment, local_workspace
from hybridloop.blocks import load_workspace
from hybridloop.errors import InputError
from hybridloop.runtime.workspace_variables import CONNECTION_VARIABLE


def find_workspace(name: str | None) -> Any:
    """Return the SDK's workspace of the saved block of this name, else the environment's.

    The environment's is the local service only if LOCAL_SERVICE_VARIABLE says so: a run that is meant for Azure must
    not run there because its worker's connection string is missing. Raises InputError if there is none.
    """
    if name is not None:
        return load_workspace(name)
    workspace = connect_from_environment()
    if workspace is None and os.environ.get(LOCAL_SERVICE_VARIABLE):
        workspace = local_workspace()
    if workspace is None:
        raise InputError(
            "workspace",
            "the flow run has none",
            f"Name a saved block, or set {CONNECTION_VARIABLE} for the worker. For the local service start the worker "
            'in a shell where you ran eval "$(hybridloop env)".',
        )
    return workspace
