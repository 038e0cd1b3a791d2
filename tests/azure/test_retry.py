"""Retries against an HTTP server with scripted answers: number of requests, waits, and the final error."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hybridloop.azure import retry
from hybridloop.azure.client import ServiceClient
from hybridloop.azure.retry import ATTEMPTS, ATTEMPTS_IN_RUN
from hybridloop.azure.workspace import LocalService, connect
from hybridloop.errors import (
    AccessDenied,
    ServiceBusy,
    ServiceError,
    ServiceRefused,
    ServiceUnreachable,
    SessionEnded,
)
from hybridloop.runtime.clock import RealClock
from hybridloop.runtime.waits import RETRY_AFTER_CAP_S
from tests.session_helpers import open_run_session

Answer = Callable[[BaseHTTPRequestHandler], None]
SESSION = "5d0a3e4c-9b0e-4a39-8f8c-0c1e0d6f2b11"


@dataclass
class FastClock:
    """A clock whose waits take no time and are recorded."""

    waits: list[float] = field(default_factory=list)

    def now(self) -> float:
        return sum(self.waits)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        return event.wait(0.001)  # a short real wait, so that a waiting thread does not spin

    def hold(self) -> AbstractContextManager[object]:
        return nullcontext()


@dataclass
class ScriptedService:
    """A service that gives the scripted answers in order, and the last one forever."""

    port: int
    answers: list[Answer]
    requests: list[str]
    clock: FastClock
    service: ServiceClient
    stop: threading.Event


@pytest.fixture
def scripted() -> Iterator[ScriptedService]:
    answers: list[Answer] = []
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            requests.append(f"{self.command} {self.path.partition('?')[0].rpartition('/workspaces/hybridloop')[2]}")
            (answers.pop(0) if len(answers) > 1 else answers[0])(self)

        do_GET = do_PUT = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Suppress the log of requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    clock, stop = FastClock(), threading.Event()
    service = ServiceClient(connect(LocalService(f"http://127.0.0.1:{server.server_port}/", "k")), clock, stop)
    yield ScriptedService(server.server_port, answers, requests, clock, service, stop)
    service.close()
    server.shutdown()
    server.server_close()


def reply(status: int, document: object = None, **headers: str) -> Answer:
    body = b"" if document is None else json.dumps(document).encode()
    return raw(status, body, **headers)


def raw(status: int, body: bytes, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


SUCCESS = reply(200, {"id": SESSION, "status": "Succeeded"})


@pytest.mark.claim("the connection breaks")
@pytest.mark.parametrize("failure", [reply(503), hang_up], ids=["503", "hung up"])
def test_a_service_that_never_recovers_is_called_attempts_times(scripted: ScriptedService, failure: Answer) -> None:
    scripted.answers[:] = [failure]
    with pytest.raises(ServiceError, match="reading the session"):
        scripted.service.get_session(SESSION)
    assert len(scripted.requests) == ATTEMPTS


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (reply(401), AccessDenied),
        (reply(403, {"error": {"code": "Forbidden", "message": "no role"}}), AccessDenied),
        (reply(404, {"error": {"code": "NotFound", "message": "no such session"}}), ServiceRefused),
        (
            reply(400, {"error": {"code": "InvalidJobDefinition", "message": "bad"}}, Retry_After="1"),
            ServiceRefused,
        ),
        (
            reply(
                400, {"error": {"code": "InvalidJobDefinition", "message": "Session is already in a terminal state. x"}}
            ),
            SessionEnded,
        ),
    ],
)
def test_a_permanent_failure_is_not_retried(scripted: ScriptedService, failure: Answer, error: type[Exception]) -> None:
    scripted.answers[:] = [failure]
    with pytest.raises(error):
        scripted.service.get_session(SESSION)
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [("7", 7.0, 7.0), ("86400", RETRY_AFTER_CAP_S, RETRY_AFTER_CAP_S), ("soon", 0.0, 1.0), ("-3", 0.0, 1.0)],
)
def test_retry_after_is_honoured_up_to_the_cap_and_ignored_if_unreadable(
    scripted: ScriptedService, retry_after: str, least: float, most: float
) -> None:
    scripted.answers[:] = [reply(429, Retry_After=retry_after), SUCCESS]
    scripted.service.get_session(SESSION)
    assert least <= scripted.clock.waits[0] <= most


OTHER_SHAPES: list[object] = [None, [], {}, "job", {"id": "job"}]


@pytest.mark.claim("No job is submitted twice")
@pytest.mark.parametrize("answer", [hang_up, *(reply(201, document) for document in OTHER_SHAPES)])
def test_after_an_unclear_answer_to_a_submission_the_job_is_looked_up_by_its_id(
    scripted: ScriptedService, answer: Answer
) -> None:
    scripted.answers[:] = [answer, reply(200, {"id": "job", "status": "Waiting"})]
    assert scripted.service.submit("job", f"http://127.0.0.1:{scripted.port}/c/c?sig=canary", {}) is None
    assert scripted.requests == ["PUT /jobs/job", "GET /jobs/job"]


def test_a_submission_that_did_not_arrive_is_repeated_under_the_same_id(scripted: ScriptedService) -> None:
    missing = reply(404, {"error": {"code": "NotFound", "message": "no such job"}})
    scripted.answers[:] = [hang_up, missing, reply(200, {"id": "job", "status": "Waiting"})]
    scripted.service.submit("job", f"http://127.0.0.1:{scripted.port}/c/c?sig=canary", {})
    assert scripted.requests == ["PUT /jobs/job", "GET /jobs/job", "PUT /jobs/job"]


@pytest.mark.parametrize("malformed", [raw(200, b""), raw(200, b"[]"), reply(200, {"id": SESSION})])
def test_a_malformed_answer_is_retried(scripted: ScriptedService, malformed: Answer) -> None:
    scripted.answers[:] = [malformed, SUCCESS]
    closed = scripted.service.close_session(SESSION)
    assert closed is not None
    assert closed["status"] == "Succeeded"
    assert len(scripted.requests) == 2


def test_a_session_is_closed_even_if_its_opening_was_not_answered(scripted: ScriptedService) -> None:
    scripted.answers[:] = [*[reply(503)] * ATTEMPTS, SUCCESS]
    workspace = connect(LocalService(f"http://127.0.0.1:{scripted.port}/", "k"))
    with pytest.raises(ServiceBusy), open_run_session(workspace, clock=scripted.clock):
        pass
    assert [call.partition(" ")[0] for call in scripted.requests] == ["PUT"] * ATTEMPTS + ["POST"]
    assert scripted.requests[-1].endswith(":close")


def test_a_session_whose_opening_was_denied_is_not_closed(scripted: ScriptedService) -> None:
    scripted.answers[:] = [reply(401)]
    workspace = connect(LocalService(f"http://127.0.0.1:{scripted.port}/", "k"))
    with pytest.raises(AccessDenied), open_run_session(workspace, clock=scripted.clock):
        pass
    assert len(scripted.requests) == 1


def test_after_stop_there_is_no_further_attempt(scripted: ScriptedService) -> None:
    scripted.answers[:] = [reply(503)]
    scripted.stop.set()
    with pytest.raises(ServiceBusy):
        scripted.service.get_session(SESSION)
    assert len(scripted.requests) == 1


@pytest.mark.claim("No secret is in")
def test_no_signature_reaches_a_log_or_an_error(scripted: ScriptedService, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    scripted.answers[:] = [reply(400, {"error": {"code": "X", "message": "bad url http://x/?sig=canary-sig&se=1"}})]
    with pytest.raises(ServiceRefused) as caught:
        scripted.service.upload(f"http://127.0.0.1:{scripted.port}/c/c?sv=1&sig=canary-sig", b"program")
    assert "canary-sig" not in caplog.text + str(caught.value) + repr(caught.value)
    assert "sig=REDACTED" in caplog.text


def test_a_service_that_gives_no_answer_is_named_and_is_not_waited_for_eleven_times(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retry, "SERVICE_SILENT_S", 1.0)
    monkeypatch.setattr(retry, "SILENCE_SAID_S", 0.2)
    monkeypatch.setattr(retry, "_last_said", -retry.SAID_EVERY_S)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        workspace = connect(LocalService(f"http://127.0.0.1:{silent.getsockname()[1]}/", "k"))
        service = ServiceClient(workspace, RealClock(), threading.Event(), read_timeout_s=0.3)
        with closing(service), pytest.raises(ServiceUnreachable), caplog.at_level("INFO", "hybridloop.run"):
            service.find_job(SESSION)
    sent = [line for line in caplog.messages if "sent again in" in line]
    assert 1 < len(sent) + 1 < ATTEMPTS_IN_RUN
    assert len([line for line in sent if "the service has not answered for" in line]) == 1
