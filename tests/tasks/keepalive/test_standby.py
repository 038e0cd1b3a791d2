"""Standby process that sends prepared requests while this one cannot: its timing, its end, and its secrets."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hybridloop.azure.signed_request import SignedRequest
from hybridloop.local_stack.processes import wait_until
from hybridloop.tasks.keepalive.standby import SentPing, StandbyProcess
from hybridloop.tasks.keepalive.standby_process import PAUSE_S, TRIES, HeldRequests, is_safe
from tests.waiting import PATIENCE_S, eventually

MEGABYTE = 1e6
CANARY = "canary-4f1c"


@dataclass(slots=True)
class RecordingServer:
    """Small HTTP server that records PUT requests with headers; `answers` are its next statuses, else 201."""

    url: str = ""
    puts: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


@contextmanager
def door(tls: ssl.SSLContext | None = None) -> Iterator[RecordingServer]:
    at = RecordingServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            at.puts.append((self.path, {name.lower(): text for name, text in self.headers.items()}, body))
            status = at.answers.pop(0) if at.answers else 201
            self.send_response(status)
            if status == 307:
                self.send_header("location", f"{at.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that does not trust it goes away

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        at.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield at
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def service() -> Iterator[RecordingServer]:
    with door() as at:
        yield at


@pytest.fixture
def standby() -> Iterator[StandbyProcess]:
    process = StandbyProcess()
    try:
        yield process
    finally:
        process.close()


def request(service: RecordingServer, name: str = "a") -> SignedRequest:
    headers = {"x-ms-quantum-api-key": CANARY, "Content-Type": "application/json"}
    return SignedRequest("PUT", f"{service.url}/jobs/{name}", headers, b'{"name":"x"}', None, None)


def heard(standby: StandbyProcess, number: int = 1) -> list[SentPing]:
    all_of_it: list[SentPing] = []
    eventually(lambda: all_of_it.extend(standby.sent()) or len(all_of_it) >= number)  # type: ignore[func-returns-value]
    return all_of_it


def test_an_armed_request_is_sent_completely_at_its_time_and_reported(
    standby: StandbyProcess, service: RecordingServer
) -> None:
    standby.hold("a", request(service))
    standby.arm({"a": 0.0})
    (sent,) = heard(standby)
    assert (sent.key, sent.status, sent.is_accepted) == ("a", 201, True)
    ((path, headers, body),) = service.puts
    assert (path, body) == ("/jobs/a", b'{"name":"x"}')
    assert headers["x-ms-quantum-api-key"] == CANARY
    assert headers["content-type"] == "application/json"


def test_a_disarmed_postponed_or_forgotten_request_is_not_sent(
    standby: StandbyProcess, service: RecordingServer
) -> None:
    for name in "abcd":
        standby.hold(name, request(service, name))
    standby.arm({"a": 0.3, "b": 0.3})
    standby.arm({"b": 3600.0, "c": 0.3, "d": 0.6})  # a is not named: disarmed; b is postponed
    standby.forget("c")
    assert [sent.key for sent in heard(standby)] == ["d"]
    assert [path for path, _, _ in service.puts] == ["/jobs/d"]


def test_the_standby_ends_with_its_parent_and_sends_nothing(service: RecordingServer) -> None:
    code = (
        "import signal; from hybridloop.tasks.keepalive.standby import StandbyProcess;"
        "from hybridloop.azure.signed_request import SignedRequest;"
        f"held = StandbyProcess(); held.hold('a', SignedRequest('PUT', {service.url!r}, {{}}, b'', None, None));"
        "held.arm({'a': 2.0}); print(held.pid, flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    gone, _ = psutil.wait_procs([process], timeout=PATIENCE_S)
    assert gone == [process]
    assert service.puts == []


def test_the_standby_ends_although_a_forked_process_keeps_the_pipe_open(service: RecordingServer) -> None:
    code = (
        "import os, signal; from hybridloop.tasks.keepalive.standby import StandbyProcess;"
        "from hybridloop.azure.signed_request import SignedRequest;"
        f"held = StandbyProcess(); held.hold('a', SignedRequest('PUT', {service.url!r}, {{}}, b'', None, None));"
        "copy = os.fork()\n"
        "if copy == 0: signal.pause()\n"
        "print(held.pid, copy, flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process, copy = map(psutil.Process, map(int, parent.stdout.readline().split()))
        parent.kill()
        gone, _ = psutil.wait_procs([process], timeout=PATIENCE_S)
        copy.kill()
    assert gone == [process]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux says that a process is stopped")
def test_the_standby_sends_nothing_for_a_stopped_parent_until_it_continues(service: RecordingServer) -> None:
    code = (
        "import signal, sys, time; from hybridloop.tasks.keepalive.standby import StandbyProcess;"
        "from hybridloop.azure.signed_request import SignedRequest;"
        f"held = StandbyProcess(); held.hold('a', SignedRequest('PUT', {service.url!r}, {{}}, b'', None, None));"
        "held.arm({'a': 1.0}); print('armed', flush=True); sys.stdin.readline(); held.arm({'a': 0.0});"
        "sys.stdin.readline()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"armed\n"
        parent.send_signal(signal.SIGSTOP)
        assert not wait_until(lambda: bool(service.puts), within_s=3)
        parent.send_signal(signal.SIGCONT)
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        eventually(lambda: bool(service.puts))
        parent.stdin.close()


def test_the_standby_ends_when_it_is_closed(standby: StandbyProcess, service: RecordingServer) -> None:
    standby.hold("a", request(service))
    standby.arm({"a": 3600.0})
    assert standby.pid is not None
    process = psutil.Process(standby.pid)
    assert standby.is_there
    assert standby.close() == []
    assert not process.is_running()
    assert not standby.is_there
    standby.hold("b", request(service))  # it is not started again
    standby.arm({"b": 0.0})
    assert standby.sent() == []
    assert service.puts == []


def test_no_part_of_a_request_is_in_arguments_environment_or_output(
    standby: StandbyProcess, service: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_QUANTUM_CONNECTION_STRING", f"ApiKey={CANARY}")
    standby.hold("a", request(service))
    standby.arm({"a": 0.0})
    (sent,) = heard(standby)
    assert standby.pid is not None
    process = psutil.Process(standby.pid)
    shown = repr((process.cmdline(), process.environ(), sent, request(service)))
    assert CANARY not in shown
    assert process.cmdline()[1:3] == ["-I", "-S"]  # no user settings or packages are loaded
    assert [Path(file.path).name for file in process.open_files()] == []


def test_the_standby_is_small_and_gets_no_signal_from_the_terminal(
    standby: StandbyProcess, service: RecordingServer
) -> None:
    standby.hold("a", request(service))
    assert standby.pid is not None
    assert os.getsid(standby.pid) == standby.pid != os.getsid(0)
    assert psutil.Process(standby.pid).memory_info().rss < 32 * MEGABYTE


def test_an_unresponsive_standby_is_abandoned_without_blocking(
    standby: StandbyProcess, service: RecordingServer
) -> None:
    standby.hold("a", request(service))
    assert standby.pid is not None
    os.kill(standby.pid, signal.SIGSTOP)
    for _ in range(5000):  # more than the capacity of a pipe
        standby.arm({"a": 3600.0})
    assert not standby.is_there
    assert standby.close() == []


def test_a_redirect_is_not_followed_so_the_key_reaches_no_other_host(
    standby: StandbyProcess, service: RecordingServer
) -> None:
    service.answers = [307]
    standby.hold("a", request(service))
    standby.arm({"a": 0.0})
    assert heard(standby)[0].status == 307
    assert [path for path, _, _ in service.puts] == ["/jobs/a"]


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


def certificate(folder: Path) -> Path:
    """Return a file with a self-signed certificate of 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    none = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, none)
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


