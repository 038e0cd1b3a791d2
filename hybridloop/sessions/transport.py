"""Every exchange with the service goes through here: one attempt, no sleep, no retry, one table of outcomes.

The SDK's own pipeline carries the data plane (sign-in included) with its retries off, because they sleep up to a
server's Retry-After without a bound and know nothing of our stop event. Blobs go through a bare azure-core
pipeline: the storage library retries by itself, for 81 s on one upload answered 503, and cannot be told otherwise
without a new client, and so a new connection, for each blob.
"""

from __future__ import annotations

import datetime
import email.utils
import enum
import json
import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
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

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
_STORAGE_API = "2024-08-04"
_SESSION_OVER = "Session is already in a terminal state"  # the service's own first sentence; it has no code of its own


class Trouble(enum.StrEnum):
    """What kind of thing went wrong in an exchange, and so what may be done about it."""

    UNREACHABLE = "unreachable"  # no connection, it broke, or no answer: whether the request arrived is not known
    BUSY = "busy"  # throttled, failing inside: a repeat may help
    DOWN = "down"  # the target takes no jobs, which may last
    UNCLEAR = "unclear"  # an answer that can't be read: whether it was done is not known
    DENIED = "denied"  # key or identity not accepted
    MISSING = "missing"  # no such session, job or blob
    SESSION_OVER = "session over"  # the session takes no more jobs
    CONFLICT = "conflict"  # the id is taken by something else
    REFUSED = "refused"  # understood, and no


PASSING = frozenset({Trouble.UNREACHABLE, Trouble.BUSY, Trouble.UNCLEAR})


class ExchangeFailed(Exception):
    """One exchange did not give what it was for; `text` says why, without any secret in it."""

    def __init__(
        self, trouble: Trouble, text: str, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(trouble, text, status, retry_after)
        self.trouble = trouble
        self.text = text
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request with all that it takes to send it by other means: whoever has it can send it, so it is kept secret."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    proxy: str | None = field(repr=False)  # it may hold a password
    ca_file: str | None


class Transport:
    """Exchanges over one `azure.quantum.Workspace`, whoever made it; may be used from several threads.

    None waits for longer than `read_timeout_s` without hearing anything.
    """

    def __init__(self, workspace: Any, *, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        self._workspace = workspace
        self._read_timeout_s = read_timeout_s
        self._base = (
            f"/subscriptions/{quote(workspace.subscription_id)}/resourceGroups/{quote(workspace.resource_group)}"
            f"/providers/Microsoft.Quantum/workspaces/{quote(workspace.name)}"
        )
        self._blobs = PipelineClient(base_url="", policies=[], transport=RequestsTransport())
        keep_signatures_out_of_logs()

    @property
    def host(self) -> str:
        """The service's host, for messages."""
        return str(urlsplit(self._client._config.endpoint).netloc)

    @property
    def _client(self) -> Any:
        # The SDK makes a new one whenever its user agent changes. There is no public way to its pipeline.
        return self._workspace._client

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str | int] | None = None,
        timeout_s: float = math.inf,
    ) -> Any:
        """One exchange with the data plane; path is relative to the workspace, or a nextLink. Returns the JSON.

        `timeout_s` may shorten the wait for its answer. Raises ExchangeFailed.
        """
        client = self._client
        if path.startswith("http"):
            request = HttpRequest(method, path)
        else:
            params = {**(query or {}), "api-version": client._config.api_version}
            request = HttpRequest(method, self._base + path, params=params, json=body)
        waits_s = min(timeout_s, self._read_timeout_s)
        content = _exchanged(client.send_request, request, retry_total=0, read_timeout=waits_s)
        return _parsed(content) if content else None

    def signed(self, method: str, path: str, body: object) -> SignedRequest:
        """A request to the data plane as `call` would send it, signed in, for somebody else to send.

        The workspace's own policies sign it: its key, or a bearer token, which ends within about an hour. A token may
        have to be asked for. Raises ExchangeFailed.
        """
        config = self._client._config
        content, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        params = {"api-version": config.api_version}
        request = HttpRequest(method, self._base + path, params=params, headers=headers, content=content)
        request.url = config.endpoint.rstrip("/") + request.url
        asked = PipelineRequest(request, PipelineContext(None))
        try:
            for policy in (config.headers_policy, config.user_agent_policy, config.authentication_policy):
                policy.on_request(asked)
        except AzureError as error:
            raise _broken(error) from error
        url = str(request.url)
        return SignedRequest(method, url, dict(request.headers), content, _proxy(url), _ca_file(url))

    def put_blob(self, url: str, data: bytes, content_type: str) -> bool:
        """Upload a blob that must not be there yet; False says that one of this name is. Raises ExchangeFailed."""
        headers = {
            "x-ms-blob-type": "BlockBlob",
            "x-ms-version": _STORAGE_API,
            "If-None-Match": "*",
            "Content-Type": "application/octet-stream",
            "x-ms-blob-content-type": content_type,
        }
        try:
            self._blob(HttpRequest("PUT", url, headers=headers, content=data))
        except ExchangeFailed as failure:
            if failure.trouble is Trouble.CONFLICT:
                return False
            raise
        return True

    def get_blob(self, url: str) -> bytes:
        """Download a blob. Raises ExchangeFailed."""
        return self._blob(HttpRequest("GET", url, headers={"x-ms-version": _STORAGE_API}))

    def _blob(self, request: HttpRequest) -> bytes:
        return _exchanged(self._blobs.send_request, request, read_timeout=self._read_timeout_s)

    def close(self) -> None:
        """Close the connections to blob storage; the workspace's own stay with the workspace."""
        self._blobs.close()


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _ca_file(url: str) -> str | None:
    """What the HTTP library trusts, by its own rules."""
    if not url.startswith("https:"):
        return None
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()


