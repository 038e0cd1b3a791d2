"""Bodies of HTTP answers: read in pieces up to a limit, and parsed, also those of a hostile server."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson
from azure.core.exceptions import AzureError, ServiceResponseError

MAX_JSON_BYTES = 8 << 20  # a page of 100 jobs is a hundredth of it
MAX_BLOB_BYTES = 64 << 20  # six times the result of 10,000 shots of 108 qubits that all differ
MAX_ERROR_BYTES = 64 << 10
_GZIP_OR_ZLIB = 47  # window bits: the kind is detected
_ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_REDIRECTED_TO = "x-redirected-to"


class TooLarge(ValueError):
    """A body of more bytes than the limit."""


def read_body(response: Any, limit: int) -> bytearray:
    """Read the body of a streamed answer, decompressed; nothing above `limit` bytes is kept.

    Raises TooLarge, ValueError for a damaged body, and the errors of the connection.
    """
    length = response.headers.get("Content-Length") or ""
    if length.isdecimal() and int(length[:20]) > limit:
        raise _too_large(limit)
    encoding = (response.headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding != "identity" and encoding not in _ENCODINGS:
        raise ValueError("an answer in an unknown encoding")
    decoder = None if encoding == "identity" else zlib.decompressobj(_GZIP_OR_ZLIB)
    body = bytearray()
    try:
        for piece in _pieces(response):
            body += piece if decoder is None else decoder.decompress(piece, limit + 1 - len(body))
            if len(body) > limit:
                raise _too_large(limit)
            if decoder is not None and decoder.unused_data:
                break
    except zlib.error as error:
        raise ValueError("an answer that can't be decompressed") from error
    if decoder is not None and (decoder.unused_data or not decoder.eof):
        raise ValueError("an answer that can't be decompressed")
    return body


def _pieces(response: Any) -> Iterator[bytes]:
    """Yield the pieces of a body; raw errors of the HTTP library, as of TLS, are raised as azure-core's."""
    try:
        yield from response.iter_raw()
    except (AzureError, ValueError):
        raise
    except Exception as error:
        raise ServiceResponseError(error, error=error) from error


def parse_json(content: bytes | bytearray) -> Any:
    """Parse JSON. Raises ValueError, also for JSON that is nested too deeply."""
    with suppress(ValueError):
        return orjson.loads(content)
    try:
        return json.loads(content)  # it takes more than JSON, such as NaN
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error


def keep_redirect(response: Any, **_options: Any) -> None:
    """Move a redirect's target out of its header, so that no library follows it or reads the body to get there."""
    if (target := response.headers.pop("Location", None)) is not None:
        response.headers[_REDIRECTED_TO] = target


def redirect_target(response: Any) -> str:
    """Return the target of a redirect; empty if the answer states none."""
    return str(response.headers.get(_REDIRECTED_TO) or "")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"an answer of more than {limit >> 20} MiB")
