"""Responses of injected faults: error responses in place of the service's, and corrupted copies of its own."""

from __future__ import annotations

import json
import re
from email.utils import formatdate
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope

from hybridloop.emulator.clock import RealClock, format_time_to_second
from hybridloop.emulator.faults.plan import ApiCall, Fault, FaultRule
from hybridloop.emulator.formats.results import with_lost_qubits
from hybridloop.emulator.http.blob_storage import storage_error_response
from hybridloop.emulator.http.messages import declares_larger_body, error_response, unauthorized_response
from hybridloop.emulator.model.errors import ApiError
from hybridloop.emulator.model.routes import ApiOperation

BLOB_OPERATIONS = (ApiOperation.UPLOAD, ApiOperation.DOWNLOAD, ApiOperation.CONTAINER)
DEFAULT_ERRORS = {
    429: ("TooManyRequests", "Too many requests."),
    500: ("InternalServerError", "An internal error occurred."),
    502: ("BadGateway", "The gateway got no valid answer."),
    503: ("ServiceUnavailable", "The service is not available at the moment."),
    504: ("GatewayTimeout", "The gateway got no answer in time."),
}
_EXPIRY = re.compile(r"\bse=[^&\"]+")
_SKIP = re.compile(r"\bskip=(\d+)")


async def capture_response(app: ASGIApp, scope: Scope, receive: Receive) -> Response:
    """Run the application on a request and return its response instead of sending it."""
    captured = Response()
    parts: list[bytes] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            captured.status_code, captured.raw_headers = message["status"], list(message["headers"])
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return with_body(captured, b"".join(parts))


def with_body(response: Response, body: bytes) -> Response:
    """Return the response with another body and the content length of that."""
    changed = Response(body, response.status_code)
    changed.raw_headers = list(response.raw_headers)
    changed.headers["content-length"] = str(len(body))
    return changed


def fault_response(rule: FaultRule, call: ApiCall) -> Response | None:
    """Return the fault's error response, sent in place of the service's; None if the fault has none."""
    is_blob = call.operation in BLOB_OPERATIONS
    match rule.fault:
        case Fault.UNAUTHORIZED:
            return unauthorized_response()
        case Fault.THROTTLED | Fault.ERROR:
            status = 429 if rule.fault is Fault.THROTTLED else rule.status or 500
            code, message = DEFAULT_ERRORS.get(status, ("Error", "The request failed."))
            reply = _error(status, rule.code or code, rule.message or message, call)
            if (retry_after := _retry_after(rule)) is not None:
                reply.headers["Retry-After"] = retry_after
            return reply
        case Fault.QUOTA_EXCEEDED:
            return _error(409, "QuotaExceeded", "The quota of this provider is used up.", call)
        case Fault.BLOB_MISSING:
            return _error(404, "BlobNotFound", "", call)
        case Fault.SIGNATURE_EXPIRED if is_blob:
            return _error(403, "AuthenticationFailed", "", call)
        case _:
            return None


def _error(status: int, code: str, message: str, call: ApiCall) -> Response:
    if call.operation in BLOB_OPERATIONS:
        return storage_error_response(status, code, call.method)
    return error_response(ApiError(status, code, message))


def _retry_after(rule: FaultRule) -> str | None:
    if rule.retry_after_date is not None:
        # this is the machine's time even if the clock is virtual: clients compare the date with their own
        return formatdate(RealClock().now() + rule.retry_after_date, usegmt=True)
    if isinstance(rule.retry_after, float):
        return str(int(rule.retry_after)) if rule.retry_after.is_integer() else str(rule.retry_after)
    return rule.retry_after


def corrupt_response(rule: FaultRule, response: Response, call: ApiCall, now: float) -> Response:
    """Return the service's response as the fault corrupts it; unchanged if the fault does not corrupt responses."""
    body = bytes(response.body)
    match rule.fault:
        case Fault.NOT_JSON:
            page = "<html><body>Bad gateway</body></html>"
            return Response(page, response.status_code, {"content-type": "text/html"})
        case Fault.EMPTY:
            return with_body(response, b"")
        case Fault.WRONG_SHAPE:
            return with_body(response, b'{"unexpected":["shape"]}')
        case Fault.SIGNATURE_EXPIRED:
            return with_body(response, _expired(body, now))
        case Fault.PAGE_REPEATS | Fault.PAGE_SKIPS if response.status_code == 200:
            return with_body(response, _shifted(body, -1 if rule.fault is Fault.PAGE_REPEATS else 1))
        case Fault.QUBITS_LOST if response.status_code == 200:
            return with_body(response, with_lost_qubits(body, rule.share or 0.0, seed=call.job_id))
        case Fault.BLOB_EXISTS if response.status_code < 400:
            return _error(409, "BlobAlreadyExists", "", call)
        case _:
            return response


def _expired(body: bytes, now: float) -> bytes:
    """Return the body with signed URLs that expired a minute ago; their signatures are invalid, too."""
    return _EXPIRY.sub(f"se={quote(format_time_to_second(now - 60.0))}", body.decode()).encode()


def _shifted(body: bytes, by: int) -> bytes:
    """Return a page as if the list had shifted by `by` items, -1 or 1, while the client reads it.

    The next page begins one item early or late. A last page has one item twice, or lacks one.
    """
    page = json.loads(body)
    next_link, items = page.get("nextLink"), page["value"]
    if next_link:
        page["nextLink"] = _SKIP.sub(lambda match: f"skip={int(match[1]) + by}", next_link)
    elif items:
        page["value"] = [*items, items[-1]] if by < 0 else items[:-1]
    return json.dumps(page, separators=(",", ":")).encode()


async def buffer_body(request: Request, limit: int) -> tuple[bytes, Receive]:
    """Read the body until it ends or exceeds `limit` bytes; return it and a `receive` that replays it for the app."""
    if declares_larger_body(request, limit):
        return b"", request.receive  # the application refuses it without reading it
    messages: list[Message] = []
    size = 0
    while True:
        message = await request.receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body") or size > limit:
            break
    replayed = iter(messages)

    async def receive() -> Message:
        return next(replayed, None) or await request.receive()

    return b"".join(message.get("body", b"") for message in messages), receive
