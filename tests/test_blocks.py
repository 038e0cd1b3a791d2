"""Workspace block: saved on a real Prefect server and used by name; its secret appears nowhere else."""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from azure.core.credentials import AzureKeyCredential
from azure.identity import DefaultAzureCredential
from prefect.blocks.core import Block
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite
from pydantic import SecretStr, ValidationError

from hybridloop.azure.workspace import identity_of
from hybridloop.blocks import AzureQuantumWorkspace, load_workspace
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.emulator.pytest_plugin import RESOURCE_GROUP
from hybridloop.errors import AccessDenied, InputError
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.housekeeping import housekeeping
from hybridloop.journal import open_journal
from hybridloop.local_stack import PrefectServer
from hybridloop.runtime.workspace_variables import CONNECTION_VARIABLE
from hybridloop.settings import ProblemText
from tests.cli.shell_helpers import Shell, connection_string, run_in_process
from tests.conftest import SUBSCRIPTION, Emulator
from tests.prefect_server import prefect_client
from tests.waiting import eventually

RESOURCE_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Quantum/Workspaces/ws"
AZURE = "https://eastus.quantum.azure.com"


class TestBlockStandards(BlockStandardTestSuite):
    """Prefect's test suite for blocks, without the test that downloads the logo."""

    @pytest.fixture
    def block(self) -> type[Block]:
        return AzureQuantumWorkspace

    test_has_a_valid_image = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class SavedBlock:
    """A block saved on the server, with its workspace and key."""

    name: str
    workspace: Any
    api_key: str


@pytest.fixture(scope="module")
def saved(prefect_server: PrefectServer, emulator: Emulator) -> SavedBlock:
    name = f"saved-{secrets.token_hex(4)}"
    text = connection_string(emulator.endpoint, emulator.api_key, name)
    AzureQuantumWorkspace(connection_string=SecretStr(text)).save(name)
    return SavedBlock(name, emulator.workspace(name), emulator.api_key)


@pytest.fixture(autouse=True)
def _no_workspace_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONNECTION_VARIABLE, raising=False)


def test_prefect_finds_the_block_by_its_entry_point() -> None:
    (entry,) = [entry for entry in entry_points(group="prefect.collections") if entry.name == "hybridloop"]
    assert entry.load() is sys.modules["hybridloop.blocks"]
    assert Block.get_block_class_from_key("azure-quantum-workspace") is AzureQuantumWorkspace


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "either connection_string or resource_id"),
        ({"connection_string": "c", "resource_id": RESOURCE_ID}, "either connection_string or resource_id"),
        ({"connection_string": "c", "api_key": "canary"}, "leave them out"),
        ({"resource_id": RESOURCE_ID, "api_key": "canary"}, "an api_key needs an endpoint"),
        ({"resource_id": RESOURCE_ID, "api_kye": "canary"}, "api_kye"),
    ],
)
def test_a_block_needs_one_kind_of_credentials_and_its_errors_show_no_secret(
    fields: dict[str, str], message: str
) -> None:
    with pytest.raises(ValidationError, match=message) as refusal:
        AzureQuantumWorkspace.model_validate(fields)
    assert "canary" not in str(refusal.value)


def test_a_key_opens_a_workspace_at_its_endpoint_and_is_sent_to_no_other_host(emulator: Emulator) -> None:
    def block(endpoint: str) -> AzureQuantumWorkspace:
        resource_id = RESOURCE_ID.replace("/rg/", f"/{RESOURCE_GROUP}/").replace("/ws", "/keyed")
        key = SecretStr(emulator.api_key)
        return AzureQuantumWorkspace(resource_id=resource_id, endpoint=endpoint, api_key=key)

    local = block(emulator.endpoint).get_client()
    assert list(local.list_sessions()) == []  # the service accepts the key
    assert identity_of(local) == identity_of(emulator.workspace("keyed"))
    for address in (AZURE, AZURE + "/"):
        in_azure = block(address).get_client()
        assert isinstance(in_azure.credential, AzureKeyCredential)
        assert identity_of(in_azure)["host"] == "eastus.quantum.azure.com"
    with pytest.raises(InputError, match="workspace: ") as refusal:
        block("https://example.org").get_client()
    assert emulator.api_key not in str(refusal.value)


