"""HTTP requests to the service: one attempt without sleep or retry, and one table of failures.

All requests to the service go through this module. The data plane uses the SDK's own pipeline (with its sign-in), its
retries turned off: they sleep for a Retry-After of any length and do not see our stop event. Blobs go through a bare
azure-core pipeline: the storage library has retries of its own, which took 81 s on one upload answered with 503, and
can only be turned off with a new client, and so a new connection, per blob.

A service is not trusted with more than it has: no redirect is followed, because the SDK would send the key along; a
link must lead to the workspace's own host, a blob's URL to Azure's storage; and an answer is read up to a limit.
"""

from __future__ import annotations

import datetime
import email.utils
import enum
import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

from azure.core import PipelineClient
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest

from hybridloop.azure.addresses import is_loopback, may_hold_blobs, origin_of
from hybridloop.azure.answer_body import (
    MAX_BLOB_BYTES,
    MAX_ERROR_BYTES,
    MAX_JSON_BYTES,
    TooLarge,
    keep_redirect,
    parse_json,
    read_body,
    redirect_target,
)
from hybridloop.azure.pace import MAX_IN_FLIGHT, RequestPace
from hybridloop.azure.redaction import foreign_text, redact_secrets_in_logs
from hybridloop.azure.signed_request import SignedRequest, ca_file, proxy_of
from hybridloop.runtime.waits import CONNECT_TIMEOUT_S, READ_TIMEOUT_S

_SHORTEST_KEY = 16  # a shorter text could be part of an answer by chance
_MAX_TEXT = 1000  # characters of a service's message
_STORAGE_API = "2024-08-04"
_BROKEN = (AzureError, ValueError, OSError)  # azure-core lets raw ones out
_THROTTLED = frozenset({429, 503})
_HOSTS = 10  # with connections of their own
_SESSION_OVER = "Session is already in a terminal state"  # the message's beginning; it has no code of its own


class FailureKind(enum.StrEnum):
    """The kind of a failed request, on which it depends what can be done about it."""

    UNREACHABLE = "unreachable"  # no connection, a broken one, or no answer: the request may have arrived
    BUSY = "busy"  # throttling or an internal error: a retry may help
    DOWN = "down"  # the target takes no jobs, possibly for long
    UNCLEAR = "unclear"  # an answer that can't be read: the request may have been carried out
    TOO_LARGE = "too large"  # an answer above the limit, which was not read to its end
    ELSEWHERE = "elsewhere"  # a redirect, or an address on another host: nothing was sent there
    DENIED = "denied"  # key or identity not accepted
    UNSIGNED = "unsigned"  # the storage does not accept a signed address
    MISSING = "missing"  # no such session, job or blob
    SESSION_OVER = "session over"  # the session takes no more jobs
    CONFLICT = "conflict"  # the id is used by something else
    REFUSED = "refused"  # understood and rejected


TRANSIENT = frozenset({FailureKind.UNREACHABLE, FailureKind.BUSY, FailureKind.UNCLEAR})


class RequestFailed(Exception):
    """One request failed; `text` is the reason without secrets, `retry_after` the server's wish in seconds.

    `code` is the service's code of the error; empty if it states none.
    """

    def __init__(
        self,
        kind: FailureKind,
        text: str,
        status: int | None = None,
        retry_after: float | None = None,
        code: str = "",
    ) -> None:
        super().__init__(kind, text, status, retry_after, code)
        self.kind = kind
        self.text = text
        self.status = status
        self.retry_after = retry_after
        self.code = code

    def __str__(self) -> str:
        return self.text


