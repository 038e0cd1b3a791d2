"""A Prefect block that holds what opens an Azure Quantum workspace, to be saved once and used by its name.

Prefect finds it by the entry point `prefect.collections`, its server too: so it imports little.
"""

from __future__ import annotations

from typing import Any, Self

from prefect.blocks.abstract import CredentialsBlock
from prefect.client.orchestration import get_client
from pydantic import ConfigDict, Field, SecretStr, ValidationError, model_validator

from hybridloop.errors import InputError
from hybridloop.sessions.workspace import AzureWorkspace, connect

GIVEN_AS = "workspace"


class AzureQuantumWorkspace(CredentialsBlock):
    """
    An Azure Quantum workspace and what opens it: its connection string, its resource id with a key, or its resource
    id alone, which is opened by the Azure identity of whoever runs the flow (`DefaultAzureCredential`: environment,
    managed identity, `az login`).

    Example:
        Load stored Azure Quantum Workspace credentials:
        ```python
        from hybridloop.blocks import AzureQuantumWorkspace

        workspace_block = AzureQuantumWorkspace.load("BLOCK_NAME")
        workspace = workspace_block.get_client()  # the Azure Quantum SDK's own Workspace
        ```
    """

    # a mistyped field would be kept as it is, secret or not; and an error must not show what was given
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    _block_type_name = "Azure Quantum Workspace"
    _logo_url = "https://cdn.sanity.io/images/3ugk85nk/production/54e3fa7e00197a4fbd1d82ed62494cb58d08c96a-250x250.png"  # type: ignore[assignment]  # pydantic makes an address of it
    _documentation_url = "https://learn.microsoft.com/azure/quantum/how-to-connect-workspace"  # type: ignore[assignment]

    connection_string: SecretStr | None = Field(
        default=None,
        title="Connection string",
        description="All in one, as the workspace's page has it (Operations, Access keys); then leave out the others.",
    )
    resource_id: str | None = Field(
        default=None,
        title="Resource ID",
        description="The workspace, with a key or an Azure identity in place of a connection string.",
        examples=["/subscriptions/…/resourceGroups/…/providers/Microsoft.Quantum/Workspaces/…"],
    )
    endpoint: str | None = Field(
        default=None,
        title="Endpoint",
        description="The service's address; needed with a key, and with an identity it saves a request to Azure.",
        examples=["https://eastus.quantum.azure.com"],
    )
    api_key: SecretStr | None = Field(
        default=None,
        title="API key",
        description="The workspace's key; left out, the Azure identity of whoever runs the flow opens it.",
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.connection_string is None) == (self.resource_id is None):
            raise ValueError("give either connection_string or resource_id")
        if self.connection_string is not None and (self.endpoint or self.api_key):
            raise ValueError("endpoint and api_key are in a connection_string already: leave them out")
        if self.api_key is not None and not self.endpoint:
            raise ValueError("with an api_key give the endpoint, too")
        return self

    def get_client(self) -> Any:
        """The SDK's Workspace; sends nothing, unless an identity is to find the endpoint.

        Raises InputError for what opens no workspace; AccessDenied, ServiceUnreachable where Azure is asked.
        """
        if self.connection_string is not None:
            return connect(self.connection_string.get_secret_value(), given_as=GIVEN_AS)
        key = "" if self.api_key is None else self.api_key.get_secret_value()
        return connect(AzureWorkspace(self.resource_id or "", self.endpoint or "", key), given_as=GIVEN_AS)


def saved_workspace(name: str) -> Any:
    """The SDK's Workspace of the block that was saved on Prefect's server under this name.

    Raises InputError where there is none, or where it opens no workspace; otherwise as `get_client` does.
    """
    slug = AzureQuantumWorkspace.get_block_type_slug()
    try:
        # `_sync`, which Prefect's types leave out: else it would be a coroutine wherever an event loop runs
        block: Any = AzureQuantumWorkspace.load(name, _sync=True)  # type: ignore[call-arg]
    except ValidationError as error:
        why = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise InputError(GIVEN_AS, f"the block {slug}/{name} can't be used: {why}", "Save it anew.") from None
    except ValueError as error:
        with get_client(sync_client=True) as client:
            there = [document.name for document in client.read_block_documents_by_type(slug, include_secrets=False)]
        remedy = (
            f"There is {', '.join(map(repr, sorted(filter(None, there))))}."
            if there
            else "Save one of that name (docs/azure.md says how)."
        )
        raise InputError(GIVEN_AS, f"Prefect's server has no block {slug}/{name}", remedy) from error
    return block.get_client()
