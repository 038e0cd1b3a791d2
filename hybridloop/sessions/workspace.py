"""The workspace that a run speaks to: the caller's own, one from a connection string, or a local service."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from hybridloop.errors import AccessDenied, InputError, ServiceUnreachable

CONNECTION_VARIABLE = "AZURE_QUANTUM_CONNECTION_STRING"
LOCAL_SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
LOCAL_RESOURCE_GROUP = "local"
LOCAL_WORKSPACE = "hybridloop"
_LOCAL_REGION = "eastus"  # the SDK takes only regions that it knows
_USER_AGENT = "hybridloop"
_RESOURCE_ID = re.compile(
    r"(?i)/subscriptions/([^/\s;]+)/resourceGroups/([^/\s;]+)/providers/Microsoft\.Quantum/Workspaces/([^/\s;]+)/?"
)
_AZURE_HOST = re.compile(r"(?i)https://([a-z0-9]+)(?:-v2)?\.quantum\.azure\.com/?")
_PART = re.compile(r"(?i)(SubscriptionId|ResourceGroupName|WorkspaceName|ApiKey|QuantumEndpoint)=([^;]+);?")


@dataclass(frozen=True, slots=True)
class LocalService:
    """Where a local service listens, and the key that it asks for."""

    endpoint: str
    api_key: str

    def __repr__(self) -> str:
        return f"LocalService(endpoint={self.endpoint!r})"


@dataclass(frozen=True, slots=True)
class AzureWorkspace:
    """A workspace by its Azure resource id; without a key it is opened by the identity of whoever runs this.

    `endpoint` is the service's address as the workspace's page has it. With a key it must be given; with an identity it
    is else asked of Azure Resource Manager.
    """

    resource_id: str
    endpoint: str = ""
    api_key: str = field(default="", repr=False)


def connect(connection: str | LocalService | AzureWorkspace, *, given_as: str = CONNECTION_VARIABLE) -> Any:
    """The SDK's Workspace for a connection string, a local service, or a workspace of Azure's. Raises InputError.

    Nothing is sent yet, but for an identity without an endpoint, which then may raise AccessDenied or
    ServiceUnreachable. The SDK takes connection strings of Azure's own hosts only. One whose QuantumEndpoint is on this
    machine's loopback is taken as a local service; no other host is. `given_as` is what an error calls it.
    """
    if isinstance(connection, LocalService):
        return _local(connection, LOCAL_SUBSCRIPTION, LOCAL_RESOURCE_GROUP, LOCAL_WORKSPACE)
    if isinstance(connection, AzureWorkspace):
        subscription, group, name = _parts_of(connection.resource_id, given_as)
        if not connection.api_key:
            return _by_identity(connection.endpoint, subscription, group, name, given_as)
        endpoint = connection.endpoint.rstrip("/") + "/"
        connection = (
            f"SubscriptionId={subscription};ResourceGroupName={group};WorkspaceName={name};"
            f"ApiKey={connection.api_key};QuantumEndpoint={endpoint};"
        )
    from azure.quantum import Workspace

    parts = {key.lower(): value for key, value in _PART.findall(connection)}
    try:  # the SDK checks the names in it as well
        if _is_loopback(parts.get("quantumendpoint", "")) and len(parts) == 5:
            service = LocalService(parts["quantumendpoint"], parts["apikey"])
            return _local(service, parts["subscriptionid"], parts["resourcegroupname"], parts["workspacename"])
        return Workspace.from_connection_string(connection, user_agent=_USER_AGENT)
    except ValueError as error:
        raise InputError(
            given_as,
            "it is no connection string of an Azure Quantum workspace",
            "Copy it whole from the workspace's page (Operations, Access keys), quotes left out.",
        ) from error


def _parts_of(resource_id: str, given_as: str) -> tuple[str, str, str]:
    """Subscription, resource group and name."""
    if (match := _RESOURCE_ID.fullmatch(resource_id.strip())) is None:
        shape = "/subscriptions/…/resourceGroups/…/providers/Microsoft.Quantum/Workspaces/…"
        what = f"{resource_id!r} is no resource id of an Azure Quantum workspace"
        raise InputError(given_as, what, f"Copy it from the workspace's page: {shape}.")
    subscription, group, name = match.groups()
    return subscription, group, name


def _by_identity(endpoint: str, subscription: str, group: str, name: str, given_as: str) -> Any:
    """The identity goes to Azure's own hosts alone."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError
    from azure.identity import DefaultAzureCredential
    from azure.quantum import Workspace

    host = _AZURE_HOST.fullmatch(endpoint)
    if endpoint and host is None:
        what = f"{endpoint!r} is no address of Azure Quantum's, and an identity is shown to no other host"
        raise InputError(given_as, what, "Give such as https://eastus.quantum.azure.com, or leave it out.")
    try:
        return Workspace(
            subscription_id=subscription,
            resource_group=group,
            name=name,
            location=host[1] if host else None,
            # said here, as the SDK would take the key of a connection string that the environment names, or a browser
            credential=DefaultAzureCredential(),
            user_agent=_USER_AGENT,
            _quantum_endpoint=endpoint or None,
        )
    except ValueError as error:
        raise InputError(given_as, str(error), "Compare it with the workspace's page.") from error
    except ClientAuthenticationError as error:
        raise AccessDenied(
            "Azure knows no identity of whoever runs this",
            "Nothing was submitted.",
            "Sign in (az login), set AZURE_CLIENT_ID and its like, or use a connection string.",
        ) from error
    except (AzureError, RuntimeError) as error:  # the SDK makes the latter of what it does not expect
        raise ServiceUnreachable(
            f"Azure Resource Manager did not say where workspace {name!r} is: {error}",
            "Nothing was submitted.",
            "Try again, or give the workspace's endpoint, for which nobody need be asked.",
        ) from error


