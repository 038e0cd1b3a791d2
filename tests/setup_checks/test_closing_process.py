"""Signed requests that the closing process sends: as the SDK signs them, over TLS, to no other host."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from azure.core.credentials import AccessToken, AzureKeyCredential
from azure.quantum import Workspace

from hybridloop.azure.signed_request import SignedRequest
from hybridloop.azure.transport import Transport
from hybridloop.setup_checks.live.closing_process import is_safe, send_request
from tests.azure.test_identity import own_certificate
from tests.conftest import SUBSCRIPTION


@contextmanager
def recording_server(status: int, tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, list[str]]]:
    """Hold a server that answers POST with a status; yield its URL and the paths that it was sent."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            paths.append(self.path)
            self.send_response(status)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that does not trust it goes away

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}", paths
        finally:
            server.shutdown()
            thread.join()


def request(url: str, ca_file: str | None = None) -> dict[str, object]:
    headers = {"x-ms-quantum-api-key": "canary", "Content-Type": "application/json"}
    return SignedRequest("POST", f"{url}/x:close", headers, b"", None, ca_file).as_message()


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://eastus.quantum.azure.com/x", True),
        ("http://127.0.0.1:8099/x", True),
        ("http://[::1]:8099/x", True),
        ("http://eastus.quantum.azure.com/x", False),
        ("http://127.0.0.1.example.com/x", False),
        ("http://192.0.2.1/x", False),
        ("file:///etc/passwd", False),
        ("ftp://127.0.0.1/x", False),
        ("https:///x", False),
    ],
)
def test_a_key_is_sent_over_tls_or_to_loopback_only(url: str, may: bool) -> None:  # noqa: FBT001
    assert is_safe(url) is may


def test_a_redirect_is_not_followed_so_the_key_reaches_no_other_host() -> None:
    with recording_server(307) as (url, paths):
        assert send_request(request(url)) == 307
    assert paths == ["/x:close"]


def test_an_untrusted_server_gets_nothing_and_a_trusted_one_gets_the_request(tmp_path: Path) -> None:
    file = own_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    with recording_server(200, tls) as (url, paths):
        with pytest.raises(OSError, match="certificate"):
            send_request(request(url))
        assert paths == []
        assert send_request(request(url, str(file))) == 200
    assert paths == ["/x:close"]


class Token:
    """Credential that returns bearer tokens, as those of Azure do."""

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        assert scopes
        return AccessToken("canary-token", 4102444800)


@pytest.mark.parametrize(
    ("credential", "header", "value"),
    [
        (AzureKeyCredential("canary-key"), "x-ms-quantum-api-key", "canary-key"),
        (Token(), "authorization", "Bearer canary-token"),
    ],
)
def test_a_request_is_signed_as_by_the_sdk_and_its_repr_hides_secrets(
    credential: object, header: str, value: str
) -> None:
    workspace = Workspace(
        subscription_id=SUBSCRIPTION,
        resource_group="tests",
        name="ws",
        location="eastus",
        credential=credential,
        user_agent="hybridloop",
        _quantum_endpoint="https://eastus.quantum.azure.com/",
    )
    signed = Transport(workspace).sign("POST", "/jobs/some-id:cancel", None)
    assert signed.url.startswith("https://eastus.quantum.azure.com/subscriptions/")
    assert "/workspaces/ws/jobs/some-id:cancel?api-version=" in signed.url
    headers = {name.lower(): text for name, text in signed.headers.items()}
    assert headers[header] == value
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("hybridloop")
    assert "canary" not in repr(signed)
