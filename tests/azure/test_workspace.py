"""Connection strings: only Azure's hosts and the loopback interface are accepted, and nothing is sent."""

import pytest

from hybridloop.azure.workspace import LocalService, connect, connect_from_environment
from hybridloop.errors import InputError

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"


def connection_string(endpoint: str) -> str:
    return (
        f"SubscriptionId={SUBSCRIPTION};ResourceGroupName=rg;WorkspaceName=ws;ApiKey=canary-key;"
        f"QuantumEndpoint={endpoint};"
    )


@pytest.mark.parametrize(
    "endpoint", ["https://eastus.quantum.azure.com/", "http://127.0.0.1:8099/", "http://[::1]:8099/"]
)
def test_hosts_of_azure_and_loopback_addresses_are_accepted(endpoint: str) -> None:
    workspace = connect(connection_string(endpoint))
    assert (workspace.subscription_id, workspace.resource_group, workspace.name) == (SUBSCRIPTION, "rg", "ws")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        connection_string("http://169.254.169.254/"),
        connection_string("http://10.0.0.1:8099/"),
        connection_string("http://127.0.0.1.example.org/"),
        connection_string("http://localhost@example.org/"),
        connection_string("http://127.0.0.1:8099/").replace("WorkspaceName=ws;", ""),
    ],
)
def test_other_hosts_and_incomplete_strings_are_refused_without_showing_the_key(text: str) -> None:
    with pytest.raises(InputError, match="AZURE_QUANTUM_CONNECTION_STRING") as caught:
        connect(text)
    assert "canary-key" not in str(caught.value)


@pytest.mark.parametrize("name", ["w", "under_score", "w" * 55, "-w-"])
def test_a_workspace_name_that_can_not_be_right_is_named_with_the_sdks_reason(name: str) -> None:
    text = connection_string("https://eastus.quantum.azure.com/").replace("WorkspaceName=ws;", f"WorkspaceName={name};")
    with pytest.raises(InputError, match=r"WorkspaceName can't be right\. Workspace name (must|can)") as caught:
        connect(text)
    assert "canary-key" not in str(caught.value)


@pytest.mark.claim("Set `AZURE_QUANTUM_CONNECTION_STRING`")
def test_the_environment_variable_names_a_workspace_including_a_local_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_QUANTUM_CONNECTION_STRING", raising=False)
    assert connect_from_environment() is None
    monkeypatch.setenv("AZURE_QUANTUM_CONNECTION_STRING", connection_string("http://127.0.0.1:8099/"))
    workspace = connect_from_environment()
    assert workspace is not None
    assert workspace.name == "ws"


def test_a_local_services_repr_does_not_show_its_key() -> None:
    assert "canary" not in repr(LocalService("http://127.0.0.1:1/", "canary"))