def connect_from_environment() -> Any | None:
    """The workspace that AZURE_QUANTUM_CONNECTION_STRING names, or None where it is not set. Raises InputError."""
    text = os.environ.get(CONNECTION_VARIABLE)
    return connect(text) if text else None


def connection_of(workspace: Any) -> str:
    """A connection string of the SDK's workspace, for a process of its own; it holds the key, and belongs nowhere else.

    Raises InputError for a workspace that is opened by an identity.
    """
    from azure.core.credentials import AzureKeyCredential

    if not isinstance(workspace.credential, AzureKeyCredential):
        raise InputError(
            "workspace",
            "it is opened by an identity, which can't be handed to another process",
            f"Name it by a saved block, or set {CONNECTION_VARIABLE}.",
        )
    return (
        f"SubscriptionId={workspace.subscription_id};ResourceGroupName={workspace.resource_group};"
        f"WorkspaceName={workspace.name};ApiKey={workspace.credential.key};"
        f"QuantumEndpoint={endpoint_of(workspace).rstrip('/')}/;"
    )


def identity_of(workspace: Any) -> dict[str, str]:
    """What tells a workspace from others, without a secret; a local service's port is none of it."""
    return {
        "subscription": str(workspace.subscription_id),
        "resource_group": str(workspace.resource_group),
        "name": str(workspace.name),
        "host": urlsplit(endpoint_of(workspace)).hostname or "",
    }


def is_local(workspace: Any) -> bool:
    """Whether it is a local service's."""
    return _is_loopback(endpoint_of(workspace))


def endpoint_of(workspace: Any) -> str:
    """The service's address, as the SDK's client has it."""
    return str(workspace._client._config.endpoint)


def _local(service: LocalService, subscription: str, group: str, name: str) -> Any:
    from azure.core.credentials import AzureKeyCredential
    from azure.quantum import Workspace

    return Workspace(
        subscription_id=subscription,
        resource_group=group,
        name=name,
        location=_LOCAL_REGION,
        credential=AzureKeyCredential(service.api_key),
        user_agent=_USER_AGENT,
        _quantum_endpoint=service.endpoint,
    )


def _is_loopback(endpoint: str) -> bool:
    url = urlsplit(endpoint)
    try:
        return url.scheme == "http" and ip_address(url.hostname or "").is_loopback
    except ValueError:
        return False
