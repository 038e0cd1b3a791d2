"""What is asked of the service, each call retried where that is safe and its failures put in the user's words."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from hybridloop.errors import (
    AccessDenied,
    HybridloopError,
    ServiceBusy,
    ServiceRefused,
    ServiceUnreachable,
    SessionEnded,
    TargetDown,
)
from hybridloop.sessions.clock import Clock
from hybridloop.sessions.documents import INPUT_BLOB, QIR, blob_url, job_document
from hybridloop.sessions.retry import ATTEMPTS, PATIENT_ATTEMPTS, repeat
from hybridloop.sessions.targets import Target
from hybridloop.sessions.transport import PASSING, READ_TIMEOUT_S, ExchangeFailed, SignedRequest, Transport, Trouble

PAGE = 100  # the service's own bound
_NOTHING = "Nothing was submitted, no money was spent."
_IN_FLIGHT = "Jobs that the service has accepted run on and are billed."
_READING = "Nothing was changed by this."
_TRY_AGAIN = "Try again in a while."

CLOSE_TIMEOUT_S = 5.0
RESULT_ATTEMPTS = 12  # a result may come a while after its job's success: with these waits about a minute

T = TypeVar("T")


class ResultMissing(Exception):
    """A job has succeeded, and its result did not come to the storage in time."""


class Service:
    """The data plane of one workspace. `stop`, once set, ends every wait between attempts.

    An attempt that hears nothing for `read_timeout_s` has failed.
    """

    def __init__(
        self, workspace: Any, clock: Clock, stop: threading.Event, *, read_timeout_s: float = READ_TIMEOUT_S
    ) -> None:
        self._transport = Transport(workspace, read_timeout_s=read_timeout_s)
        self._clock = clock
        self._stop = stop

    def open_session(self, session_id: str, name: str, target: Target, job_failure_policy: str) -> None:
        """Open the session of that id; opening it again changes nothing."""
        body = {
            "itemType": "Session",
            "name": name,
            "providerId": target.provider,
            "target": target.name,
            "jobFailurePolicy": job_failure_policy,
        }
        self._ask("opening the session", _NOTHING, lambda: self._call("PUT", f"/sessions/{session_id}", body))

    def session(self, session_id: str) -> dict[str, Any]:
        """A session as the service has it."""
        return self._ask(
            "reading the session", _READING, lambda: _with_status(self._call("GET", f"/sessions/{session_id}"))
        )

    def find_session(self, session_id: str) -> dict[str, Any] | None:
        """A session as the service has it; None where there is none of that id."""
        return self._found("GET", f"/sessions/{session_id}", "looking for the session", _READING)

    def close_session(
        self, session_id: str, *, attempts: int = ATTEMPTS, timeout_s: float = CLOSE_TIMEOUT_S
    ) -> dict[str, Any] | None:
        """Close a session; closing one that has ended changes nothing. None where there is none of that id.

        Waits on nothing but its own attempts.
        """
        return self._found(
            "POST",
            f"/sessions/{session_id}:close",
            "closing the session",
            "It may still be open; the service ends it after ten minutes without a job.",
            attempts=attempts,
            stop=threading.Event(),
            timeout_s=timeout_s,
        )

    def container(self, job_id: str) -> str:
        """A URL, signed, of the job's own container, which is made if it is not there."""
        body = {"containerName": f"job-{job_id}"}

        def ask() -> str:
            return _field(self._call("POST", "/storage/sasUri", body), "sasUri", str)

        return self._ask("preparing a job", _IN_FLIGHT, ask, attempts=PATIENT_ATTEMPTS)

    def upload(self, container: str, data: bytes) -> None:
        """Upload a job's input; one that is there already is accepted if its content is the same, never replaced."""
        url = blob_url(container, INPUT_BLOB)

        def put() -> None:
            if not self._transport.put_blob(url, data, QIR) and self._transport.get_blob(url) != data:
                raise _foreign_input(url.partition("?")[0])

        self._ask("uploading a job's input", _IN_FLIGHT, put, attempts=PATIENT_ATTEMPTS)

    def submit(self, job_id: str, container: str, body: Mapping[str, Any]) -> None:
        """Submit a job under our id. An unclear answer is settled by asking for the id, never by a new one."""
        full = job_document(container, body)

        def put() -> None:
            try:
                self._call("PUT", f"/jobs/{job_id}", full)
            except ExchangeFailed as failure:
                unclear = failure.trouble in PASSING or failure.trouble is Trouble.CONFLICT
                if not unclear or not self._is_there(job_id, body):
                    raise

        self._ask("submitting a job", _IN_FLIGHT, put, attempts=PATIENT_ATTEMPTS)

    def signed_submission(self, job_id: str, document: Mapping[str, Any]) -> SignedRequest:
        """The submission of a job as a request that somebody else can send. Raises HybridloopError."""
        try:
            return self._transport.signed("PUT", f"/jobs/{job_id}", document)
        except ExchangeFailed as failure:
            raise _in_words(failure, "signing a submission", _READING, self._transport.host) from failure

    def _is_there(self, job_id: str, body: Mapping[str, Any]) -> bool:
        """Whether the service has the job, and has it as ours: an earlier process of the run may have sent it."""
        try:
            found = self._call("GET", f"/jobs/{job_id}")
        except ExchangeFailed:
            return False
        said = found.get("metadata") if isinstance(found, dict) else None
        wanted: dict[str, str] = body.get("metadata", {})
        return wanted.items() <= (said or {}).items()

    def find_job(self, job_id: str) -> dict[str, Any] | None:
        """A job as the service has it, with signed URLs; None where there is none of that id."""
        return self._found("GET", f"/jobs/{job_id}", "looking for a job", _READING, attempts=PATIENT_ATTEMPTS)

    def _found(
        self,
        method: str,
        path: str,
        doing: str,
        meaning: str,
        *,
        attempts: int = ATTEMPTS,
        stop: threading.Event | None = None,
        timeout_s: float = math.inf,
    ) -> dict[str, Any] | None:
        def ask() -> dict[str, Any] | None:
            try:
                return _with_status(self._call(method, path, timeout_s=timeout_s))
            except ExchangeFailed as failure:
                if failure.trouble is Trouble.MISSING:
                    return None
                raise

        return self._ask(doing, meaning, ask, attempts=attempts, stop=stop)

    def cancel_job(self, job_id: str) -> None:
        """Ask for a job to be cancelled; one that runs may run on, and be billed."""
        self._ask("cancelling a job", _IN_FLIGHT, lambda: self._call("POST", f"/jobs/{job_id}:cancel"), attempts=1)

    def jobs_of_session(
        self, session_id: str, *, name_prefix: str = "", attempts: int = ATTEMPTS
    ) -> Iterator[dict[str, Any]]:
        """The session's jobs in the order of their creation, or those whose names begin so."""
        query: dict[str, str | int] = {"orderby": "CreationTime asc", "top": PAGE}
        if name_prefix:
            query["filter"] = f"startswith(Name, '{name_prefix}')"
        return self._pages(f"/sessions/{session_id}/jobs", query, attempts=attempts)

    def sessions(self) -> Iterator[dict[str, Any]]:
        """The workspace's sessions, newest first."""
        return self._pages("/sessions", {"orderby": "CreationTime desc", "top": PAGE})

    def providers(self) -> Iterator[dict[str, Any]]:
        """The workspace's providers with the status of their targets."""
        return self._pages("/providerStatus", {}, doing="asking for the targets", meaning=_NOTHING)

    def download(self, url: str, container: str) -> bytes:
        """A blob of the job's container, by the URL that the service named, with the container's signature."""
        signed = url if urlsplit(url).query else f"{url}?{urlsplit(container).query}"
        # A result may come a while after its job's success: a missing blob is waited for like a busy service.
        try:
            return repeat(
                lambda: self._transport.get_blob(signed),
                clock=self._clock,
                stop=self._stop,
                attempts=RESULT_ATTEMPTS,
                passing=PASSING | {Trouble.MISSING},
            )
        except ExchangeFailed as failure:
            if failure.trouble is Trouble.MISSING:
                raise ResultMissing(f"its result is not in the storage ({failure.text})") from failure
            raise _in_words(failure, "reading a result", _IN_FLIGHT, self._transport.host) from failure

    def stop(self) -> None:
        """End every wait between attempts, but for those of a close."""
        self._stop.set()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _call(self, method: str, path: str, body: object = None, *, timeout_s: float = math.inf) -> Any:
        return self._transport.call(method, path, body=body, timeout_s=timeout_s)

    def _pages(
        self,
        path: str,
        query: dict[str, str | int],
        *,
        doing: str = "listing",
        meaning: str = _READING,
        attempts: int = ATTEMPTS,
    ) -> Iterator[dict[str, Any]]:
        def page(path: str, query: dict[str, str | int]) -> tuple[list[dict[str, Any]], str | None]:
            return self._ask(doing, meaning, lambda: self._page(path, query), attempts=attempts)

        seen: set[str] = set()  # a page shifts when items are added meanwhile
        items, following = page(path, query)
        while True:
            for item in items:
                if item["id"] not in seen:
                    seen.add(item["id"])
                    yield item
            if not following:
                return
            items, following = page(following, {})

    def _page(self, path: str, query: dict[str, str | int]) -> tuple[list[dict[str, Any]], str | None]:
        page = self._transport.call("GET", path, query=query)
        items = _field(page, "value", list)
        for item in items:
            _field(item, "id", str)
        return items, page.get("nextLink")

    def _ask(
        self,
        doing: str,
        meaning: str,
        call: Callable[[], T],
        *,
        attempts: int = ATTEMPTS,
        stop: threading.Event | None = None,
    ) -> T:
        try:
            return repeat(call, clock=self._clock, stop=stop or self._stop, attempts=attempts)
        except ExchangeFailed as failure:
            raise _in_words(failure, doing, meaning, self._transport.host) from failure