class Transport:
    """Requests over one `azure.quantum.Workspace`; thread-safe.

    A request fails if no data arrives for `read_timeout_s`. With a `pace` requests wait for their turn, until `stop` is
    set.
    """

    def __init__(
        self,
        workspace: Any,
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
        pace: RequestPace | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._workspace = workspace
        self._pace, self._stop = pace, stop or threading.Event()
        self._widened: Any = None
        self._read_timeout_s = read_timeout_s
        self._base = (
            f"/subscriptions/{quote(workspace.subscription_id)}/resourceGroups/{quote(workspace.resource_group)}"
            f"/providers/Microsoft.Quantum/workspaces/{quote(workspace.name)}"
        )
        self._blobs = PipelineClient(base_url="", policies=[], transport=_widened(RequestsTransport()))
        redact_secrets_in_logs()

    @property
    def host(self) -> str:
        """Host name of the service, for messages."""
        return str(urlsplit(self._client._config.endpoint).netloc)

    @property
    def _client(self) -> Any:
        # The SDK makes a new one whenever its user agent changes. There is no public way to its pipeline.
        client = self._workspace._client
        if client is not self._widened:
            self._widened = client
            pipeline = getattr(getattr(client, "_client", None), "_pipeline", None)
            transport = getattr(pipeline, "_transport", None)
            if isinstance(transport, RequestsTransport):  # another one, or another SDK's, stays as it is
                _widened(transport)
        return client

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str | int] | None = None,
        timeout_s: float = math.inf,
    ) -> Any:
        """Send one request to the data plane and return its JSON; `path` is relative to the workspace, or a nextLink.

        A nextLink must be on the workspace's own host. `timeout_s` can shorten the read timeout. Raises RequestFailed.
        """
        client = self._client
        if not path.startswith("/"):
            origin = origin_of(path)
            if origin is None or origin != origin_of(client._config.endpoint):
                raise RequestFailed(FailureKind.ELSEWHERE, f"a link to {origin or 'no plain address'}")
            request = HttpRequest(method, path)
        else:
            params = {**(query or {}), "api-version": client._config.api_version}
            headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
            request = HttpRequest(method, self._base + path, params=params, headers=headers, json=body)
        read_timeout_s = min(timeout_s, self._read_timeout_s)
        content = self._send_paced(
            client.send_request,
            request,
            MAX_JSON_BYTES,
            str(getattr(client._config.credential, "key", "")).encode(),
            retry_total=0,
            permit_redirects=False,
            read_timeout=read_timeout_s,
            **_proxy_options(urlsplit(client._config.endpoint).hostname or ""),
        )
        return _parse_json(content) if content else None

    def sign(self, method: str, path: str, body: object) -> SignedRequest:
        """Build the request that `call` would send, with its credentials, for another process to send.

        The workspace's own policies sign it: with its key, or with a bearer token, which expires within about an hour
        and may have to be requested first. Raises RequestFailed.
        """
        config = self._client._config
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        params = {"api-version": config.api_version}
        request = HttpRequest(method, self._base + path, params=params, headers=headers, content=content)
        request.url = config.endpoint.rstrip("/") + request.url
        signed = PipelineRequest(request, PipelineContext(None))
        try:
            for policy in (config.headers_policy, config.user_agent_policy, config.authentication_policy):
                policy.on_request(signed)
        except AzureError as error:
            raise _connection_failure(error) from error
        url = str(request.url)
        return SignedRequest(method, url, dict(request.headers), content, proxy_of(url), ca_file(url))

    def put_blob(self, url: str, data: bytes, content_type: str) -> bool:
        """Upload a blob; return False if one with this name exists, which stays unchanged. Raises RequestFailed."""
        headers = {
            "x-ms-blob-type": "BlockBlob",
            "x-ms-version": _STORAGE_API,
            "If-None-Match": "*",
            "Content-Type": "application/octet-stream",
            "x-ms-blob-content-type": content_type,
        }
        try:
            self._blob(HttpRequest("PUT", url, headers=headers, content=data))
        except RequestFailed as failure:
            if failure.kind is FailureKind.CONFLICT:
                return False
            raise
        return True

    def get_blob(self, url: str) -> bytearray:
        """Download a blob. Raises RequestFailed."""
        return self._blob(HttpRequest("GET", url, headers={"x-ms-version": _STORAGE_API}))

    def _blob(self, request: HttpRequest) -> bytearray:
        origin = origin_of(request.url)
        if origin is None or not may_hold_blobs(origin, origin_of(self._client._config.endpoint)):
            place = origin or "no plain address"
            raise RequestFailed(FailureKind.ELSEWHERE, f"{place} is named as storage, and is not Azure's blob storage")
        try:
            options: dict[str, Any] = {"read_timeout": self._read_timeout_s, **_proxy_options(origin.host)}
            return self._send_paced(self._blobs.send_request, request, MAX_BLOB_BYTES, **options)
        except RequestFailed as failure:
            if failure.kind is FailureKind.DENIED:  # no key is sent to a storage
                raise RequestFailed(FailureKind.UNSIGNED, failure.text, failure.status) from failure
            raise

    def _send_paced(self, *arguments: Any, **options: Any) -> bytearray:
        """Send a request when its turn has come; tell the pace how the service took it."""
        if self._pace is None:
            return _send(*arguments, **options)
        self._pace.admit(self._stop)
        began = time.monotonic()
        try:
            content = _send(*arguments, **options)
        except RequestFailed as failure:
            if failure.status in _THROTTLED or isinstance(failure.__cause__, ServiceResponseTimeoutError):
                self._pace.throttled()
            elif failure.status is not None:
                self._pace.accepted(time.monotonic() - began)
            raise
        self._pace.accepted(time.monotonic() - began)
        return content

    def close(self) -> None:
        """Close the connections to blob storage; those of the workspace stay open."""
        self._blobs.close()


