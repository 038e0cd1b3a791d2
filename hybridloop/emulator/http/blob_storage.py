"""Blob storage endpoints, as far as storage clients use them: upload, download by range, properties, lists."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from email.utils import formatdate
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response

from hybridloop.emulator.http.messages import MAX_UPLOAD_BYTES, read_body
from hybridloop.emulator.http.sas import STORAGE_API_VERSION, SasSigner
from hybridloop.emulator.model.errors import ApiError
from hybridloop.emulator.model.requests import CONTAINER_NAME, is_valid_blob_name
from hybridloop.emulator.service import EmulatorService
from hybridloop.emulator.store.records import StoredBlob

BLOB_PATH = re.compile(r"/([^/]+)/([^/]+)(?:/(.+))?")
RANGE_HEADER = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")
MAX_BLOCKS = 50_000  # of a blob, as in Azure
MAX_BLOCK_LIST_BYTES = 4 * 2**20  # of XML
# Blobs have the origin of the portal, and any content: a browser must not show or run them.
CONTENT_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Content-Disposition": "attachment",
    "X-Content-Type-Options": "nosniff",
}
ERROR_MESSAGES = {
    "AuthenticationFailed": "The signature is missing, invalid, or expired.",
    "AuthorizationFailure": "The signature is for another resource.",
    "AuthorizationPermissionMismatch": "The signature does not grant this operation.",
    "BlobAlreadyExists": "The specified blob already exists.",
    "BlobNotFound": "The specified blob does not exist.",
    "BlockListTooLong": "The block list has too many entries, or too many bytes in all.",
    "ContainerAlreadyExists": "The specified container already exists.",
    "ContainerNotFound": "The specified container does not exist.",
    "InvalidRange": "The range specified is invalid for the current size of the resource.",
}


class BlobStorage:
    """Endpoints below `/{container}/{container}`; every request needs a SAS query."""

    def __init__(self, service: EmulatorService, signer: SasSigner) -> None:
        self._containers = service.containers
        self._store = service.store
        self._clock = service.clock
        self._signer = signer

    async def handle(self, request: Request) -> Response:
        try:
            response = await self._handle(request)
        except ApiError as error:
            response = storage_error_response(error.status, error.code, request.method)
        response.headers["x-ms-version"] = STORAGE_API_VERSION
        response.headers.update(CONTENT_HEADERS)
        return response

    async def _handle(self, request: Request) -> Response:
        match = BLOB_PATH.fullmatch(request.scope["path"])
        if match is None or match[1] != match[2] or CONTAINER_NAME.fullmatch(match[1]) is None:
            raise ApiError(404, "ResourceNotFound")
        container, blob = match[1], match[3]
        query = request.query_params
        if blob is None:
            return self._container(request, container, query)
        if request.method in ("GET", "HEAD"):
            self._check(query, container, blob, "r")
            return self._download(request, container, blob)
        if request.method == "PUT":
            return await self._put(request, container, blob, query)
        raise ApiError(405, "UnsupportedHttpVerb")

    def _check(self, query: Mapping[str, str], container: str, blob: str | None, needed: str) -> None:
        error_code = self._signer.check(query, container, blob, needed, self._clock.now())
        if error_code is not None:
            raise ApiError(403, error_code)

    def _container(self, request: Request, container: str, query: Mapping[str, str]) -> Response:
        if query.get("restype") != "container":
            raise ApiError(400, "InvalidQueryParameterValue")
        if request.method == "PUT":
            self._check(query, container, None, "cw")
            if not self._containers.ensure(container):
                raise ApiError(409, "ContainerAlreadyExists")
            return Response(status_code=201)
        if request.method not in ("GET", "HEAD"):
            raise ApiError(405, "UnsupportedHttpVerb")
        self._check(query, container, None, "l" if query.get("comp") == "list" else "rl")
        if not self._store.has_container(container):
            raise ApiError(404, "ContainerNotFound")
        if query.get("comp") == "list":
            return self._list(container, query.get("prefix", ""))
        return Response(headers={"ETag": '"0x1"', "Last-Modified": _http_date(self._clock.now())})

    def _list(self, container: str, prefix: str) -> Response:
        items = "".join(_list_entry(blob) for blob in self._store.blobs(container, prefix))
        text = (
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{container}">'
            f"<Prefix>{escape(prefix)}</Prefix><Blobs>{items}</Blobs><NextMarker /></EnumerationResults>"
        )
        return Response(text, media_type="application/xml")

    def _download(self, request: Request, container: str, blob: str) -> Response:
        record = self._store.blob(container, blob)
        if record is None:
            has_container = self._store.has_container(container)
            raise ApiError(404, "BlobNotFound" if has_container else "ContainerNotFound")
        headers = _properties(record)
        if request.method == "HEAD":
            return Response(headers={**headers, "Content-Length": str(record.size)})
        byte_range = request.headers.get("x-ms-range") or request.headers.get("range")
        data = self._containers.read(record)
        if byte_range is None:
            return Response(data, headers=headers)
        match = RANGE_HEADER.fullmatch(byte_range)
        start = int(match[1]) if match else 0
        if match is None or start >= record.size or (match[2] and int(match[2]) < start):
            content_range = {"Content-Range": f"bytes */{record.size}"}
            return storage_error_response(416, "InvalidRange", request.method, content_range)
        end = min(int(match[2]), record.size - 1) if match[2] else record.size - 1
        headers["Content-Range"] = f"bytes {start}-{end}/{record.size}"
        return Response(data[start : end + 1], 206, headers)

    async def _put(self, request: Request, container: str, blob: str, query: Mapping[str, str]) -> Response:
        # permission, name and body
        self._check(query, container, blob, "cw")
        if not is_valid_blob_name(blob):
            raise ApiError(400, "InvalidResourceName")
        component = query.get("comp")
        data = await read_body(request, MAX_BLOCK_LIST_BYTES if component == "blocklist" else MAX_UPLOAD_BYTES)
        if not self._store.has_container(container):
            raise ApiError(404, "ContainerNotFound")
        # a block of a blob
        if component == "block":
            self._containers.put_block(container, blob, _block_id(query.get("blockid", "")), data)
            return Response(status_code=201)
        # a whole blob, or the list of its blocks
        if component not in (None, "", "blocklist"):
            raise ApiError(400, "InvalidQueryParameterValue")
        if component != "blocklist" and request.headers.get("x-ms-blob-type") != "BlockBlob":
            raise ApiError(400, "InvalidHeaderValue")
        if request.headers.get("if-none-match") == "*" and self._store.blob(container, blob):
            raise ApiError(409, "BlobAlreadyExists")
        blocks = _block_ids(data) if component == "blocklist" else []
        if component == "blocklist":
            data = self._containers.join_blocks(container, blob, blocks)
        kind = request.headers.get("x-ms-blob-content-type") or request.headers.get("content-type")
        encoding = request.headers.get("x-ms-blob-content-encoding", "")
        record = self._containers.put(container, blob, data, kind or "application/octet-stream", encoding)
        self._containers.remove_blocks(container, blob, blocks)
        return Response(status_code=201, headers={"ETag": record.etag, "Last-Modified": _http_date(record.modified)})


def _properties(record: StoredBlob) -> dict[str, str]:
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


def _list_entry(blob: StoredBlob) -> str:
    return (
        f"<Blob><Name>{escape(blob.name)}</Name><Properties><Last-Modified>{_http_date(blob.modified)}</Last-Modified>"
        f"<Etag>{escape(blob.etag.strip(chr(34)))}</Etag><Content-Length>{blob.size}</Content-Length>"
        f"<Content-Type>{escape(blob.content_type)}</Content-Type><BlobType>BlockBlob</BlobType></Properties></Blob>"
    )


def _block_id(text: str) -> str:
    """Decode a block id, base64 of 1 to 64 bytes, to hexadecimal, which is safe in a file name."""
    try:
        identity = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, "InvalidQueryParameterValue") from None
    if not 1 <= len(identity) <= 64:
        raise ApiError(400, "InvalidQueryParameterValue")
    return identity.hex()


def _block_ids(body: bytes) -> list[str]:
    if b"<!" in body:  # refuse document type definitions, which XML bombs need
        raise ApiError(400, "InvalidXmlDocument")
    try:
        # UTF-8 whatever the document declares: other encodings could hide a definition, and not all can be decoded
        root = ElementTree.fromstring(body, ElementTree.XMLParser(encoding="utf-8"))
    except (ElementTree.ParseError, ValueError, LookupError):
        raise ApiError(400, "InvalidXmlDocument") from None
    if len(root) > MAX_BLOCKS:
        raise ApiError(400, "BlockListTooLong")
    return [_block_id((element.text or "").strip()) for element in root]


def _http_date(moment: float) -> str:
    return formatdate(moment, usegmt=True)


def storage_error_response(status: int, code: str, method: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response for a storage error; it has no body for HEAD."""
    message = ERROR_MESSAGES.get(code, "The request is not supported or not well formed.")
    text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    content = "" if method == "HEAD" else text
    return Response(content, status, {**(headers or {}), "x-ms-error-code": code}, "application/xml")
