"""Access checks: host names, other origins, keys, and bounds on the size and time of requests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.responses import Response

from hybridloop.emulator.http.access import MAX_HEADER_BYTES, MAX_URL_BYTES, TimeLimitedProtocol
from tests.conftest import Emulator
from tests.emulator.http_helpers import Caller, raw_call
from tests.waiting import PATIENCE_S

ENDPOINTS = [
    f"{'/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/r/providers/Microsoft.Quantum'}"
    "/workspaces/w/sessions",
    "/_admin/clock",
    "/_admin/ledger",
    "/_admin/targets",
    "/_admin/faults",
    "/box-1/box-1/blob",
    "/",
]
ADMIN = [
    "/_admin/clock",
    "/_admin/clock/participants",
    "/_admin/ledger",
    "/_admin/targets",
    "/_admin/faults",
    "/_admin/nothing",
]


WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def key_headers(emulator: Emulator, **more: str) -> dict[str, str]:
    """Return headers with both keys, so that only the access checks can refuse."""
    return {"x-ms-quantum-api-key": emulator.api_key, "x-admin-key": emulator.admin_key, **more}


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}",
     "0.0.0.0:{port}", "127.0.0.1:{port}@evil.example", "127.0.0.1:{port}.", ""],
)  # fmt: skip
def test_another_host_name_is_refused_at_every_endpoint_also_with_the_keys(
    emulator: Emulator, path: str, host: str
) -> None:
    host = host.format(port=urlsplit(emulator.endpoint).port)
    assert raw_call(emulator.endpoint, "GET", path, None, key_headers(emulator, Host=host)).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_loopback_host_names_are_accepted_and_used_in_returned_urls(emulator: Emulator, host: str) -> None:
    host = host.format(port=urlsplit(emulator.endpoint).port)
    reply = Caller(emulator).call("POST", "/storage/sasUri", {"containerName": "box-1"}, Host=host)
    assert (reply.status, urlsplit(reply.json()["sasUri"]).netloc) == (200, host)


def test_a_request_without_a_host_header_is_refused(emulator: Emulator) -> None:
    assert send_raw(emulator, b"GET /_admin/clock HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("path", ADMIN)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_the_api_key_is_refused_at_every_admin_endpoint_with_every_method(
    emulator: Emulator, path: str, method: str
) -> None:
    key = emulator.api_key
    for headers in (
        {"x-admin-key": key},
        {"x-ms-quantum-api-key": key},
        {"authorization": f"Bearer {key}", "x-admin-key": ""},
        {},
    ):
        reply = raw_call(emulator.endpoint, method, path, None, headers)
        assert (reply.status, reply.body) == (401, b"")
    assert raw_call(emulator.endpoint, method, f"{path}?x-admin-key={emulator.admin_key}", None, {}).status == 401


@pytest.mark.parametrize("path", ENDPOINTS)
def test_another_origin_gets_no_cors_headers(emulator: Emulator, path: str) -> None:
    """Browsers send a preflight request, or simple requests without one."""
    page = {"Origin": "http://evil.example", "Referer": "http://evil.example/"}
    asks = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-admin-key,x-ms-quantum-api-key",
    }
    preflight = raw_call(emulator.endpoint, "OPTIONS", path, None, {**page, **asks})
    simple = [
        raw_call(emulator.endpoint, "POST", path, b'{"advance": 1}', {**page, "Content-Type": kind})
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
    ]
    reads = raw_call(emulator.endpoint, "GET", path, None, page)
    for reply in (preflight, *simple, reads):
        assert not any(name.startswith("access-control-") for name in reply.headers)
    assert all(reply.status >= 400 for reply in (preflight, *simple))


def test_another_origin_gets_no_cors_headers_also_with_the_keys(emulator: Emulator) -> None:
    for path in ENDPOINTS[:2]:
        reply = raw_call(emulator.endpoint, "GET", path, None, key_headers(emulator, Origin="http://evil.example"))
        assert reply.status == 200
        assert not any(name.startswith("access-control-") for name in reply.headers)


def test_a_path_and_query_above_the_limit_are_414(emulator: Emulator) -> None:
    caller = Caller(emulator)
    reply = caller.call("GET", f"/jobs?filter={'x' * MAX_URL_BYTES}")
    assert (reply.status, reply.json()["error"]["code"]) == (414, "RequestUrlTooLong")
    assert caller.call("GET", f"/jobs?filter={'x' * 20_000}").status == 400  # passes the check, and is no filter


def test_headers_above_the_limit_are_refused(emulator: Emulator) -> None:
    caller = Caller(emulator)
    many = {f"x-many-{number}": "x" * 1000 for number in range(70)}
    assert caller.call("GET", "/jobs", None, **many).status in (400, 431)
    with contextlib.suppress(ConnectionError):  # refused so early that the client may write to a closed connection
        assert caller.call("GET", "/jobs", None, **{"x-long": "x" * 2 * MAX_HEADER_BYTES}).status in (400, 431)
    assert caller.call("GET", "/jobs", None, **{"x-long": "x" * (MAX_HEADER_BYTES // 4)}).status == 200


def test_an_endless_request_head_is_cut_off(emulator: Emulator) -> None:
    """The service closes the connection after a bounded number of bytes."""
    start = b"GET / HTTP/1.1\r\nHost: x\r\nx-endless: "
    answer, sent = b"", 0
    with contextlib.suppress(ConnectionError), tcp_connection(emulator) as tcp:
        tcp.sendall(start)
        while sent < 64 * 2**20:
            sent += tcp.send(b"x" * 2**16)
        answer = tcp.recv(100)
    assert sent < 64 * 2**20 or answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("path", "limit"), [("/jobs/large", 2**20), ("/sessions/large", 2**20), ("/storage/sasUri", 2**20)]
)
def test_a_chunked_body_is_refused_once_it_exceeds_the_limit(emulator: Emulator, path: str, limit: int) -> None:
    caller = Caller(emulator)
    method = "POST" if path.startswith("/storage") else "PUT"
    reply = send_chunked(emulator, method, f"{caller.base}{path}", limit + 1)
    assert b" 413 " in reply.split(b"\r\n", 1)[0]


def test_admin_bodies_are_bounded(emulator: Emulator) -> None:
    size = {"Content-Length": str(5 * 2**20)}
    reply = raw_call(emulator.endpoint, "POST", "/_admin/targets", b"", key_headers(emulator, **size))
    assert (reply.status, reply.json()["error"]["code"]) == (413, "RequestBodyTooLarge")


def test_bodies_are_bounded_also_under_a_fault_plan(emulator: Emulator) -> None:
    emulator.admin("faults", {"rules": [{"fault": "empty", "operation": "quotas"}]})
    caller = Caller(emulator)
    assert b" 413 " in send_chunked(emulator, "PUT", f"{caller.base}/jobs/large", 5 * 2**20).split(b"\r\n", 1)[0]
    assert caller.call("PUT", "/jobs/large", b"", **{"Content-Length": str(2**40)}).status == 413
    assert caller.submit()


@pytest.mark.parametrize(
    "unfinished",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
        b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123",
        WHOLE + b"GET / HT",
    ],
    ids=["nothing", "line", "head", "body", "chunk", "second request"],
)
def test_a_client_that_does_not_complete_a_request_is_disconnected(unfinished: bytes) -> None:
    asyncio.run(asyncio.wait_for(_send_and_wait_for_close(unfinished), 30))


class ShortLimitProtocol(TimeLimitedProtocol):
    limit_s = 0.05


async def _send_and_wait_for_close(unfinished: bytes) -> None:
    """Send these bytes only; return when the server has closed the connection."""

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        while scope["method"] == "PUT" and (await receive()).get("more_body"):
            pass
        await Response("done")(scope, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(inside, http=ShortLimitProtocol, ws="none", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if unfinished.startswith(WHOLE):
                writer.write(WHOLE)
                await reader.readuntil(b"done")
            writer.write(unfinished.removeprefix(WHOLE))
            await reader.read()
        writer.close()
    finally:
        server.should_exit = True
        await serving


@contextlib.contextmanager
def tcp_connection(emulator: Emulator) -> Iterator[socket.socket]:
    """Hold a TCP connection."""
    parts = urlsplit(emulator.endpoint)
    with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S) as tcp:
        yield tcp


def send_raw(emulator: Emulator, request: bytes) -> bytes:
    """Send bytes, and return all bytes until the service closes the connection."""
    with tcp_connection(emulator) as tcp:
        tcp.sendall(request)
        answer = b""
        while part := tcp.recv(2**16):
            answer += part
        return answer


def send_chunked(emulator: Emulator, method: str, path: str, size: int) -> bytes:
    """Send a chunked body of `size` bytes, and return the beginning of the response."""
    host = urlsplit(emulator.endpoint).netloc
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nx-ms-quantum-api-key: {emulator.api_key}\r\n"
    piece = b"10000\r\n" + b" " * 2**16 + b"\r\n"
    with tcp_connection(emulator) as tcp:
        tcp.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(size // 2**16 + 1):
            tcp.sendall(piece)
        tcp.sendall(b"0\r\n\r\n")
        return tcp.recv(2**16)
