"""Thousands of requests that are nearly right: none is answered with 5xx, none hangs, none leaves a traceback."""

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
from tests.emulator.calls import ASYMMETRIC_QIR, Caller
from tests.emulator.fuzzing import Fuzzer, Sent
from tests.emulator.portal_visitor import Visitor
from tests.long_form import long_form, short_or_long

REQUESTS = short_or_long(300, 5000)
IN_TIME_S = 20  # for one answer, on a busy machine; a hang is for ever


@long_form
@pytest.mark.slow
@pytest.mark.parametrize("seed", short_or_long([1], [1, 2, 3, 4]))
def test_no_request_is_answered_with_5xx_hangs_or_leaves_a_traceback(
    start_emulator: Callable[..., Emulator], capfd: pytest.CaptureFixture[str], seed: int
) -> None:
    emulator = start_emulator("--clock", "virtual", "--max-memory", "128MiB")
    visitor = Visitor(emulator)
    visitor.sign_in()
    fuzzer = Fuzzer(emulator, random.Random(seed), visitor, visitor.form_token())
    seen: Counter[int] = Counter()
    with contextlib.ExitStack() as lines:
        line = lines.enter_context(a_line(emulator))
        for number in range(REQUESTS):
            if number % 20 == 19:
                seen[spoken(emulator, fuzzer.raw())] += 1
                continue
            sent = fuzzer.request()
            status, body = exchange(line, sent)
            seen[status] += 1
            assert status < 500, (number, sent, body)
            if status == 200 and b'"sasUri"' in body:
                fuzzer.urls.append(body.split(b'"')[3].decode())
                upload(line, fuzzer, fuzzer.urls[-1])
    caller = Caller(emulator, workspace="after")
    assert caller.result(caller.submit())
    emulator.advance(40 * 86_400)  # the longest queue that may have been asked for is one of 30 days
    Caller(emulator, workspace="fuzz").all_ended()
    ended = emulator.admin("ledger")["ended"]
    assert min(ended["Succeeded"], ended["Failed"]) > 0, ended
    logged = capfd.readouterr().err
    assert "Traceback" not in logged
    assert "Error" not in logged
    # most requests got past the routing and the keys
    assert seen[200] + seen[201] + seen[204] + seen[206] + seen[400] > REQUESTS // 2, seen
    assert seen[200] > REQUESTS // 5, seen


def upload(line: http.client.HTTPConnection, fuzzer: Fuzzer, url: str) -> None:
    """Inputs that the next submissions may name, spoiled ones among them."""
    parts = urlsplit(url)
    for name in ("inputData", "i0"):
        data = ASYMMETRIC_QIR if name == "inputData" else fuzzer.some_input()
        sent = Sent("PUT", f"{parts.path}/{name}?{parts.query}", data, {"x-ms-blob-type": "BlockBlob"})
        assert exchange(line, sent)[0] in (201, 403)  # 403: time may have gone on by more than a signature lives


def exchange(line: http.client.HTTPConnection, sent: Sent) -> tuple[int, bytes]:
    """Status and body; a time-out of the connection is the failure to answer in time."""
    try:
        line.request(sent.method, sent.path, sent.body, {k: v for k, v in sent.headers.items() if v.isascii()})
        reply = line.getresponse()
        if "/participants" in sent.path and reply.status == 200:
            line.close()  # it has joined, and would stay on this connection as long as that lives
            return 200, b""
        return reply.status, reply.read()
    except (http.client.RemoteDisconnected, ConnectionError):
        line.close()  # an idle connection was ended meanwhile, or a refused one
        line.request(sent.method, sent.path, sent.body, {k: v for k, v in sent.headers.items() if v.isascii()})
        reply = line.getresponse()
        return reply.status, reply.read()


def spoken(emulator: Emulator, request: bytes) -> int:
    """The status that is answered to these bytes, 0 where the connection is ended without one."""
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
def a_line(emulator: Emulator) -> Iterator[http.client.HTTPConnection]:
    """One connection to the service, opened anew whenever it was ended."""
    line = http.client.HTTPConnection(urlsplit(emulator.endpoint).netloc, timeout=IN_TIME_S)
    try:
        yield line
    finally:
        line.close()


@pytest.mark.parametrize("key", ["containerName", "name", "target", "sessionId"])
def test_half_a_character_in_a_body_is_refused_while_a_fault_plan_looks_at_it_first(
    start_emulator: Callable[..., Emulator], key: str
) -> None:
    emulator = start_emulator()
    emulator.admin("faults", {"rules": [{"fault": "empty", "operation": "quotas"}]})
    method, path = ("POST", "/storage/sasUri") if key == "containerName" else ("PUT", "/jobs/half")
    body = b'{"%s": "job-\\ud800"}' % key.encode()
    assert Caller(emulator).call(method, path, body).status == 400
