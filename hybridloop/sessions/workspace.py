"""The workspace that a run speaks to: the caller's own, one from a connection string, or a local service."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from hybridloop.errors import InputError

CONNECTION_VARIABLE = "AZURE_QUANTUM_CONNECTION_STRING"
LOCAL_SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
LOCAL_RESOURCE_GROUP = "local"
LOCAL_WORKSPACE = "hybridloop"
_LOCAL_REGION = "eastus"  # the SDK takes only regions that it knows
_USER_AGENT = "hybridloop"
_PART = re.compile(r"(?i)(SubscriptionId|ResourceGroupName|WorkspaceName|ApiKey|QuantumEndpoint)=([^;]+);?")


@dataclass(frozen=True, slots=True)
class LocalService:
    """Where a local service listens, and the key that it asks for."""

    endpoint: str
    api_key: str

    def __repr__(self) -> str:
        return f"LocalService(endpoint={self.endpoint!r})"


def connect(connection: str | LocalService) -> Any:
    """The SDK's Workspace for a connection string or a local service; sends nothing yet. Raises InputError.

    The SDK takes connection strings of Azure's own hosts only. One whose QuantumEndpoint is on this machine's
    loopback is taken as a local service; no other host is.
    """
    if isinstance(connection, LocalService):
        return _local(connection, LOCAL_SUBSCRIPTION, LOCAL_RESOURCE_GROUP, LOCAL_WORKSPACE)
    from azure.quantum import Workspace

    parts = {key.lower(): value for key, value in _PART.findall(connection)}
    try:  # the SDK checks the names in it as well
        if _is_loopback(parts.get("quantumendpoint", "")) and len(parts) == 5:
            service = LocalService(parts["quantumendpoint"], parts["apikey"])
            return _local(service, parts["subscriptionid"], parts["resourcegroupname"], parts["workspacename"])
        return Workspace.from_connection_string(connection, user_agent=_USER_AGENT)
    except ValueError as error:
        raise InputError(
            CONNECTION_VARIABLE,
            "it is no connection string of an Azure Quantum workspace",
            "Copy it whole from the workspace's page (Operations, Access keys), quotes left out.",
        ) from error


def connect_from_environment() -> Any | None:
    """The workspace that AZURE_QUANTUM_CONNECTION_STRING names, or None where it is not set. Raises InputError."""
    text = os.environ.get(CONNECTION_VARIABLE)
    return connect(text) if text else None


def identity_of(workspace: Any) -> dict[str, str]:
    """What tells a workspace from others, without a secret; a local service's port is none of it."""
    return {
        "subscription": str(workspace.subscription_id),
        "resource_group": str(workspace.resource_group),
        "name": str(workspace.name),
        "host": urlsplit(_endpoint_of(workspace)).hostname or "",
    }


def _endpoint_of(workspace: Any) -> str:
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
