"""Who is not let in: other machines' names, other sites' pages, the wrong key, and requests without end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.responses import Response

from hybridloop.emulator.doors import MAX_ADDRESS, MAX_HEADERS, PunctualProtocol
from tests.conftest import Emulator
from tests.emulator.calls import Caller, raw_call

FACES = [
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


def keyed(emulator: Emulator, **more: str) -> dict[str, str]:
    """Both keys, so that nothing but the door can refuse."""
    return {"x-ms-quantum-api-key": emulator.api_key, "x-admin-key": emulator.admin_key, **more}


@pytest.mark.parametrize("path", FACES)
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}",
     "0.0.0.0:{port}", "127.0.0.1:{port}@evil.example", "127.0.0.1:{port}.", ""],
)  # fmt: skip
def test_another_machines_name_is_refused_at_every_face_whatever_the_keys(
    emulator: Emulator, path: str, host: str
) -> None:
    host = host.format(port=urlsplit(emulator.endpoint).port)
    assert raw_call(emulator.endpoint, "GET", path, None, keyed(emulator, Host=host)).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_this_machines_own_names_are_let_in_and_stand_in_the_addresses_that_it_gives(
    emulator: Emulator, host: str
) -> None:
    host = host.format(port=urlsplit(emulator.endpoint).port)
    reply = Caller(emulator).call("POST", "/storage/sasUri", {"containerName": "box-1"}, Host=host)
    assert (reply.status, urlsplit(reply.json()["sasUri"]).netloc) == (200, host)


def test_a_request_without_a_host_is_refused(emulator: Emulator) -> None:
    assert spoken(emulator, b"GET /_admin/clock HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("path", ADMIN)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_the_data_planes_key_opens_no_admin_endpoint_with_any_method(
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


@pytest.mark.parametrize("path", FACES)
def test_a_page_of_another_origin_is_granted_nothing(emulator: Emulator, path: str) -> None:
    """What a browser sends for it: a preflight, which must not be answered with a grant, and simple requests."""
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


def test_even_with_the_keys_no_other_origin_may_read_an_answer(emulator: Emulator) -> None:
    for path in FACES[:2]:
        reply = raw_call(emulator.endpoint, "GET", path, None, keyed(emulator, Origin="http://evil.example"))
        assert reply.status == 200
        assert not any(name.startswith("access-control-") for name in reply.headers)


def test_a_path_and_query_above_the_limit_are_414(emulator: Emulator) -> None:
    caller = Caller(emulator)
    reply = caller.call("GET", f"/jobs?filter={'x' * MAX_ADDRESS}")
    assert (reply.status, reply.json()["error"]["code"]) == (414, "RequestUrlTooLong")
    assert caller.call("GET", f"/jobs?filter={'x' * 20_000}").status == 400  # arrives, and is no filter


def test_headers_above_the_limit_are_refused(emulator: Emulator) -> None:
    caller = Caller(emulator)
    many = {f"x-many-{number}": "x" * 1000 for number in range(70)}
    assert caller.call("GET", "/jobs", None, **many).status in (400, 431)
    with contextlib.suppress(ConnectionError):  # refused so early that the rest meets a closed connection
        assert caller.call("GET", "/jobs", None, **{"x-long": "x" * 2 * MAX_HEADERS}).status in (400, 431)
    assert caller.call("GET", "/jobs", None, **{"x-long": "x" * (MAX_HEADERS // 4)}).status == 200


def test_a_head_without_end_is_cut_off(emulator: Emulator) -> None:
    """However much is sent, only so much is taken in."""
    start = b"GET / HTTP/1.1\r\nHost: x\r\nx-endless: "
    answer, sent = b"", 0
    with contextlib.suppress(ConnectionError), opened(emulator) as line:
        line.sendall(start)
        while sent < 64 * 2**20:
            sent += line.send(b"x" * 2**16)
        answer = line.recv(100)
    assert sent < 64 * 2**20 or answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("path", "limit"), [("/jobs/large", 4 * 2**20), ("/sessions/large", 4 * 2**20), ("/storage/sasUri", 4 * 2**20)]
)
def test_a_body_in_chunks_that_does_not_say_its_size_is_refused_once_it_is_above_the_limit(
    emulator: Emulator, path: str, limit: int
) -> None:
    caller = Caller(emulator)
    method = "POST" if path.startswith("/storage") else "PUT"
    reply = in_chunks(emulator, method, f"{caller.base}{path}", limit + 1)
    assert b" 413 " in reply.split(b"\r\n", 1)[0]


def test_admin_bodies_are_bounded(emulator: Emulator) -> None:
    size = {"Content-Length": str(5 * 2**20)}
    reply = raw_call(emulator.endpoint, "POST", "/_admin/targets", b"", keyed(emulator, **size))
    assert (reply.status, reply.json()["error"]["code"]) == (413, "RequestBodyTooLarge")


def test_bodies_are_bounded_while_a_fault_plan_looks_at_them_first(start_emulator: Callable[..., Emulator]) -> None:
    emulator = start_emulator()
    emulator.admin("faults", {"rules": [{"fault": "empty", "operation": "quotas"}]})
    caller = Caller(emulator)
    assert b" 413 " in in_chunks(emulator, "PUT", f"{caller.base}/jobs/large", 5 * 2**20).split(b"\r\n", 1)[0]
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
def test_a_caller_who_does_not_finish_a_request_loses_the_connection(unfinished: bytes) -> None:
    asyncio.run(asyncio.wait_for(_outlasted(unfinished), 30))


class HastyProtocol(PunctualProtocol):
    limit_s = 0.05


async def _outlasted(unfinished: bytes) -> None:
    """Say this and nothing more; returns when the connection has been ended from the other side."""

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        while scope["method"] == "PUT" and (await receive()).get("more_body"):
            pass
        await Response("done")(scope, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(inside, http=HastyProtocol, ws="none", lifespan="off", log_level="critical")
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
def opened(emulator: Emulator) -> Iterator[socket.socket]:
    """A bare connection."""
    parts = urlsplit(emulator.endpoint)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as line:
        yield line


def spoken(emulator: Emulator, request: bytes) -> bytes:
    """What is answered until the other side ends the connection."""
    with opened(emulator) as line:
        line.sendall(request)
        answer = b""
        while part := line.recv(2**16):
            answer += part
        return answer


def in_chunks(emulator: Emulator, method: str, path: str, size: int) -> bytes:
    """The beginning of the answer to a body of so many bytes, sent in chunks without its length."""
    host = urlsplit(emulator.endpoint).netloc
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nx-ms-quantum-api-key: {emulator.api_key}\r\n"
    piece = b"10000\r\n" + b" " * 2**16 + b"\r\n"
    with opened(emulator) as line:
        line.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(size // 2**16 + 1):
            line.sendall(piece)
        line.sendall(b"0\r\n\r\n")
        return line.recv(2**16)
