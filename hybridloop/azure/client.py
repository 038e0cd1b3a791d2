"""Client of one workspace's data plane: sessions, jobs and blobs.

Each call is retried where that is safe, and its failures are raised as HybridloopError with a message for users.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from hybridloop.azure.job_document import (
    INPUT_BLOB,
    OUTPUT_BLOBS,
    QIR,
    blob_url,
    checked_item,
    job_document,
    signed_like,
)
from hybridloop.azure.pace import NO_LIMITS, RequestLimits, RequestPace
from hybridloop.azure.request_errors import (
    IN_FLIGHT,
    NOT_CHANGED,
    PAID,
    input_conflict,
    result_unavailable,
    translate_failure,
)
from hybridloop.azure.retry import ATTEMPTS, ATTEMPTS_IN_RUN, call_with_retries
from hybridloop.azure.transport import (
    TRANSIENT,
    FailureKind,
    RequestFailed,
    Transport,
)
from hybridloop.azure.workspace import session_page
from hybridloop.errors import (
    AccessDenied,
)
from hybridloop.runtime.clock import Clock
from hybridloop.runtime.waits import CLOSE_TIMEOUT_S, READ_TIMEOUT_S
from hybridloop.targets import Target

PAGE_SIZE = 100  # the service's own limit
_FEW = 25  # on a page of jobs that may have many parameters each
_NOT_SUBMITTED = "This request submitted no job and costs nothing."

BRIEF_CLOSE = (2, 2.0)  # attempts, and their timeout in s, where a process is about to end
RESULT_ATTEMPTS = 12  # a result may appear some time after its job succeeded: with the waits about a minute
MAX_PAGES = 10_000  # of a list
_MAY_BE_DONE = TRANSIENT | {FailureKind.CONFLICT, FailureKind.TOO_LARGE}

T = TypeVar("T")


class JobGone(Exception):
    """The id of a job is taken at the service, which has no such job any more."""


class ServiceClient:
    """Client of the data plane of one workspace; `stop`, once set, ends every wait between attempts.

    `labels` are further fields of the JSON of every job.

    An attempt fails if no data arrives for `read_timeout_s`.
    """

    def __init__(
        self,
        workspace: Any,
        clock: Clock,
        stop: threading.Event,
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
        limits: RequestLimits = NO_LIMITS,
        labels: Mapping[str, Any] | None = None,
    ) -> None:
        self.workspace = workspace
        self.pace = RequestPace(clock, limits)
        self._transport = Transport(workspace, read_timeout_s=read_timeout_s, pace=self.pace, stop=stop)
        self._labels = labels or {}
        self._clock = clock
        self._stop = stop

    def open_session(self, session_id: str, name: str, target: Target, job_failure_policy: str) -> dict[str, Any]:
        """Open the session with that id; opening it again changes nothing. Return the service's document of it."""
        body = {
            "itemType": "Session",
            "name": name,
            "providerId": target.provider,
            "target": target.name,
            "jobFailurePolicy": job_failure_policy,
        }

        def put() -> dict[str, Any]:
            return _with_status(self._call("PUT", f"/sessions/{session_id}", body))  # a damaged answer is unclear

        return self._retry("opening the session", _NOT_SUBMITTED, put)

    def session_page(self, session_id: str) -> str:
        """Return the address of the portal's page of a session."""
        return session_page(self.workspace, session_id)

    def get_session(self, session_id: str) -> dict[str, Any]:
        """Return the service's document of a session."""
        return self._retry(
            "reading the session", NOT_CHANGED, lambda: _with_status(self._call("GET", f"/sessions/{session_id}"))
        )

    def find_session(self, session_id: str) -> dict[str, Any] | None:
        """Return the service's document of a session; None if no session has that id."""
        return self._call_or_none("GET", f"/sessions/{session_id}", "looking for the session", NOT_CHANGED)

    def close_session(
        self, session_id: str, *, attempts: int = ATTEMPTS, timeout_s: float = CLOSE_TIMEOUT_S
    ) -> dict[str, Any] | None:
        """Close a session and return its document; None if no session has that id. Closing it again changes nothing.

        `stop` does not end the waits between these attempts.
        """
        return self._call_or_none(
            "POST",
            f"/sessions/{session_id}:close",
            "closing the session",
            "It may still be open; the service ends it after ten minutes without a job.",
            attempts=attempts,
            stop=threading.Event(),
            timeout_s=timeout_s,
        )

    def create_container(self, job_id: str) -> str:
        """Create the job's storage container if it does not exist; return its signed URL."""
        body = {"containerName": f"job-{job_id}"}

        def post() -> str:
            return _field(self._call("POST", "/storage/sasUri", body), "sasUri", str)

        return self._retry("preparing a job", IN_FLIGHT, post, attempts=ATTEMPTS_IN_RUN)

    def upload(self, container: str, data: bytes, data_format: str = QIR) -> None:
        """Upload a job's input; existing input is accepted if its content is the same, and never replaced.

        Raises AccessDenied if the signature has expired: see `upload_input`.
        """
        url = blob_url(container, INPUT_BLOB)

        def put() -> None:
            if self._transport.put_blob(url, data, data_format):
                return
            if all(self._transport.get_blob(url) != data for _ in range(2)):  # one answer may be damaged
                raise input_conflict(url.partition("?")[0])

        self._retry("uploading a job's input", IN_FLIGHT, put, attempts=ATTEMPTS_IN_RUN)

    def submit(
        self, job_id: str, container: str, body: Mapping[str, Any], *, may_be_gone: bool = False
    ) -> dict[str, Any] | None:
        """Submit a job under our id; after an unclear answer the job is looked up by that id, never given another.

        Return the service's document of a job that it has in another session: a process submitted it of which the
        journal does not know, as after it was restored from a backup. Return None for all others. Raises JobGone for a
        job that `may_be_gone`, whose id is taken though the service has no such job: it was deleted there.
        """
        document = job_document(container, {**body, **self._labels})

        def put() -> dict[str, Any] | None:
            try:
                job = _with_status(self._call("PUT", f"/jobs/{job_id}", document))  # a damaged answer is unclear
            except RequestFailed as failure:
                found = self._submitted(job_id, body) if failure.kind in _MAY_BE_DONE else None
                if found is None:
                    if may_be_gone and failure.kind is FailureKind.CONFLICT and self.find_job(job_id) is None:
                        raise JobGone from failure
                    raise
                job = found
            if job.get("sessionId") in (None, body.get("sessionId")):
                return None
            return _with_status(self._call("GET", f"/jobs/{job_id}"))

        return self._retry("submitting a job", IN_FLIGHT, put, attempts=ATTEMPTS_IN_RUN)

    def _submitted(self, job_id: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the service's document of the job if it has our metadata: an earlier process may have submitted it."""
        try:
            job = _with_status(self._call("GET", f"/jobs/{job_id}"))
        except RequestFailed:
            return None
        expected: dict[str, str] = body.get("metadata", {})
        return job if expected.items() <= (job.get("metadata") or {}).items() else None

    def find_job(self, job_id: str) -> dict[str, Any] | None:
        """Return the service's document of a job, with signed URLs; None if no job has that id."""
        return self._call_or_none("GET", f"/jobs/{job_id}", "looking for a job", NOT_CHANGED, attempts=ATTEMPTS_IN_RUN)

    def _call_or_none(
        self,
        method: str,
        path: str,
        action: str,
        meaning: str,
        *,
        attempts: int = ATTEMPTS,
        stop: threading.Event | None = None,
        timeout_s: float = math.inf,
    ) -> dict[str, Any] | None:
        """Call with retries; return None for a 404."""

        def call() -> dict[str, Any] | None:
            try:
                return _with_status(self._call(method, path, timeout_s=timeout_s))
            except RequestFailed as failure:
                if failure.kind is FailureKind.MISSING:
                    return None
                raise

        return self._retry(action, meaning, call, attempts=attempts, stop=stop)

    def cancel_job(self, job_id: str) -> None:
        """Request the cancellation of a job; one that already runs may finish and be billed, a deleted one is over."""

        def post() -> None:
            try:
                self._call("POST", f"/jobs/{job_id}:cancel")
            except RequestFailed as failure:
                if failure.kind is not FailureKind.MISSING:
                    raise

        self._retry("cancelling a job", IN_FLIGHT, post, attempts=1)

    def list_session_jobs(
        self,
        session_id: str,
        *,
        name_prefix: str = "",
        attempts: int = ATTEMPTS,
        states: Iterable[str] = (),
        skip: int = 0,
        only_page: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Yield the session's jobs in order of creation, without the first `skip`, all or those of one page.

        Optionally only those whose name has the prefix, up to a quote in it, which a filter can't have; and only those
        in one of the states.
        """
        query: dict[str, str | int] = {"orderby": "CreationTime asc", "top": PAGE_SIZE if name_prefix else _FEW}
        before_quote = name_prefix.partition("'")[0]
        terms = [f"startswith(Name, '{before_quote}')"] if before_quote else []
        if states:
            terms.append("(" + " or ".join(f"State eq '{state}'" for state in sorted(states)) + ")")
        if terms:
            query["filter"] = " and ".join(terms)
        if skip:
            query["skip"] = skip
        return self._list(f"/sessions/{session_id}/jobs", query, attempts=attempts, only_page=only_page)

    def list_sessions(self, terms: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """Yield the workspace's sessions that meet all terms of a filter, newest first."""
        query: dict[str, str | int] = {"orderby": "CreationTime desc", "top": PAGE_SIZE}
        return self._list("/sessions", query | ({"filter": " and ".join(terms)} if terms else {}))

    def list_providers(self) -> Iterator[dict[str, Any]]:
        """Yield the workspace's providers with the status of their targets."""
        return self._list("/providerStatus", {}, action="listing the targets", meaning=_NOT_SUBMITTED)

    def download(self, job_id: str, url: str, container: str, read: Callable[[bytearray], T]) -> T:
        """Download a job's result and return what `read` makes of it; a ValueError of `read` is retried as well.

        `url` is the service's; without a signature it gets that of the job's container. Raises AccessDenied if the
        signature has expired, and JobFailed if the result stays missing or unreadable: it is paid all the same.
        """

        def get() -> T:
            data = self._transport.get_blob(signed_like(container, url))
            try:
                return read(data)
            except ValueError as error:
                raise RequestFailed(FailureKind.UNCLEAR, str(error)) from error

        # A result may appear some time after its job succeeded: a missing blob is retried like a busy service.
        try:
            return call_with_retries(
                get,
                clock=self._clock,
                stop=self._stop,
                attempts=RESULT_ATTEMPTS,
                transient=TRANSIENT | {FailureKind.MISSING},
            )
        except RequestFailed as failure:
            if failure.kind is FailureKind.MISSING:
                raise result_unavailable(job_id, f"its result is not in the storage ({failure.text})") from failure
            if failure.kind in (FailureKind.UNCLEAR, FailureKind.TOO_LARGE):
                raise result_unavailable(job_id, f"its result can't be read: {failure.text}") from failure
            raise translate_failure(failure, "reading a result", PAID, self._transport.host) from failure

    def find_result(self, container: str, read: Callable[[bytearray], T]) -> T | None:
        """Return what `read` makes of the result in a job's container; None without one.

        For a job that was deleted: its document, which names the result, is gone, and its storage is not.
        """

        def get(url: str) -> bytearray | None:
            try:
                return self._transport.get_blob(url)
            except RequestFailed as failure:
                if failure.kind is FailureKind.MISSING:
                    return None
                raise

        for url in (blob_url(container, name) for name in OUTPUT_BLOBS):
            if (data := self._retry("reading a result", PAID, partial(get, url), attempts=ATTEMPTS_IN_RUN)) is not None:
                with suppress(ValueError):  # half a result is none
                    return read(data)
        return None

    def stop(self) -> None:
        """End every wait between attempts, except those of `close_session`."""
        self._stop.set()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _call(self, method: str, path: str, body: object = None, *, timeout_s: float = math.inf) -> Any:
        return self._transport.call(method, path, body=body, timeout_s=timeout_s)

    def _list(
        self,
        path: str,
        query: dict[str, str | int],
        *,
        action: str = "listing",
        meaning: str = NOT_CHANGED,
        attempts: int = ATTEMPTS,
        only_page: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Yield the items of all pages, each item once: pages shift when items are added meanwhile."""

        def read_page(path: str, query: dict[str, str | int]) -> tuple[list[dict[str, Any]], str | None]:
            return self._retry(action, meaning, lambda: self._page(path, query), attempts=attempts)

        ids: set[str] = set()
        items, next_link = read_page(path, query)
        links: set[str] = set()
        while True:
            for item in items:
                if item["id"] not in ids:
                    ids.add(item["id"])
                    yield item
            if only_page or not next_link:
                return
            if next_link in links or len(links) == MAX_PAGES:
                failure = RequestFailed(FailureKind.UNCLEAR, f"a list without an end, of {len(links)} pages")
                raise translate_failure(failure, action, meaning, self._transport.host)
            links.add(next_link)
            items, next_link = read_page(next_link, {})

    def _page(self, path: str, query: dict[str, str | int]) -> tuple[list[dict[str, Any]], str | None]:
        page = self._transport.call("GET", path, query=query)
        items = _field(page, "value", list)
        for item in items:
            _field(item, "id", str)
        next_link = _field(page, "nextLink", str) if page.get("nextLink") is not None else None
        return [checked_item(item) for item in items], next_link

    def _retry(
        self,
        action: str,
        meaning: str,
        call: Callable[[], T],
        *,
        attempts: int = ATTEMPTS,
        stop: threading.Event | None = None,
    ) -> T:
        """Call with retries; `action` and `meaning` are for the message of a HybridloopError."""
        try:
            return call_with_retries(call, clock=self._clock, stop=stop or self._stop, attempts=attempts)
        except RequestFailed as failure:
            raise translate_failure(failure, action, meaning, self._transport.host) from failure


def _with_status(document: Any) -> dict[str, Any]:
    """Return a session's or job's document; one without id or status raises RequestFailed."""
    _field(document, "id", str)
    _field(document, "status", str)
    return checked_item(document)


def _field(document: Any, key: str, kind: type[T]) -> T:
    """Return a required field of an answer. Raises RequestFailed: an answer without it is unreadable."""
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, kind):
        raise RequestFailed(FailureKind.UNCLEAR, f"an answer without {key!r}")
    return value


def upload_input(service: ServiceClient, job_id: str, container: str, data: bytes, data_format: str = QIR) -> str:
    """Upload a job's input and return its container's URL, with a new signature if the first one has expired."""
    try:
        service.upload(container, data, data_format)
    except AccessDenied:
        container = service.create_container(job_id)
        service.upload(container, data, data_format)
    return container
