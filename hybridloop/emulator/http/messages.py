"""Functions that all endpoints share: bounded request bodies, JSON responses, comparison of keys."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hybridloop.emulator.model.errors import ApiError

JSON_CONTENT_TYPE = "application/json; charset=utf-8"
MAX_JSON_BYTES = 2**20  # of one JSON body
MAX_UPLOAD_BYTES = 64 * 2**20  # of one upload or block; the storage library splits larger ones into blocks


def json_response(document: Any, status: int = 200) -> Response:
    """Return a JSON response in the service's format."""
    return Response(json.dumps(document, separators=(",", ":")), status, media_type=JSON_CONTENT_TYPE)


def error_response(error: ApiError) -> Response:
    return json_response({"error": {"code": error.code, "message": error.message}}, error.status)


def unauthorized_response() -> Response:
    """Return the response to a wrong or missing key; it has no body."""
    return Response(status_code=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def keys_match(given: str | None, expected: str) -> bool:
    """Compare two keys in constant time, so that the time does not tell where they differ."""
    return given is not None and hmac.compare_digest(given.encode("latin-1", "replace"), expected.encode("latin-1"))


async def wait_unless_disconnected(work: Awaitable[Any], disconnect: Awaitable[Any]) -> None:
    """Wait until the work is done or the client has disconnected, and cancel the other.

    `disconnect` is a `receive()` after the request's body: its next message can only be the disconnect.
    """
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(disconnect)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def declares_larger_body(request: Request, limit: int) -> bool:
    length = request.headers.get("content-length", "")
    return length.isdigit() and int(length[:20]) > limit


async def read_body(request: Request, limit: int) -> bytes:
    """Read the whole body. Raises ApiError (413) as soon as it is known to exceed `limit` bytes."""
    too_large = ApiError(413, "RequestBodyTooLarge", f"The body exceeds the limit of {limit} bytes.")
    if declares_larger_body(request, limit):
        raise too_large
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)
