"""Workspaces by Azure identity: a managed identity's token, and Azure Resource Manager's answer, from local servers."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential
from azure.quantum._constants import ConnectionConstants
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hybridloop.azure.identity import is_opened_by_identity
from hybridloop.azure.workspace import connect_by_resource_id, connect_from_environment, endpoint_of, resource_id_of
from hybridloop.errors import AccessDenied, InputError
from hybridloop.runtime.workspace_variables import CONNECTION_VARIABLE, SDK_VARIABLES

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
RESOURCE_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Quantum/Workspaces/mine"
ENDPOINT = "https://westeurope-v2.quantum.azure.com/"
PROPERTIES = {"endpointUri": ENDPOINT, "workspaceKind": "V2"}
NAME, SUBSCRIPTION_ID, GROUP, LOCATION = SDK_VARIABLES


@contextmanager
def serving(answer: Any, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Hold a server on the loopback interface that answers `answer(path)` as JSON, with 404 for None."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if length := int(self.headers.get("Content-Length", 0)):
                self.rfile.read(length)
            document = answer(self.path)
            self.send_response(404 if document is None else 200)
            body = json.dumps(document).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # http.server's names

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
        server.shutdown()


def own_certificate(folder: Path) -> Path:
    """Write a key and a certificate for 127.0.0.1 into one file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(
        now + datetime.timedelta(days=1)
    )
    certificate = builder.add_extension(alternative, critical=True).sign(key, hashes.SHA256())
    pem, secret = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = folder / "certificate.pem"
    file.write_bytes(key.private_bytes(pem, secret, serialization.NoEncryption()) + certificate.public_bytes(pem))
    return file


def resource_manager(path: str) -> dict[str, Any] | None:
    """Answer as Azure Resource Manager and Resource Graph do for one workspace."""
    if path.startswith("/providers/Microsoft.ResourceGraph/resources"):
        found = {"subscriptionId": SUBSCRIPTION, "resourceGroup": "rg", "location": "westeurope", **PROPERTIES}
        return {"data": [found]}
    is_there = path.partition("?")[0].lower() == RESOURCE_ID.lower()
    return {"location": "westeurope", "properties": PROPERTIES} if is_there else None


@pytest.fixture
def no_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (CONNECTION_VARIABLE, *SDK_VARIABLES):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_workspace: None) -> Iterator[None]:
    """Sign in as a machine in Azure is: by its managed identity."""
    file = own_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    token = {"access_token": "t", "expires_on": "4102444800", "resource": "r", "token_type": "Bearer"}
    with serving(lambda _: token) as tokens, serving(resource_manager, tls) as manager:
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
        monkeypatch.setenv("IDENTITY_ENDPOINT", tokens)
        monkeypatch.setenv("IDENTITY_HEADER", "h")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
        monkeypatch.setattr(ConnectionConstants, "ARM_PRODUCTION_ENDPOINT", manager)
        yield


def connection_string(endpoint: str, name: str = "mine") -> str:
    return (
        f"SubscriptionId={SUBSCRIPTION};ResourceGroupName=rg;WorkspaceName={name};ApiKey=key;"
        f"QuantumEndpoint={endpoint};"
    )


def test_a_failed_sign_in_keeps_the_reason_of_each_credential(
    no_workspace: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = {
        "EnvironmentCredential": "EnvironmentCredential authentication unavailable. Variables are not configured.",
        "AzureCliCredential": "Azure CLI not found on path",
    }
    report = "DefaultAzureCredential failed to retrieve a token.\nAttempted credentials:\n" + "".join(
        f"\t{name}: {reason}\n" for name, reason in reasons.items()
    )

    def fail(*_: object, **__: object) -> Any:
        raise ClientAuthenticationError(report)

    monkeypatch.setattr(DefaultAzureCredential, "get_token", fail)
    monkeypatch.setattr(DefaultAzureCredential, "get_token_info", fail)
    with pytest.raises(AccessDenied) as raised:
        connect_by_resource_id(RESOURCE_ID)
    assert "(EnvironmentCredential: Variables are not configured; AzureCliCredential: Azure CLI not found on path)" in (
        str(raised.value)
    )


@pytest.mark.claim("sign in with `az login`")
@pytest.mark.parametrize(
    "variables",
    [
        {NAME: "mine"},
        {NAME: "mine", LOCATION: "westeurope"},
        {NAME: "mine", SUBSCRIPTION_ID: SUBSCRIPTION, GROUP: "rg"},
        {NAME: "mine", SUBSCRIPTION_ID: SUBSCRIPTION, GROUP: "rg", LOCATION: "westeurope"},
    ],
    ids=len,
)
def test_the_sdks_variables_name_the_workspace_that_the_identity_opens(
    variables: dict[str, str], identity: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    workspace: Any = connect_from_environment()
    assert isinstance(workspace.credential, DefaultAzureCredential)
    assert is_opened_by_identity(workspace)
    assert resource_id_of(workspace) == RESOURCE_ID
    assert endpoint_of(workspace) == ENDPOINT


def test_a_resource_id_is_not_mixed_with_the_connection_string_of_the_environment(
    identity: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, connection_string("https://eastus.quantum.azure.com/", "other"))
    workspace = connect_by_resource_id(RESOURCE_ID)
    assert (workspace.name, endpoint_of(workspace)) == ("mine", ENDPOINT)
    assert isinstance(workspace.credential, DefaultAzureCredential)
    with pytest.raises(InputError, match=r"workspace: .*'gone' not found in resource group 'rg'"):
        connect_by_resource_id(RESOURCE_ID.replace("/mine", "/gone"))


@pytest.mark.parametrize("variable", [SUBSCRIPTION_ID, GROUP, LOCATION])
def test_variables_without_a_name_are_refused_and_lead_to_no_local_service(
    variable: str, no_workspace: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "westeurope")
    with pytest.raises(InputError, match=f"{NAME}: it is not set, and {variable} is"):
        connect_from_environment()


def test_variables_and_a_connection_string_must_name_the_same_workspace(
    no_workspace: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, connection_string("http://127.0.0.1:1/"))
    monkeypatch.setenv(NAME, "Mine")
    workspace: Any = connect_from_environment()
    assert workspace.name == "mine"
    monkeypatch.setenv(SUBSCRIPTION_ID, SUBSCRIPTION.replace("1", "9"))
    with pytest.raises(InputError, match=f"{SUBSCRIPTION_ID}: .* is not that of {CONNECTION_VARIABLE}"):
        connect_from_environment()


def test_who_is_not_signed_in_is_told_how(no_workspace: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")  # the others use the network
    monkeypatch.setenv(NAME, "mine")
    with pytest.raises(AccessDenied, match="az login"):
        connect_from_environment()
