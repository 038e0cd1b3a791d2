"""Connect to an Azure Quantum workspace by connection string, key or Azure identity, or to a local service."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hybridloop import local_stack
from hybridloop.errors import InputError
from hybridloop.runtime.leaves import leaf
from hybridloop.runtime.workspace_variables import (
    CONNECTION_VARIABLE,
    LOCATION_VARIABLE,
    NAME_VARIABLE,
    RESOURCE_GROUP_VARIABLE,
    SUBSCRIPTION_VARIABLE,
    refuse_misspelt,
    workspace_variable,
)

if TYPE_CHECKING:
    from hybridloop.azure import identity
else:
    identity = leaf("hybridloop.azure.identity")

LOCAL_SERVICE_VARIABLE = (
    "HYBRIDLOOP_LOCAL_SERVICE"  # set by `hybridloop env`: a worker's runs may use the local service
)
LOCAL_SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
LOCAL_RESOURCE_GROUP = "local"
LOCAL_WORKSPACE = "hybridloop"
_LOCAL_REGION = "eastus"  # the SDK takes only regions that it knows
_USER_AGENT = "hybridloop"
_KEYWORDS = {  # of the SDK's Workspace, by the variables that it reads
    NAME_VARIABLE: "name",
    SUBSCRIPTION_VARIABLE: "subscription_id",
    RESOURCE_GROUP_VARIABLE: "resource_group",
    LOCATION_VARIABLE: "location",
}
_RESOURCE_ID = re.compile(
    r"(?i)/subscriptions/([^/\s;]+)/resourceGroups/([^/\s;]+)/providers/Microsoft\.Quantum/Workspaces/([^/\s;]+)/?"
)
_NAMED_BY_SDK = {"Workspace name": "WorkspaceName", "Resource group name": "ResourceGroupName"}
_PARTS = ("SubscriptionId", "ResourceGroupName", "WorkspaceName", "ApiKey", "QuantumEndpoint")
_PART = re.compile(rf"({'|'.join(_PARTS)})=([^;]+);?", re.IGNORECASE)
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LocalService:
    """Endpoint and API key of a local service."""

    endpoint: str
    api_key: str

    def __repr__(self) -> str:
        return f"LocalService(endpoint={self.endpoint!r})"


@dataclass(frozen=True, slots=True)
class AzureWorkspace:
    """A workspace by its Azure resource id; without a key it is opened by the Azure identity of the user.

    `endpoint` is the service's address on the workspace's page. It is required with a key. With an identity it is
    looked up in Azure Resource Manager if it is missing.
    """

    resource_id: str
    endpoint: str = ""
    api_key: str = field(default="", repr=False)


def connect(connection: str | LocalService | AzureWorkspace, *, field_name: str = CONNECTION_VARIABLE) -> Any:
    """Return the SDK's Workspace for a connection string, a local service, or an Azure workspace. Raises InputError.

    Nothing is sent, except for an identity without an endpoint, which can raise AccessDenied or ServiceUnreachable. The
    SDK accepts only connection strings of Azure's own hosts. A QuantumEndpoint on this machine's loopback interface is
    accepted as a local service; no other host is. `field_name` is the name of the input in an error's message.
    """
    # Local service, or Azure identity
    if isinstance(connection, LocalService):
        return _local_workspace(connection, LOCAL_SUBSCRIPTION, LOCAL_RESOURCE_GROUP, LOCAL_WORKSPACE)
    if isinstance(connection, AzureWorkspace):
        subscription, group, name = _parse_resource_id(connection.resource_id, field_name)
        if not connection.api_key:
            named = {"subscription_id": subscription, "resource_group": group, "name": name}
            return identity.connect_by_identity(named, connection.endpoint, _USER_AGENT, field_name)
        # Resource id with a key: the SDK takes it as a connection string only
        endpoint = connection.endpoint.rstrip("/") + "/"
        connection = (
            f"SubscriptionId={subscription};ResourceGroupName={group};WorkspaceName={name};"
            f"ApiKey={connection.api_key};QuantumEndpoint={endpoint};"
        )
    from azure.quantum import Workspace

    # Connection string
    parts = {key.lower(): value for key, value in _PART.findall(connection)}
    try:  # the SDK checks the names in it as well
        if _is_loopback(parts.get("quantumendpoint", "")) and len(parts) == 5:
            service = LocalService(parts["quantumendpoint"], parts["apikey"])
            return _local_workspace(
                service, parts["subscriptionid"], parts["resourcegroupname"], parts["workspacename"]
            )
        return Workspace.from_connection_string(connection, user_agent=_USER_AGENT)
    except ValueError as error:
        raise InputError(
            field_name,
            f"it is not a connection string of an Azure Quantum workspace: {_wrong_part(parts, str(error))}",
            "Copy all of it from the workspace's page (Operations, Access keys), without quotes.",
        ) from error


def _wrong_part(parts: Mapping[str, str], reason: str) -> str:
    """Return which part of a connection string is wrong, without its value, by the SDK's reason if that names one."""
    if missing := [name for name in _PARTS if name.lower() not in parts]:
        return f"it has no {' and no '.join(missing)}"
    for name in _PARTS:
        if any(letter.isspace() for letter in parts[name.lower()]):
            return f"{name} has a blank"
    if _GUID.fullmatch(parts["subscriptionid"]) is None:
        return "SubscriptionId is no GUID"
    for name, part in _NAMED_BY_SDK.items():
        if reason.startswith(name):
            return f"{part} can't be right. {reason.rstrip('.')}"
    address = parts["quantumendpoint"]
    if re.fullmatch(r"https://[a-z0-9]+(-v2)?\.quantum(-test)?\.azure\.com/", address, re.IGNORECASE) is None:
        return (
            "QuantumEndpoint is no address of Azure Quantum, https://REGION.quantum.azure.com/, nor one of this machine"
        )
    return "its parts are not in the order of the page, each with a semicolon at its end"


