"""Prefect blocks: the credentials of an Azure Quantum workspace, and the place of results on Prefect's server.

Prefect and its server load this module through the entry point `prefect.collections`, so it imports little.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, cast
from uuid import UUID

from prefect.blocks.abstract import CredentialsBlock
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterType
from prefect.client.schemas.sorting import ArtifactSort
from prefect.filesystems import WritableFileSystem
from pydantic import ConfigDict, Field, SecretStr, ValidationError, model_validator

from hybridloop.azure.workspace import AzureWorkspace, connect, connect_by_resource_id, is_resource_id
from hybridloop.errors import AccessDenied, InputError

FIELD_NAME = "workspace"
_RESULTS, _RESULT_TYPE = "results", "result"  # Prefect's UI lists no artifacts of that type


_LOGO: Any = "https://cdn.sanity.io/images/3ugk85nk/production/54e3fa7e00197a4fbd1d82ed62494cb58d08c96a-250x250.png"


class AzureQuantumWorkspace(CredentialsBlock):
    """
    An Azure Quantum workspace and its credentials: a connection string, a resource id with a key, or a resource id
    alone, which is opened by the Azure identity of the process that runs the flow (`DefaultAzureCredential`:
    environment, managed identity, `az login`).

    Example:
        Load stored Azure Quantum Workspace credentials:
        ```python
        from hybridloop.blocks import AzureQuantumWorkspace

        workspace_block = AzureQuantumWorkspace.load("BLOCK_NAME")
        workspace = workspace_block.get_client()  # the Azure Quantum SDK's own Workspace
        ```
    """

    # by default a mistyped field would be stored, secret or not; and an error must not show the input
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    _block_type_name = "Azure Quantum Workspace"
    _logo_url = _LOGO
    _documentation_url = "https://learn.microsoft.com/azure/quantum/how-to-connect-workspace"  # type: ignore[assignment]

    connection_string: SecretStr | None = Field(
        default=None,
        title="Connection string",
        description="From the workspace's page (Operations, Access keys); then leave the other fields empty.",
    )
    resource_id: str | None = Field(
        default=None,
        title="Resource ID",
        description="The workspace's resource id, for a key or an Azure identity instead of a connection string.",
        examples=["/subscriptions/…/resourceGroups/…/providers/Microsoft.Quantum/Workspaces/…"],
    )
    endpoint: str | None = Field(
        default=None,
        title="Endpoint",
        description="The service's address; required with a key, and saves a request to Azure with an identity.",
        examples=["https://eastus.quantum.azure.com"],
    )
    api_key: SecretStr | None = Field(
        default=None,
        title="API key",
        description="The workspace's key; if empty, the Azure identity of the process that runs the flow is used.",
    )

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if (self.connection_string is None) == (self.resource_id is None):
            raise ValueError("give either connection_string or resource_id")
        if self.connection_string is not None and (self.endpoint or self.api_key):
            raise ValueError("endpoint and api_key are in a connection_string already: leave them out")
        if self.api_key is not None and not self.endpoint:
            raise ValueError("an api_key needs an endpoint")
        return self

    def get_client(self) -> Any:
        """Return the SDK's Workspace; nothing is sent, unless an identity has to look up the endpoint.

        Raises InputError for invalid credentials; AccessDenied or ServiceUnreachable if the endpoint is looked up.
        """
        if self.connection_string is not None:
            return connect(self.connection_string.get_secret_value(), field_name=FIELD_NAME)
        key = "" if self.api_key is None else self.api_key.get_secret_value()
        return connect(AzureWorkspace(self.resource_id or "", self.endpoint or "", key), field_name=FIELD_NAME)


class RunResults(WritableFileSystem):
    """
    Results of hybridloop's flow runs on Prefect's server, as artifacts; flow runs save this block by themselves.

    Example:
        Get the result of a deployment's flow run in any process:
        ```python
        from prefect.deployments import run_deployment

        run_deployment("vqe/on-demand", parameters={"problem": {"name": "h2"}}).state.result()
        ```
    """

    _block_type_name = "hybridloop results"
    _logo_url = _LOGO

    def read_path(self, path: str, **_prefects: Any) -> bytes:  # type: ignore[override]  # Prefect takes both kinds
        """Return what was stored last for the flow run of this id. Raises ValueError if there is nothing."""
        ours = ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(path)]), type=ArtifactFilterType(any_=[_RESULT_TYPE])
        )
        with get_client(sync_client=True) as client:
            found = client.read_artifacts(artifact_filter=ours, sort=ArtifactSort.CREATED_DESC, limit=1)
        if not found:
            raise ValueError(f"the Prefect server has no result of flow run {path}")
        return str(found[0].data).encode()

    def write_path(self, path: str, content: bytes, **_prefects: Any) -> None:  # type: ignore[override]  # as above
        """Store text for the flow run of this id."""
        artifact = ArtifactCreate(type=_RESULT_TYPE, data=content.decode(), flow_run_id=UUID(path))
        with get_client(sync_client=True) as client:
            client.create_artifact(artifact)


def results_block() -> RunResults:
    """Return the block of results on Prefect's server, which is saved if it is not there."""
    try:
        block: Any = RunResults.load(_RESULTS, _sync=True)  # type: ignore[call-arg]  # as in `load_workspace`
    except ValueError:
        block = RunResults()
        block.save(_RESULTS, overwrite=True, _sync=True)
    return cast(RunResults, block)


@contextmanager
def naming_block(name: str | None) -> Iterator[None]:
    """Let an error of a refused key name the saved block that has the key; None and a resource id are no blocks."""
    try:
        yield
    except AccessDenied as error:
        if name is None or is_resource_id(name):
            raise
        block = f"{AzureQuantumWorkspace.get_block_type_slug()}/{name}"
        remedy = f"Correct the key in the block {block} on the Prefect server, or the identity's role in the workspace."
        raise AccessDenied(error.happened, error.meaning, remedy) from error


def load_workspace(name: str) -> Any:
    """Return the SDK's Workspace of the block that is saved on the Prefect server under this name, or a resource id.

    Raises InputError if there is none or its fields are invalid; otherwise as `get_client`.
    """
    if is_resource_id(name):
        return connect_by_resource_id(name)
    slug, problem = AzureQuantumWorkspace.get_block_type_slug(), ""
    try:
        # `_sync` is missing in Prefect's types; without it the result is a coroutine if an event loop runs
        block: Any = AzureQuantumWorkspace.load(name, _sync=True)  # type: ignore[call-arg]
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]["msg"]
    except ValueError as error:
        with get_client(sync_client=True) as client:
            names = [document.name for document in client.read_block_documents_by_type(slug, include_secrets=False)]
        remedy = (
            f"Saved blocks: {', '.join(map(repr, sorted(filter(None, names))))}."
            if names
            else "Save one with that name: see docs/deploy.md."
        )
        raise InputError(FIELD_NAME, f"the Prefect server has no block {slug}/{name}", remedy) from error
    if problem:  # raised here, as it would refer to the error with the secret inside of `except`
        raise InputError(FIELD_NAME, f"the block {slug}/{name} is invalid: {problem}", "Save it again.")
    return block.get_client()