def test_an_identity_opens_an_azure_workspace_and_the_key_in_the_environment_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = connection_string("https://westus.quantum.azure.com/", "canary", "other")
    monkeypatch.setenv(CONNECTION_VARIABLE, other)  # the SDK uses its key if it gets no credential
    workspace = AzureQuantumWorkspace(resource_id=RESOURCE_ID, endpoint=AZURE).get_client()
    assert isinstance(workspace.credential, DefaultAzureCredential)
    assert identity_of(workspace) == {
        "subscription": SUBSCRIPTION,
        "resource_group": "rg",
        "name": "ws",
        "host": "eastus.quantum.azure.com",
    }
    with pytest.raises(InputError, match="no other host"):
        AzureQuantumWorkspace(resource_id=RESOURCE_ID, endpoint="https://example.org").get_client()
    with pytest.raises(InputError, match="is not a resource id"):
        AzureQuantumWorkspace(resource_id="ws", endpoint=AZURE).get_client()


def test_a_missing_azure_identity_is_reported_with_how_to_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")  # the others use the network
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AccessDenied, match="az login"):
        AzureQuantumWorkspace(resource_id=RESOURCE_ID).get_client()


@pytest.mark.slow
def test_a_saved_block_opens_its_workspace_and_an_unknown_name_is_refused(saved: SavedBlock) -> None:
    assert identity_of(load_workspace(saved.name)) == identity_of(saved.workspace)
    with pytest.raises(InputError, match=f"no block azure-quantum-workspace/nobodys.*{saved.name}"):
        load_workspace("nobodys")


@pytest.mark.slow
def test_a_run_uses_the_workspace_of_its_block_and_the_secret_is_stored_nowhere_else(
    saved: SavedBlock, stack_environ: dict[str, str], prefect_server: PrefectServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    vqe(ProblemText(name="h2"), VqeSettings(seed=7), "by-name", saved.name)
    (session,) = saved.workspace.list_sessions()
    assert session.details.status == "Succeeded"
    with open_journal() as journal:
        record = journal.run("by-name")
        assert record.settings["workspace"] == identity_of(saved.workspace)
    assert housekeeping(workspace=saved.name) == {}
    shell = Shell(stack_environ)
    repeated = shell.json_inside("run", "vqe", "h2", "--seed", "7", "--run-key", "by-name", "--workspace", saved.name)
    assert [row["id"] for row in repeated["sessions"]] == [session.id]
    resumed = shell.json_inside("runs", "resume", "by-name", "--workspace", saved.name)
    assert resumed["value"] == repeated["value"]

    assert record.flow_run_id is not None
    flow_run_id = UUID(record.flow_run_id)
    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id]))
    with prefect_client(prefect_server) as client:
        assert client.read_flow_run(flow_run_id).parameters["workspace"] == saved.name

        def messages() -> str:
            return " ".join(line.message for line in client.read_logs(of_run))

        eventually(lambda: "converged: " in messages())  # lines arrive some time after the run
        logs = messages()
    assert f"workspace {saved.name}" in logs
    assert saved.api_key not in logs
    assert saved.api_key not in caplog.text
    assert saved.api_key not in repr(AzureQuantumWorkspace.load(saved.name))
    home = Path(stack_environ["HYBRIDLOOP_HOME"])
    server = (home / "prefect").resolve()
    for path in (*home.glob("*.db*"), *server.rglob("*.db*"), *home.glob("stack/*.log")):
        assert saved.api_key.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_a_wrong_key_in_a_block_names_the_block(
    emulator: Emulator, stack_environ: dict[str, str], prefect_server: PrefectServer
) -> None:
    name = f"wrong-{secrets.token_hex(4)}"
    text = connection_string(emulator.endpoint, "of-another-workspace", name)
    AzureQuantumWorkspace(connection_string=SecretStr(text)).save(name)
    refused = run_in_process(stack_environ, "run", "vqe", "h2", "--seed", "7", "--workspace", name)
    assert refused.code == 2
    assert f"Correct the key in the block azure-quantum-workspace/{name} on the Prefect server" in refused.err


@pytest.mark.slow
@pytest.mark.parametrize("command", [("sessions", "list"), ("sessions", "close-orphans"), ("targets",)], ids=" ".join)
def test_commands_that_use_the_service_accept_the_name_of_a_block(
    command: tuple[str, ...], saved: SavedBlock, stack_environ: dict[str, str], prefect_server: PrefectServer
) -> None:
    shell = Shell(stack_environ)
    assert shell.json_inside(*command, "--workspace", saved.name) is not None
    refused = run_in_process(stack_environ, *command, "--workspace", "nobodys")
    assert (refused.code, refused.out) == (2, "")
    assert "azure-quantum-workspace/nobodys" in refused.err