def _with_status(document: Any) -> dict[str, Any]:
    _field(document, "id", str)
    _field(document, "status", str)
    return document  # type: ignore[no-any-return]  # it is a dict: it has fields


def _field(document: Any, key: str, kind: type[T]) -> T:
    """A field that an answer must have; an answer without it can't be read."""
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, kind):
        raise ExchangeFailed(Trouble.UNCLEAR, f"an answer without {key!r}")
    return value


def _foreign_input(url: str) -> ServiceRefused:
    return ServiceRefused(
        f"another input was uploaded under a job's id, as {url}",
        f"It is left as it is, and that job was not submitted. {_IN_FLIGHT}",
        "See who else writes to this storage; once that blob is deleted, resume the run.",
    )


def _in_words(failure: ExchangeFailed, doing: str, meaning: str, host: str) -> HybridloopError:
    happened = f"{doing} at {host} failed: {failure.text.rstrip('.')}"
    match failure.trouble:
        case Trouble.DENIED:
            return AccessDenied(
                f"workspace: {host} does not accept the key or identity ({failure.text}) while {doing}",
                meaning,
                "Check the ApiKey in AZURE_QUANTUM_CONNECTION_STRING, or the identity's role in the workspace.",
            )
        case Trouble.UNREACHABLE:
            return ServiceUnreachable(
                happened, meaning, "Check the network, and the endpoint in the connection string."
            )
        case Trouble.BUSY | Trouble.UNCLEAR:
            return ServiceBusy(happened, meaning, _TRY_AGAIN)
        case Trouble.SESSION_OVER:
            return SessionEnded(
                "the session has ended at the service, which takes no more jobs in it",
                meaning,
                "Start the run again.",
            )
        case Trouble.DOWN:
            return TargetDown(f"the target takes no jobs: {failure.text.rstrip('.')}", meaning, _TRY_AGAIN)
        case Trouble.MISSING:
            return ServiceRefused(happened, _READING, "Check the id: what it names is not in this workspace.")
        case _:
            return ServiceRefused(happened, meaning, "The service's own words above say why; a repeat will not help.")
