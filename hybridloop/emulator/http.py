"""What all HTTP faces share: bounded bodies, JSON replies, keys."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hybridloop.emulator.faults import ServiceFault

JSON = "application/json; charset=utf-8"
MAX_DOCUMENT = 4 * 2**20  # bytes of a JSON body
MAX_BLOB = 64 * 2**20  # bytes of one upload or block; the storage library cuts larger ones into blocks


def json_reply(document: Any, status: int = 200) -> Response:
    """A JSON reply as the service sends it."""
    return Response(json.dumps(document, separators=(",", ":")), status, media_type=JSON)


def fault_reply(fault: ServiceFault) -> Response:
    """The reply to a refused request."""
    return json_reply({"error": {"code": fault.code, "message": fault.message}}, fault.status)


def unauthorized() -> Response:
    """The reply to a wrong or missing key: no body."""
    return Response(status_code=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def same_key(given: str | None, expected: str) -> bool:
    """Whether the keys are the same, in a time that does not depend on where they differ."""
    return given is not None and hmac.compare_digest(given.encode("latin-1", "replace"), expected.encode("latin-1"))


async def first_of(work: Awaitable[Any], disconnect: Awaitable[Any]) -> None:
    """Wait for the work to be done or the caller to hang up; after its body there is nothing else to come from it."""
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(disconnect)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def announces_more(request: Request, limit: int) -> bool:
    """Whether the request says that its body will be above the limit."""
    announced = request.headers.get("content-length", "")
    return announced.isdigit() and int(announced[:20]) > limit


async def bounded_body(request: Request, limit: int) -> bytes:
    """The whole body, refused as soon as it is known to be above the limit."""
    if announces_more(request, limit):
        raise _too_large(limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(limit: int) -> ServiceFault:
    return ServiceFault(413, "RequestBodyTooLarge", f"The body is above the limit of {limit} bytes.")