def _widened(transport: RequestsTransport) -> RequestsTransport:
    """Let a transport keep as many connections alive as there may be requests in flight; the default is ten.

    It signs no request by a `.netrc` file, which would be looked up each time: one with the service's host would
    replace the key.
    """
    with suppress(ValueError):  # it was closed: the request says so
        transport.open()
        transport.session.auth = transport.session.auth or _as_signed
        for adapter in set(transport.session.adapters.values()):
            if adapter._pool_maxsize < MAX_IN_FLIGHT:  # else another client of the workspace did this
                adapter.init_poolmanager(connections=_HOSTS, maxsize=MAX_IN_FLIGHT)
    return transport


def _as_signed(request: Any) -> Any:
    return request


def _proxy_options(host: str) -> dict[str, Any]:
    """Return the option that keeps the key and programs of a local service from a proxy in the environment.

    Empty names replace those of the environment. The option `no_proxy` would change the process's environment during
    each request, which other threads read at that moment.
    """
    return {"proxies": {"http": "", "https": "", "all": ""}} if is_loopback(host) else {}


def _send(send: Callable[..., Any], request: HttpRequest, limit: int, key: bytes = b"", **options: Any) -> bytearray:
    """Send a request and return the body of its answer, at most `limit` bytes, without a key that it repeats."""
    request.headers["Accept-Encoding"] = "gzip"  # other encodings are not read
    hooks = {"response": keep_redirect}
    try:
        response = send(request, stream=True, connection_timeout=CONNECT_TIMEOUT_S, hooks=hooks, **options)
        with response:
            if response.status_code >= 400:
                raise _http_failure(response.status_code, _error_content(response, key), response.headers)
            if response.status_code >= 300:
                raise _redirect(response)
            return _without(key, read_body(response, limit))
    except TooLarge as error:
        raise RequestFailed(FailureKind.TOO_LARGE, str(error)) from error
    except _BROKEN as error:
        raise _connection_failure(error) from error


def _without(key: bytes, body: bytearray) -> bytearray:
    return body.replace(key, b"REDACTED") if len(key) >= _SHORTEST_KEY else body


def _error_content(response: Any, key: bytes) -> bytearray:
    """Return an error's body; empty if it is too large or damaged, because the status says enough."""
    try:
        return _without(key, read_body(response, MAX_ERROR_BYTES))
    except _BROKEN:
        return bytearray()


def _redirect(response: Any) -> RequestFailed:
    place = origin_of(redirect_target(response)) or "no plain address"
    return RequestFailed(FailureKind.ELSEWHERE, f"HTTP {response.status_code}, a redirect to {place}")


def _connection_failure(error: Exception) -> RequestFailed:
    if isinstance(error, ClientAuthenticationError):
        return RequestFailed(FailureKind.DENIED, _first_line(error))
    if isinstance(error, DecodeError | IncompleteReadError | ValueError):
        return RequestFailed(FailureKind.UNCLEAR, f"an answer that can't be read ({type(error).__name__})")
    match error:
        case ServiceRequestError():
            problem = "no connection"
        case ServiceResponseTimeoutError():
            problem = "no answer in time"
        case _:
            problem = "the connection broke"
    return RequestFailed(FailureKind.UNREACHABLE, f"{problem} ({_first_line(error)})")


def _http_failure(status: int, content: bytearray, headers: Mapping[str, str]) -> RequestFailed:
    code, message = _error_body(content, headers)
    text = " ".join(part for part in (f"HTTP {status}", code, message) if part)
    return RequestFailed(_failure_kind(status, code, message), text, status, _retry_after(headers), code)


def _failure_kind(status: int, code: str, message: str) -> FailureKind:
    if code == "TargetUnavailable":
        return FailureKind.DOWN
    if status in {408, 429} or status >= 500:
        return FailureKind.BUSY
    if status in {401, 403}:
        return FailureKind.DENIED
    if status == 404:
        return FailureKind.MISSING
    if status == 409:
        return FailureKind.CONFLICT
    return FailureKind.SESSION_OVER if message.startswith(_SESSION_OVER) else FailureKind.REFUSED


def _error_body(content: bytearray, headers: Mapping[str, str]) -> tuple[str, str]:
    try:
        error = parse_json(content)["error"]
        return _shorten(error.get("code")), _shorten(error.get("message"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return _shorten(headers.get("x-ms-error-code")), ""


def _shorten(text: object) -> str:
    return foreign_text(text, _MAX_TEXT) if isinstance(text, str) else ""


def _parse_json(content: bytearray) -> Any:
    try:
        return parse_json(content)
    except ValueError as error:
        raise RequestFailed(FailureKind.UNCLEAR, "an answer that is not JSON, or nested too deeply") from error


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After")
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        time = email.utils.parsedate_to_datetime(text)
        return max(0.0, (time - datetime.datetime.now(datetime.UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None  # unreadable: the retry policy's own wait is used


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return foreign_text(lines[0] if lines else type(error).__name__, 300)
