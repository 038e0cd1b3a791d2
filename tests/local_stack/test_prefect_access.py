"""The stack's Prefect server is for its own clients and its own pages; pages of other sites get nothing."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import websockets

from hybridloop import local_stack as stack
from hybridloop.local_stack.state_files import ProcessRecord, private_folder, write_record
from hybridloop.runtime.paths import home
from tests.prefect_server import copy_server, own_environ, server_folder

pytestmark = pytest.mark.slow
FOREIGN = ("http://evil.example", "null", "http://127.0.0.1:9", "https://127.0.0.1")


def send(
    server: stack.PrefectServer,
    method: str,
    path: str,
    *,
    signed: bool = True,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Send a request as a browser would, with or without the server's auth string."""
    auth = httpx.BasicAuth(*server.environment["PREFECT_API_AUTH_STRING"].split(":")) if signed else None
    body: dict[str, object] | None = {} if method == "POST" else None
    url = f"{server.api_url}{path}"
    return httpx.request(method, url, json=body, headers=headers, auth=auth, trust_env=False)


def test_only_clients_with_the_auth_string_are_answered(prefect_server: stack.PrefectServer) -> None:
    assert send(prefect_server, "POST", "/block_documents/filter").status_code == 200
    for method, path in (("GET", "/admin/version"), ("POST", "/block_documents/filter"), ("POST", "/deployments/")):
        assert send(prefect_server, method, path, signed=False).status_code == 401
    assert send(prefect_server, "GET", "/health", signed=False).status_code == 200


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_other_origins_are_refused_even_with_the_auth_string(
    prefect_server: stack.PrefectServer, method: str, origin: str
) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    path = "/block_documents/filter" if method == "POST" else "/admin/version"
    reply = send(prefect_server, method, path, headers={"Origin": origin, **(asked if method == "OPTIONS" else {})})
    assert reply.status_code == 403
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""])
def test_other_host_names_are_refused(prefect_server: stack.PrefectServer, host: str) -> None:
    port = urlsplit(prefect_server.api_url).port
    assert send(prefect_server, "GET", "/admin/version", headers={"Host": host.format(port=port)}).status_code == 403
    assert send(prefect_server, "GET", "/admin/version", headers={"Host": f"localhost:{port}"}).status_code == 200


def test_a_page_of_another_origin_opens_no_event_stream(prefect_server: stack.PrefectServer) -> None:
    async def connect(origin: str | None) -> None:
        address = prefect_server.api_url.replace("http", "ws", 1) + "/events/out"
        async with websockets.connect(address, origin=origin, subprotocols=["prefect"], proxy=None):  # type: ignore[arg-type,list-item]
            pass

    asyncio.run(connect(None))
    with pytest.raises(websockets.InvalidStatus, match="403"):
        asyncio.run(connect("http://evil.example"))


def test_no_page_may_show_these_pages_in_a_frame(prefect_server: stack.PrefectServer) -> None:
    root = prefect_server.api_url.removesuffix("/api")
    for page in (f"{root}/", f"{root}/sign-in", prefect_server.api_url + "/health"):
        headers = httpx.get(page, trust_env=False).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_the_auth_string_is_in_a_file_of_the_owner_and_survives_a_restart(
    migrated_server: Path, tmp_path: Path
) -> None:
    environ = own_environ(tmp_path)
    copy_server(migrated_server, server_folder(environ))
    record = home(environ) / "stack" / "prefect.json"
    ended = ProcessRecord("prefect", "http://127.0.0.1:0", os.getpid(), 0.0, "older", "hybridloop:kept")
    write_record(private_folder(record.parent) / record.name, ended)
    try:
        started = stack.ensure_prefect(environ)
        assert stat.S_IMODE(record.stat().st_mode) == 0o600
        assert started.environment["PREFECT_API_AUTH_STRING"] == "hybridloop:kept"
        assert send(started, "GET", "/admin/version").status_code == 200
    finally:
        stack.down(environ)
