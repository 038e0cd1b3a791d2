"""How injected faults look on the wire: refusals in place of an answer, and answers that are spoilt."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from email.utils import formatdate
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope

from hybridloop.emulator.clock import RealClock, utc_second
from hybridloop.emulator.fault_rules import Call, Fault, Rule
from hybridloop.emulator.faults import ServiceFault
from hybridloop.emulator.http import announces_more, fault_reply, unauthorized
from hybridloop.emulator.operations import Operation
from hybridloop.emulator.storage import storage_error

BLOB_OPERATIONS = (Operation.UPLOAD, Operation.DOWNLOAD, Operation.CONTAINER)
CODES = {
    429: ("TooManyRequests", "Too many requests."),
    500: ("InternalServerError", "An internal error occurred."),
    502: ("BadGateway", "The gateway got no valid answer."),
    503: ("ServiceUnavailable", "The service is not available at the moment."),
    504: ("GatewayTimeout", "The gateway got no answer in time."),
}
_EXPIRY = re.compile(r"\bse=[^&\"]+")
_SKIP = re.compile(r"\bskip=(\d+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def start(self) -> Message:
        """Its first message, with the length of the body as it is now."""
        headers = [(key, value) for key, value in self.headers if key.lower() != b"content-length"]
        length = (b"content-length", str(len(self.body)).encode())
        return {"type": "http.response.start", "status": self.status, "headers": [*headers, length]}


async def answer_of(app: ASGIApp, scope: Scope, receive: Receive) -> Answer:
    """What the application answers."""
    start: Message = {}
    parts: list[bytes] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return Answer(start["status"], tuple(start["headers"]), b"".join(parts))


def refusal(rule: Rule, call: Call) -> Response | None:
    """The answer in place of the service's; None where the fault is of another kind."""
    is_blob = call.operation in BLOB_OPERATIONS
    match rule.fault:
        case Fault.UNAUTHORIZED:
            return unauthorized()
        case Fault.THROTTLED | Fault.ERROR:
            status = 429 if rule.fault is Fault.THROTTLED else rule.status or 500
            code, message = CODES.get(status, ("Error", "The request failed."))
            reply = _error(status, rule.code or code, rule.message or message, call)
            if (pause := _retry_after(rule)) is not None:
                reply.headers["Retry-After"] = pause
            return reply
        case Fault.QUOTA_EXCEEDED:
            return _error(409, "QuotaExceeded", "The quota of this provider is used up.", call)
        case Fault.BLOB_MISSING:
            return _error(404, "BlobNotFound", "", call)
        case Fault.SIGNATURE_EXPIRED if is_blob:
            return _error(403, "AuthenticationFailed", "", call)
        case _:
            return None


def _error(status: int, code: str, message: str, call: Call) -> Response:
    if call.operation in BLOB_OPERATIONS:
        return storage_error(status, code, call.method)
    return fault_reply(ServiceFault(status, code, message))


def _retry_after(rule: Rule) -> str | None:
    if rule.retry_after_date is not None:
        # by the machine's time, on either clock: it is what a client compares it with
        return formatdate(RealClock().now() + rule.retry_after_date, usegmt=True)
    if isinstance(rule.retry_after, float):
        return str(int(rule.retry_after)) if rule.retry_after.is_integer() else str(rule.retry_after)
    return rule.retry_after


def spoilt(rule: Rule, answer: Answer, call: Call, now: float) -> Answer:
    """The service's answer after the fault has been at it; unchanged where the fault is of another kind."""
    match rule.fault:
        case Fault.NOT_JSON:
            return Answer(answer.status, ((b"content-type", b"text/html"),), b"<html><body>Bad gateway</body></html>")
        case Fault.EMPTY:
            return replace(answer, body=b"")
        case Fault.WRONG_SHAPE:
            return replace(answer, body=b'{"unexpected":["shape"]}')
        case Fault.SIGNATURE_EXPIRED:
            return replace(answer, body=_expired(answer.body, now))
        case Fault.PAGE_REPEATS | Fault.PAGE_SKIPS if answer.status == 200:
            return replace(answer, body=_shifted(answer.body, -1 if rule.fault is Fault.PAGE_REPEATS else 1))
        case Fault.BLOB_EXISTS if answer.status < 400:
            return _as_answer(_error(409, "BlobAlreadyExists", "", call))
        case _:
            return answer


def _expired(body: bytes, now: float) -> bytes:
    """The same with signatures that have expired a minute ago; nothing signs them, so they open nothing."""
    return _EXPIRY.sub(f"se={quote(utc_second(now - 60.0))}", body.decode()).encode()


def _shifted(body: bytes, by: int) -> bytes:
    """A page after which the list has shifted: the next page begins one item early or late; a last page itself has
    one item twice, or one missing."""
    page = json.loads(body)
    following, items = page.get("nextLink"), page["value"]
    if following:
        page["nextLink"] = _SKIP.sub(lambda match: f"skip={int(match[1]) + by}", following)
    elif items:
        page["value"] = [*items, items[-1]] if by < 0 else items[:-1]
    return json.dumps(page, separators=(",", ":")).encode()


def _as_answer(reply: Response) -> Answer:
    return Answer(reply.status_code, tuple(reply.raw_headers), bytes(reply.body))


async def whole_body(request: Request, limit: int) -> tuple[bytes, Receive]:
    """The body, at most `limit` bytes of it, and a `receive` that gives the application all of it once more."""
    if announces_more(request, limit):
        return b"", request.receive  # the application refuses it unread
    messages: list[Message] = []
    size = 0
    while True:
        message = await request.receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body") or size > limit:
            break
    kept = iter(messages)

    async def receive() -> Message:
        return next(kept, None) or await request.receive()

    return b"".join(message.get("body", b"") for message in messages), receive
