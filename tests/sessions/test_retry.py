"""One retry layer over a service that misbehaves as scripted: how often it is asked, and what is said in the end."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hybridloop.errors import AccessDenied, ServiceBusy, ServiceError, ServiceRefused, SessionEnded
from hybridloop.sessions.retry import ATTEMPTS, RETRY_AFTER_CAP_S
from hybridloop.sessions.service import Service
from hybridloop.sessions.session import open_session
from hybridloop.sessions.workspace import LocalService, connect

Answer = Callable[[BaseHTTPRequestHandler], None]
SESSION = "5d0a3e4c-9b0e-4a39-8f8c-0c1e0d6f2b11"


@dataclass
class FastClock:
    """Waits take no time, and are remembered."""

    waits: list[float] = field(default_factory=list)

    def now(self) -> float:
        return sum(self.waits)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        return event.wait(0.001)  # a thread that waits for nothing in particular must not spin

    def hold(self) -> AbstractContextManager[object]:
        return nullcontext()


@dataclass
class Scripted:
    """A service that gives the scripted answers in turn, the last one for ever."""

    port: int
    answers: list[Answer]
    asked: list[str]
    clock: FastClock
    service: Service
    stop: threading.Event


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    answers: list[Answer] = []
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append(f"{self.command} {self.path.partition('?')[0].rpartition('/workspaces/hybridloop')[2]}")
            (answers.pop(0) if len(answers) > 1 else answers[0])(self)

        do_GET = do_PUT = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Tests speak for themselves."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    clock, stop = FastClock(), threading.Event()
    service = Service(connect(LocalService(f"http://127.0.0.1:{server.server_port}/", "k")), clock, stop)
    yield Scripted(server.server_port, answers, asked, clock, service, stop)
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


GOOD = reply(200, {"id": SESSION, "status": "Succeeded"})


@pytest.mark.parametrize(
    "bad",
    [
        reply(503),
        reply(500, {"error": {"code": "InternalServerError", "message": "try again"}}),
        reply(429),
        raw(200, b"<html>"),
        raw(200, b'{"half":', Content_Length="400", Connection="close"),
        hang_up,
    ],
    ids=["503", "500", "429", "no JSON", "cut off", "hung up"],
)
def test_passing_trouble_is_asked_again_until_it_has_passed(scripted: Scripted, bad: Answer) -> None:
    scripted.answers[:] = [bad, bad, GOOD]
    assert scripted.service.session(SESSION)["status"] == "Succeeded"
    assert len(scripted.asked) == 3
    assert len(scripted.clock.waits) == 2


@pytest.mark.parametrize("bad", [reply(503), hang_up], ids=["503", "hung up"])
def test_a_service_that_never_recovers_costs_the_stated_number_of_calls(scripted: Scripted, bad: Answer) -> None:
    scripted.answers[:] = [bad]
    with pytest.raises(ServiceError, match="reading the session"):
        scripted.service.session(SESSION)
    assert len(scripted.asked) == ATTEMPTS


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (reply(401), AccessDenied),
        (reply(403, {"error": {"code": "Forbidden", "message": "no role"}}), AccessDenied),
        (reply(404, {"error": {"code": "NotFound", "message": "no such session"}}), ServiceRefused),
        (reply(400, {"error": {"code": "InvalidJobDefinition", "message": "bad"}}, Retry_After="1"), ServiceRefused),
        (
            reply(
                400, {"error": {"code": "InvalidJobDefinition", "message": "Session is already in a terminal state. x"}}
            ),
            SessionEnded,
        ),
    ],
)
def test_what_can_not_pass_is_asked_once(scripted: Scripted, bad: Answer, error: type[Exception]) -> None:
    scripted.answers[:] = [bad]
    with pytest.raises(error):
        scripted.service.session(SESSION)
    assert len(scripted.asked) == 1


@pytest.mark.parametrize(
    ("asked_for", "least", "most"),
    [("7", 7.0, 7.0), ("86400", RETRY_AFTER_CAP_S, RETRY_AFTER_CAP_S), ("soon", 0.0, 1.0), ("-3", 0.0, 1.0)],
)
def test_a_retry_after_is_honoured_up_to_the_cap_and_garbage_is_not(
    scripted: Scripted, asked_for: str, least: float, most: float
) -> None:
    scripted.answers[:] = [reply(429, Retry_After=asked_for), GOOD]
    scripted.service.session(SESSION)
    assert least <= scripted.clock.waits[0] <= most


def test_an_unclear_answer_to_a_submission_is_settled_by_asking_for_the_id(scripted: Scripted) -> None:
    scripted.answers[:] = [hang_up, reply(200, {"id": "job", "status": "Waiting"})]
    scripted.service.submit("job", f"http://127.0.0.1:{scripted.port}/c/c?sig=canary", {})
    assert scripted.asked == ["PUT /jobs/job", "GET /jobs/job"]


def test_a_submission_that_did_not_arrive_is_sent_again_under_its_own_id(scripted: Scripted) -> None:
    missing = reply(404, {"error": {"code": "NotFound", "message": "no such job"}})
    scripted.answers[:] = [hang_up, missing, reply(200, {"id": "job", "status": "Waiting"})]
    scripted.service.submit("job", f"http://127.0.0.1:{scripted.port}/c/c?sig=canary", {})
    assert scripted.asked == ["PUT /jobs/job", "GET /jobs/job", "PUT /jobs/job"]


def test_an_upload_that_is_there_already_is_accepted_if_it_is_the_same_and_refused_if_not(scripted: Scripted) -> None:
    container = f"http://127.0.0.1:{scripted.port}/c/c?sig=canary"
    exists = reply(409, **{"x-ms-error-code": "BlobAlreadyExists"})
    scripted.answers[:] = [exists, raw(200, b"program")]
    scripted.service.upload(container, b"program")
    scripted.answers[:] = [exists, raw(200, b"another program")]
    with pytest.raises(ServiceRefused, match="another input"):
        scripted.service.upload(container, b"program")


@pytest.mark.parametrize("odd", [raw(200, b""), raw(200, b"[]"), reply(200, {"id": SESSION})])
def test_an_answer_of_another_shape_is_asked_for_again(scripted: Scripted, odd: Answer) -> None:
    scripted.answers[:] = [odd, GOOD]
    closed = scripted.service.close_session(SESSION)
    assert closed is not None
    assert closed["status"] == "Succeeded"
    assert len(scripted.asked) == 2


def test_a_session_whose_opening_was_not_answered_is_closed_all_the_same(scripted: Scripted) -> None:
    scripted.answers[:] = [*[reply(503)] * ATTEMPTS, GOOD]
    workspace = connect(LocalService(f"http://127.0.0.1:{scripted.port}/", "k"))
    with pytest.raises(ServiceBusy), open_session(workspace, clock=scripted.clock):
        pass
    assert [call.partition(" ")[0] for call in scripted.asked] == ["PUT"] * ATTEMPTS + ["POST"]
    assert scripted.asked[-1].endswith(":close")


def test_a_session_that_was_refused_is_not_closed(scripted: Scripted) -> None:
    scripted.answers[:] = [reply(401)]
    workspace = connect(LocalService(f"http://127.0.0.1:{scripted.port}/", "k"))
    with pytest.raises(AccessDenied), open_session(workspace, clock=scripted.clock):
        pass
    assert len(scripted.asked) == 1


def test_once_stopped_there_is_no_further_attempt(scripted: Scripted) -> None:
    scripted.answers[:] = [reply(503)]
    scripted.stop.set()
    with pytest.raises(ServiceBusy):
        scripted.service.session(SESSION)
    assert len(scripted.asked) == 1


def test_no_signature_reaches_a_log_or_an_error(scripted: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    scripted.answers[:] = [reply(400, {"error": {"code": "X", "message": "bad url http://x/?sig=canary-sig&se=1"}})]
    with pytest.raises(ServiceRefused) as caught:
        scripted.service.upload(f"http://127.0.0.1:{scripted.port}/c/c?sv=1&sig=canary-sig", b"program")
    assert "canary-sig" not in caplog.text + str(caught.value) + repr(caught.value)
    assert "sig=REDACTED" in caplog.text
