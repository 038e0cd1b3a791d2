"""Blob storage over HTTP, as far as storage clients use it: upload, download by range, properties, lists."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from email.utils import formatdate
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from hybridloop.emulator.clock import Clock
from hybridloop.emulator.containers import Containers
from hybridloop.emulator.faults import ServiceFault
from hybridloop.emulator.http import MAX_BLOB, MAX_DOCUMENT, bounded_body
from hybridloop.emulator.records import BlobRecord
from hybridloop.emulator.requests import CONTAINER, blob_name_fits
from hybridloop.emulator.sas import VERSION, Signatures

PATH = re.compile(r"/([^/]+)/([^/]+)(?:/(.+))?")
RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")
MESSAGES = {
    "AuthenticationFailed": "The signature is missing, wrong, or not valid at this time.",
    "AuthorizationFailure": "The signature is for something else.",
    "AuthorizationPermissionMismatch": "The signature does not grant this operation.",
    "BlobAlreadyExists": "The specified blob already exists.",
    "BlobNotFound": "The specified blob does not exist.",
    "ContainerAlreadyExists": "The specified container already exists.",
    "ContainerNotFound": "The specified container does not exist.",
    "InvalidRange": "The range specified is invalid for the current size of the resource.",
}


class StorageFault(Exception):
    """A storage request that is refused."""

    def __init__(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, code, headers)
        self.status = status
        self.code = code
        self.headers = headers or {}


class Storage:
    """Answers requests below `/{container}/{container}`."""

    def __init__(self, containers: Containers, signatures: Signatures, clock: Clock) -> None:
        self._containers = containers
        self._clock = clock
        self._signatures = signatures

    async def answer(self, request: Request) -> Response:
        """The reply to one request."""
        try:
            reply = await self._answer(request)
        except StorageFault as fault:
            reply = storage_error(fault.status, fault.code, request.method, fault.headers)
        except ServiceFault as fault:
            reply = storage_error(fault.status, fault.code, request.method)
        except ClientDisconnect:
            return Response(status_code=400)  # the upload ended early: nothing was kept, and nobody reads this
        reply.headers["x-ms-version"] = VERSION
        return reply

    async def _answer(self, request: Request) -> Response:
        match = PATH.fullmatch(request.scope["path"])
        if match is None or match[1] != match[2] or CONTAINER.fullmatch(match[1]) is None:
            raise StorageFault(404, "ResourceNotFound")
        container, blob = match[1], match[3]
        query = request.query_params
        if blob is None:
            return self._container(request, container, query)
        if request.method in ("GET", "HEAD"):
            self._check(query, container, blob, "r")
            return self._download(request, container, blob)
        if request.method == "PUT":
            return await self._put(request, container, blob, query)
        raise StorageFault(405, "UnsupportedHttpVerb")

    def _check(self, query: Mapping[str, str], container: str, blob: str | None, needed: str) -> None:
        refusal = self._signatures.grants(query, container, blob, needed, self._clock.now())
        if refusal is not None:
            raise StorageFault(403, refusal)

    def _container(self, request: Request, container: str, query: Mapping[str, str]) -> Response:
        if query.get("restype") != "container":
            raise StorageFault(400, "InvalidQueryParameterValue")
        if request.method == "PUT":
            self._check(query, container, None, "cw")
            if not self._containers.ensure(container):
                raise StorageFault(409, "ContainerAlreadyExists")
            return Response(status_code=201)
        if request.method not in ("GET", "HEAD"):
            raise StorageFault(405, "UnsupportedHttpVerb")
        self._check(query, container, None, "l" if query.get("comp") == "list" else "rl")
        if not self._containers.exists(container):
            raise StorageFault(404, "ContainerNotFound")
        if query.get("comp") == "list":
            return self._list(container, query.get("prefix", ""))
        return Response(headers={"ETag": '"0x1"', "Last-Modified": _http_date(self._clock.now())})

    def _list(self, container: str, prefix: str) -> Response:
        items = "".join(_listed(blob) for blob in self._containers.blobs(container, prefix))
        text = (
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{container}">'
            f"<Prefix>{escape(prefix)}</Prefix><Blobs>{items}</Blobs><NextMarker /></EnumerationResults>"
        )
        return Response(text, media_type="application/xml")

    def _download(self, request: Request, container: str, blob: str) -> Response:
        record = self._containers.find(container, blob)
        if record is None:
            known = self._containers.exists(container)
            raise StorageFault(404, "BlobNotFound" if known else "ContainerNotFound")
        headers = _properties(record)
        if request.method == "HEAD":
            return Response(headers={**headers, "Content-Length": str(record.size)})
        asked = request.headers.get("x-ms-range") or request.headers.get("range")
        data = self._containers.read(record)
        if asked is None:
            return Response(data, headers=headers)
        match = RANGE.fullmatch(asked)
        start = int(match[1]) if match else 0
        if match is None or start >= record.size or (match[2] and int(match[2]) < start):
            raise StorageFault(416, "InvalidRange", {"Content-Range": f"bytes */{record.size}"})
        end = min(int(match[2]), record.size - 1) if match[2] else record.size - 1
        headers["Content-Range"] = f"bytes {start}-{end}/{record.size}"
        return Response(data[start : end + 1], 206, headers)

    async def _put(self, request: Request, container: str, blob: str, query: Mapping[str, str]) -> Response:
        self._check(query, container, blob, "cw")
        if not blob_name_fits(blob):
            raise StorageFault(400, "InvalidResourceName")
        component = query.get("comp")
        data = await bounded_body(request, MAX_DOCUMENT if component == "blocklist" else MAX_BLOB)
        if not self._containers.exists(container):
            raise StorageFault(404, "ContainerNotFound")
        if component == "block":
            self._containers.put_block(container, blob, _block_id(query.get("blockid", "")), data)
            return Response(status_code=201)
        if component not in (None, "", "blocklist"):
            raise StorageFault(400, "InvalidQueryParameterValue")
        if component != "blocklist" and request.headers.get("x-ms-blob-type") != "BlockBlob":
            raise StorageFault(400, "InvalidHeaderValue")
        if request.headers.get("if-none-match") == "*" and self._containers.find(container, blob):
            raise StorageFault(409, "BlobAlreadyExists")
        blocks = _block_ids(data) if component == "blocklist" else []
        if component == "blocklist":
            data = self._containers.joined_blocks(container, blob, blocks)
        kind = request.headers.get("x-ms-blob-content-type") or request.headers.get("content-type")
        encoding = request.headers.get("x-ms-blob-content-encoding", "")
        record = self._containers.put(container, blob, data, kind or "application/octet-stream", encoding)
        self._containers.remove_blocks(container, blob, blocks)
        return Response(status_code=201, headers={"ETag": record.etag, "Last-Modified": _http_date(record.modified)})


def _properties(record: BlobRecord) -> dict[str, str]:
    headers = {
        "ETag": record.etag,
        "Last-Modified": _http_date(record.modified),
        "Accept-Ranges": "bytes",
        "Content-Type": record.content_type,
        "x-ms-blob-type": "BlockBlob",
    }
    if record.content_encoding:
        headers["Content-Encoding"] = record.content_encoding
    return headers


def _listed(blob: BlobRecord) -> str:
    return (
        f"<Blob><Name>{escape(blob.name)}</Name><Properties><Last-Modified>{_http_date(blob.modified)}</Last-Modified>"
        f"<Etag>{escape(blob.etag.strip(chr(34)))}</Etag><Content-Length>{blob.size}</Content-Length>"
        f"<Content-Type>{escape(blob.content_type)}</Content-Type><BlobType>BlockBlob</BlobType></Properties></Blob>"
    )


def _block_id(text: str) -> str:
    """A block's id is base64 of at most 64 bytes; its hexadecimal form is safe in a file name."""
    try:
        identity = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise StorageFault(400, "InvalidQueryParameterValue") from None
    if not 1 <= len(identity) <= 64:
        raise StorageFault(400, "InvalidQueryParameterValue")
    return identity.hex()


def _block_ids(body: bytes) -> list[str]:
    if b"<!" in body:  # no document types: an XML bomb needs one
        raise StorageFault(400, "InvalidXmlDocument")
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise StorageFault(400, "InvalidXmlDocument") from None
    return [_block_id((element.text or "").strip()) for element in root]


def _http_date(moment: float) -> str:
    return formatdate(moment, usegmt=True)


def storage_error(status: int, code: str, method: str, headers: Mapping[str, str] | None = None) -> Response:
    """The reply to a refused storage request."""
    message = MESSAGES.get(code, "The request is not supported or not well formed.")
    text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    content = "" if method == "HEAD" else text
    reply = Response(content, status, media_type="application/xml", headers=dict(headers or {}))
    reply.headers["x-ms-error-code"] = code
    return reply