def _exchanged(send: Callable[..., Any], request: HttpRequest, **options: float) -> bytes:
    try:
        response = send(request, connection_timeout=CONNECT_TIMEOUT_S, **options)
        status, content, headers = response.status_code, bytes(response.content), response.headers
    except (AzureError, ValueError) as error:  # ValueError: azure-core lets raw ones out on unreadable answers
        raise _broken(error) from error
    if status >= 400:
        raise _refusal(status, content, headers)
    return content


def _broken(error: Exception) -> ExchangeFailed:
    if isinstance(error, ClientAuthenticationError):
        return ExchangeFailed(Trouble.DENIED, _first_line(error))
    if isinstance(error, DecodeError | IncompleteReadError) or not isinstance(error, AzureError):
        return ExchangeFailed(Trouble.UNCLEAR, f"an answer that can't be read ({type(error).__name__})")
    match error:
        case ServiceRequestError():
            verb = "no connection"
        case ServiceResponseTimeoutError():
            verb = "no answer came in time"
        case _:
            verb = "the connection broke"
    return ExchangeFailed(Trouble.UNREACHABLE, f"{verb} ({_first_line(error)})")


def _refusal(status: int, content: bytes, headers: Mapping[str, str]) -> ExchangeFailed:
    code, message = _error_body(content, headers)
    text = " ".join(part for part in (f"HTTP {status}", code, message) if part)
    return ExchangeFailed(_trouble(status, code, message), text, status, _retry_after(headers))


def _trouble(status: int, code: str, message: str) -> Trouble:
    if code == "TargetUnavailable":
        return Trouble.DOWN
    if status in {408, 429} or status >= 500:
        return Trouble.BUSY
    if status in {401, 403}:
        return Trouble.DENIED
    if status == 404:
        return Trouble.MISSING
    if status == 409:
        return Trouble.CONFLICT
    return Trouble.SESSION_OVER if message.startswith(_SESSION_OVER) else Trouble.REFUSED


def _error_body(content: bytes, headers: Mapping[str, str]) -> tuple[str, str]:
    try:
        error = json.loads(content)["error"]
        return str(error.get("code") or ""), _without_secrets(str(error.get("message") or ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return str(headers.get("x-ms-error-code") or ""), ""


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise ExchangeFailed(Trouble.UNCLEAR, "an answer that is no JSON") from error


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After")
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        at = email.utils.parsedate_to_datetime(text)
        return max(0.0, (at - datetime.datetime.now(datetime.UTC)).total_seconds())
    except (ValueError, TypeError):
        return None  # garbage: the retry policy's own wait holds


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return _without_secrets(lines[0] if lines else type(error).__name__)[:300]


_SIGNATURE = re.compile(r"(?i)\b(sig|signature|accountkey|apikey|api-key)=[^&\s;\"']+")


def _without_secrets(text: str) -> str:
    return _SIGNATURE.sub(r"\1=REDACTED", text)


class _SignatureFilter(logging.Filter):
    """Takes the signatures of storage URLs out of log records."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.args or "sig=" in str(record.msg):
            record.msg = _without_secrets(record.getMessage())
            record.args = ()
        return True


_FILTER = _SignatureFilter()


def keep_signatures_out_of_logs() -> None:
    """Redact storage URLs where libraries would log them whole: the HTTP library, and the SDK at DEBUG."""
    for name in (
        "urllib3.connectionpool",
        "azure.quantum.storage",
        "azure.quantum.workspace",
        "azure.quantum.job.base_job",
        "azure.core.pipeline.policies.http_logging_policy",
    ):
        logging.getLogger(name).addFilter(_FILTER)
