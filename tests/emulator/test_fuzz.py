"""Fuzz test: thousands of nearly valid requests cause no 5xx, no hang and no traceback."""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from tests.conftest import Emulator
from tests.emulator.fuzz_helpers import Fuzzer, FuzzRequest
from tests.emulator.http_helpers import ASYMMETRIC_QIR, Caller
from tests.emulator.portal_helpers import Visitor
from tests.long_form import long_form, short_or_long

REQUESTS = short_or_long(300, 5000)
IN_TIME_S = 20  # for one response, on a busy machine


@long_form
@pytest.mark.slow
@pytest.mark.parametrize("seed", short_or_long([1], range(1, 11)))
def test_no_request_is_answered_with_5xx_hangs_or_leaves_a_traceback(
    start_emulator: Callable[..., Emulator], capfd: pytest.CaptureFixture[str], seed: int
) -> None:
    emulator = start_emulator("--clock", "virtual", "--max-memory", "128MiB")
    visitor = Visitor(emulator)
    visitor.sign_in()
    fuzzer = Fuzzer(emulator, random.Random(seed), visitor)
    seen: Counter[int] = Counter()
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(reconnecting(emulator))
        for number in range(REQUESTS):
            if number % 20 == 19:
                seen[raw_status(emulator, fuzzer.raw())] += 1
                continue
            sent = fuzzer.request()
            status, body = exchange(connection, sent)
            seen[status] += 1
            assert status < 500, (number, sent, body)
            if status == 200 and b'"sasUri"' in body:
                fuzzer.urls.append(body.split(b'"')[3].decode())
                upload(connection, fuzzer, fuzzer.urls[-1])
    caller = Caller(emulator, workspace="after")
    assert caller.result(caller.submit())
    emulator.advance(40 * 86_400)  # the longest queue that a request may have set is 30 days
    Caller(emulator, workspace="fuzz").all_ended()
    ended = emulator.admin("ledger")["ended"]
    assert min(ended["Succeeded"], ended["Failed"]) > 0, ended
    logged = capfd.readouterr().err
    assert "Traceback" not in logged
    assert "Error" not in logged
    # most requests got past the routing and the keys
    assert seen[200] + seen[201] + seen[204] + seen[206] + seen[400] > REQUESTS // 2, seen
    assert seen[200] > REQUESTS // 5, seen


def upload(connection: http.client.HTTPConnection, fuzzer: Fuzzer, url: str) -> None:
    """Upload inputs for the next submissions, some of them corrupted."""
    parts = urlsplit(url)
    for name in ("inputData", "i0"):
        data = ASYMMETRIC_QIR if name == "inputData" else fuzzer.some_input()
        sent = FuzzRequest("PUT", f"{parts.path}/{name}?{parts.query}", data, {"x-ms-blob-type": "BlockBlob"})
        assert exchange(connection, sent)[0] in (201, 403)  # 403: virtual time may have passed the signature's expiry


def exchange(connection: http.client.HTTPConnection, sent: FuzzRequest) -> tuple[int, bytes]:
    """Send a request, and return status and body. Raises TimeoutError if the service hangs."""
    try:
        connection.request(sent.method, sent.path, sent.body, {k: v for k, v in sent.headers.items() if v.isascii()})
        reply = connection.getresponse()
        if "/participants" in sent.path and reply.status == 200:
            connection.close()  # the participant is a member while the connection is open
            return 200, b""
        return reply.status, reply.read()
    except (http.client.RemoteDisconnected, ConnectionError):
        connection.close()  # the service closed an idle connection, or refused the last request
        connection.request(sent.method, sent.path, sent.body, {k: v for k, v in sent.headers.items() if v.isascii()})
        reply = connection.getresponse()
        return reply.status, reply.read()


def raw_status(emulator: Emulator, request: bytes) -> int:
    """Send bytes, and return the status of the response, 0 if the connection is closed without one."""
    parts = urlsplit(emulator.endpoint)
    with socket.create_connection((parts.hostname, parts.port), timeout=IN_TIME_S) as line:
        answer = b""
        with contextlib.suppress(ConnectionError):
            line.sendall(request)
            line.shutdown(socket.SHUT_WR)
            while part := line.recv(2**16):
                answer += part
    status = int(answer[9:12]) if answer else 0
    assert status < 500, (request, answer)
    return status


@contextlib.contextmanager
def reconnecting(emulator: Emulator) -> Iterator[http.client.HTTPConnection]:
    """Hold an HTTP connection, which reopens itself after it was closed."""
    connection = http.client.HTTPConnection(urlsplit(emulator.endpoint).netloc, timeout=IN_TIME_S)
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("key", ["containerName", "name", "target", "sessionId"])
def test_a_lone_surrogate_in_a_body_is_refused_also_under_a_fault_plan(emulator: Emulator, key: str) -> None:
    emulator.admin("faults", {"rules": [{"fault": "empty", "operation": "quotas"}]})
    method, path = ("POST", "/storage/sasUri") if key == "containerName" else ("PUT", "/jobs/half")
    body = b'{"%s": "job-\\ud800"}' % key.encode()
    assert Caller(emulator).call(method, path, body).status == 400
