"""Open a workspace with the Azure identity of the user: `az login`, a managed identity, or a service principal."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from hybridloop.errors import AccessDenied, InputError, ServiceUnreachable

MAX_REASONS = 12
_CREDENTIAL = re.compile(r"^[^\S\n]*+(\w+Credential): ([^\n]{1,200})", re.MULTILINE)  # of the SDK's report
_AZURE_HOST = re.compile(r"(?i)https://([a-z0-9]+)(?:-v2)?\.quantum\.azure\.com/?")


def connect_by_identity(named: Mapping[str, str | None], endpoint: str, user_agent: str, field_name: str) -> Any:
    """Return the SDK's Workspace with the user's identity, which is sent to Azure's own hosts only.

    `named` has `name`, and `subscription_id`, `resource_group` and `location` as far as they are known. Azure Resource
    Manager is asked for what is missing. Raises InputError, AccessDenied, ServiceUnreachable.
    """
    from azure.core.exceptions import AzureError, ClientAuthenticationError
    from azure.identity import DefaultAzureCredential
    from azure.quantum import Workspace
    from azure.quantum._mgmt_client import WorkspaceMgmtClient
    from azure.quantum._workspace_connection_params import WorkspaceConnectionParams

    # Without a handler of the user's, Python would print the SDK's report of each credential that it tried
    logging.getLogger("azure.identity").addHandler(logging.NullHandler())

    # Check the host before an identity is sent to it
    host = _AZURE_HOST.fullmatch(endpoint)
    if endpoint and host is None:
        problem = f"{endpoint!r} is not an Azure Quantum address, and an identity is sent to no other host"
        raise InputError(field_name, problem, "Give an address like https://eastus.quantum.azure.com, or leave it out.")
    given = ({"location": host[1]} if host else {}) | dict(named)
    name, credential = given.pop("name"), DefaultAzureCredential()  # by default the SDK would open a browser, too
    try:
        # Workspace would fill gaps from a connection string in the environment, which may name another workspace
        found = WorkspaceConnectionParams(
            workspace_name=name, quantum_endpoint=endpoint or None, credential=credential, **given
        )
        if not found.is_complete():
            with WorkspaceMgmtClient(credential, found.arm_endpoint, user_agent) as manager:
                if found.can_build_resource_id():
                    manager.load_workspace_from_arm(found)
                else:
                    manager.load_workspace_from_arg(found)
        return Workspace(
            subscription_id=found.subscription_id,
            resource_group=found.resource_group,
            name=found.workspace_name,
            location=found.location,
            credential=credential,
            user_agent=user_agent,
            _quantum_endpoint=found.quantum_endpoint,
        )
    except ValueError as error:
        raise InputError(field_name, str(error), "Compare it with the workspace's page.") from error
    except (AzureError, RuntimeError) as error:  # the SDK raises RuntimeError for unexpected answers
        if isinstance(error, ClientAuthenticationError) or isinstance(error.__cause__, ClientAuthenticationError):
            raise AccessDenied(
                f"signing in with an Azure identity failed{_tried(str(error))}",
                "Nothing was submitted.",
                "Sign in (az login), set AZURE_CLIENT_ID and the related variables, or use a connection string.",
            ) from error
        raise ServiceUnreachable(
            f"Azure Resource Manager did not return the endpoint of workspace {name!r}: {error}",
            "Nothing was submitted.",
            "Try again, or use a connection string, which makes this request unnecessary.",
        ) from error


def _tried(report: str) -> str:
    """Return the reason of each credential that the SDK has tried, from its report."""
    reasons = []
    for name, reason in _CREDENTIAL.findall(report)[:MAX_REASONS]:
        sentence = reason.removeprefix(f"{name} authentication unavailable. ").partition(". ")[0]
        reasons.append(f"{name}: {sentence.rstrip('.')}")
    return f" ({'; '.join(reasons)})" if reasons else ""


def is_opened_by_identity(workspace: Any) -> bool:
    """Return True for a workspace that another process of the same user can open by its resource id."""
    from azure.identity import DefaultAzureCredential

    return isinstance(workspace.credential, DefaultAzureCredential)