def _parse_resource_id(resource_id: str, field_name: str) -> tuple[str, str, str]:
    """Return subscription, resource group and name. Raises InputError."""
    if (match := _RESOURCE_ID.fullmatch(resource_id.strip())) is None:
        shape = "/subscriptions/…/resourceGroups/…/providers/Microsoft.Quantum/Workspaces/…"
        problem = f"{resource_id!r} is not a resource id of an Azure Quantum workspace"
        raise InputError(field_name, problem, f"Copy it from the workspace's page: {shape}.")
    subscription, group, name = match.groups()
    return subscription, group, name


def is_resource_id(name: str) -> bool:
    """Return True for what can only be meant as a resource id: names of saved blocks have no slash."""
    return "/" in name


def connect_by_resource_id(resource_id: str) -> Any:
    """Return the workspace of this resource id, by the user's Azure identity; see `connect`."""
    return connect(AzureWorkspace(resource_id), field_name="workspace")


def connect_from_environment() -> Any | None:
    """Return the workspace that the environment names; None if it names none.

    AZURE_QUANTUM_CONNECTION_STRING names it, or the variables of the Azure SDK, by which it is opened with the user's
    identity. Raises InputError if they name none, or not the same, or are misspelt; else as `connect`.
    """
    named = {keyword: os.environ.get(variable) or None for variable, keyword in _KEYWORDS.items()}
    if text := os.environ.get(CONNECTION_VARIABLE):
        workspace = connect(text)
        for variable in (NAME_VARIABLE, SUBSCRIPTION_VARIABLE, RESOURCE_GROUP_VARIABLE):
            value = named[_KEYWORDS[variable]]
            if value is not None and value.lower() != str(getattr(workspace, _KEYWORDS[variable])).lower():
                problem = f"{value!r} is not that of {CONNECTION_VARIABLE}, which is set, too"
                raise InputError(variable, problem, "Unset one of them.")
        return workspace
    if (variable_set := workspace_variable(os.environ)) is None:
        refuse_misspelt(os.environ)
        return None
    if named["name"] is None:
        remedy = f"Set it to the workspace's name, or unset {variable_set} to use the local service."
        raise InputError(NAME_VARIABLE, f"it is not set, and {variable_set} is", remedy)
    return identity.connect_by_identity(named, "", _USER_AGENT, NAME_VARIABLE)


def local_workspace() -> Any:
    """Return the workspace of the local stack's service, which is started if needed. Raises StackError."""
    service = local_stack.ensure_emulator()
    os.environ.update(service.environment)
    return connect(LocalService(service.url + "/", service.api_key))


def resource_id_of(workspace: Any) -> str:
    """Return a workspace's resource id in Azure."""
    group = f"/subscriptions/{workspace.subscription_id}/resourceGroups/{workspace.resource_group}"
    return f"{group}/providers/Microsoft.Quantum/Workspaces/{workspace.name}"


def connection_string_of(workspace: Any) -> str:
    """Return a connection string for a workspace, to hand it to another process. It holds the key: do not store it.

    Raises InputError for a workspace that is opened by an identity.
    """
    from azure.core.credentials import AzureKeyCredential

    if not isinstance(workspace.credential, AzureKeyCredential):
        raise InputError(
            "workspace",
            "it is opened by an Azure identity, which can't be passed to another process",
            f"Use a saved block (--workspace NAME), or set {CONNECTION_VARIABLE}.",
        )
    service = LocalService(endpoint_of(workspace), workspace.credential.key)
    return connection_string(service, workspace.subscription_id, workspace.resource_group, workspace.name)


def connection_string(
    service: LocalService,
    subscription: str = LOCAL_SUBSCRIPTION,
    group: str = LOCAL_RESOURCE_GROUP,
    name: str = LOCAL_WORKSPACE,
) -> str:
    """Return the connection string of a workspace of a service; by default that of runs on the local stack."""
    return (
        f"SubscriptionId={subscription};ResourceGroupName={group};WorkspaceName={name};ApiKey={service.api_key};"
        f"QuantumEndpoint={service.endpoint.rstrip('/')}/;"
    )


def identity_of(workspace: Any) -> dict[str, str]:
    """Return the fields that identify a workspace, without secrets; the port of a local service does not count."""
    return {
        "subscription": str(workspace.subscription_id),
        "resource_group": str(workspace.resource_group),
        "name": str(workspace.name),
        "host": urlsplit(endpoint_of(workspace)).hostname or "",
    }


def describe(workspace: Any) -> str:
    """Return name and address of a workspace, and whether it is of a local service; without secrets."""
    where = "; a local service, which bills nothing" if is_local(workspace) else ""
    return f"workspace {workspace.name} at {endpoint_of(workspace)}{where}"


def session_page(workspace: Any, session_id: str) -> str:
    """Return the address of the portal's page of a session: the local service's own, else Azure's of the workspace."""
    if is_local(workspace):
        place = f"{workspace.subscription_id}/{workspace.resource_group}/{workspace.name}"
        return f"{endpoint_of(workspace).rstrip('/')}/_portal/sessions/{place}/{session_id}"
    return f"https://portal.azure.com/#resource{resource_id_of(workspace)}"


def is_local(workspace: Any) -> bool:
    """Return True for a workspace of a local service."""
    return _is_loopback(endpoint_of(workspace))


def endpoint_of(workspace: Any) -> str:
    """Return the service's address as stored in the SDK's client."""
    return str(workspace._client._config.endpoint)


def _local_workspace(service: LocalService, subscription: str, group: str, name: str) -> Any:
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