def test_an_untrusted_server_gets_nothing_and_a_trusted_one_gets_the_request(
    standby: StandbyProcess, tmp_path: Path
) -> None:
    file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with door(context) as service:
        standby.hold("strange", request(service, "strange"))
        standby.hold("trusted", replace(request(service, "trusted"), ca_file=str(file)))
        standby.arm({"strange": 0.0, "trusted": 0.5})
        assert [(sent.key, sent.status) for sent in heard(standby)] == [("trusted", 201)]
        assert [path for path, _, _ in service.puts] == ["/jobs/trusted"]


class ScriptedSender:
    """Sender that records times and requests, and answers or raises by script."""

    def __init__(self, *outcomes: int | OSError) -> None:
        self.now = 0.0
        self.sent: list[tuple[float, str]] = []
        self._outcomes = list(outcomes)
        self.held = HeldRequests(self._send, lambda: self.now)

    def _send(self, message: dict[str, str]) -> int:
        self.sent.append((self.now, message["hold"]))
        outcome = self._outcomes.pop(0) if self._outcomes else 200
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    def hold(self, **moments: float) -> None:
        for key in moments:
            self.held.take({"hold": key})
        self.held.take({"arm": moments})

    def run(self, until: float) -> None:
        while (pause := self.held.pause_s()) + self.now <= until:
            self.now += pause
            self.held.send_due()
            if not self.held.moments:
                return


def reports(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, int, str]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [(line["key"], line["status"], line["trouble"]) for line in lines]


def test_transient_errors_are_retried_a_limited_number_of_times(capsys: pytest.CaptureFixture[str]) -> None:
    scripted = ScriptedSender(503, ConnectionResetError(), 429, 200, *[500] * TRIES)
    scripted.hold(a=10.0, b=535.0)
    scripted.run(1000.0)
    tried = [PAUSE_S * i for i in range(TRIES)]
    assert scripted.sent == [*((10.0 + after, "a") for after in tried), *((535.0 + after, "b") for after in tried)]
    assert reports(capsys) == [("a", 200, ""), ("b", 500, "")]


@pytest.mark.parametrize("status", [307, 400])
def test_a_refusal_or_redirect_ends_all_requests(status: int, capsys: pytest.CaptureFixture[str]) -> None:
    scripted = ScriptedSender(status)
    scripted.hold(a=10.0, b=535.0)
    scripted.run(1000.0)
    assert scripted.sent == [(10.0, "a")]
    assert reports(capsys) == [("a", status, "")]


def test_an_existing_job_does_not_end_the_other_requests() -> None:
    scripted = ScriptedSender(409)
    scripted.hold(a=10.0, b=535.0)
    scripted.run(1000.0)
    assert scripted.sent == [(10.0, "a"), (535.0, "b")]


def test_after_a_suspend_one_request_is_sent_and_the_others_keep_their_spacing() -> None:
    scripted = ScriptedSender()
    scripted.hold(a=540.0, b=1065.0, c=1590.0)
    scripted.now = 7200.0
    scripted.run(9000.0)
    assert scripted.sent == [(7200.0, "a"), (7725.0, "b"), (8250.0, "c")]
