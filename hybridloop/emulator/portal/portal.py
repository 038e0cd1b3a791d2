"""Web portal: pages at `/` that show sessions and jobs of all workspaces, with buttons that close and cancel them.

A browser signs in by a one-time link, which an admin request makes: it gets the secret of this process as a cookie. The
keys stay out of the browser, and a restart signs everyone out. Buttons are protected against cross-site request forgery
(CSRF) by the Origin header and a SameSite cookie. `http.access` prevents DNS rebinding.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hybridloop.emulator.http.messages import keys_match
from hybridloop.emulator.model.errors import ApiError, not_found, parse_whole_number
from hybridloop.emulator.model.job import JobStatus
from hybridloop.emulator.model.list_query import ListQuery
from hybridloop.emulator.portal.pages import (
    MAX_OUTPUT_BYTES,
    PORTAL_PREFIX,
    SECURITY_HEADERS,
    Pages,
    build_histogram,
    page_path,
    static_file,
)
from hybridloop.emulator.service import EmulatorService
from hybridloop.emulator.settings import ClockKind
from hybridloop.emulator.store.ledger import session_totals
from hybridloop.emulator.store.listing import START_CURSOR, ListKind, newest_lone_jobs, newest_sessions

ITEM_PATH = re.compile(
    rf"{PORTAL_PREFIX}/(sessions|jobs)/([^/]+/[^/]+/[^/]+)/([A-Za-z0-9_.-]{{1,128}})(?:/(close|cancel))?"
)
LINK_PATH = f"{PORTAL_PREFIX}/enter/"
PAGE_SIZE = 25
MAX_TEXT_LENGTH = 20_000  # characters of an input, output or parameters on a page


class Portal:
    """Pages and actions at `/` and below `/_portal/`; `port` is the service's, for the cookie's name."""

    def __init__(self, service: EmulatorService, clock: ClockKind, port: int) -> None:
        self._service = service
        self._clock = clock
        # cookies are shared by all ports of a host: two services on one machine need two names
        self._cookie = f"hybridloop_portal_{port}"
        self._secret = secrets.token_urlsafe(32)
        self._link: str | None = None  # the newest link's token, until it is used
        self._pages = Pages()

    async def handle(self, request: Request) -> Response:
        try:
            static = static_file(request.scope["path"].removeprefix(f"{PORTAL_PREFIX}/"))
            if static is not None:
                return static
            if request.method in ("GET", "HEAD"):
                return self._get(request)
            if request.method == "POST":
                return self._post(request)
            raise ApiError(405, "MethodNotAllowed", "Pages support GET, buttons POST.")
        except ApiError as error:
            return self._page("error.html", {"error": error}, error.status)

    def create_link(self) -> str:
        """Return the path of a page that signs a browser in, once; the link before is invalid then."""
        self._link = secrets.token_urlsafe(32)
        return LINK_PATH + self._link

    def _get(self, request: Request) -> Response:
        path: str = request.scope["path"]
        if path.startswith(LINK_PATH) and request.method == "GET":
            return self._enter(path.removeprefix(LINK_PATH))
        if not self._is_signed_in(request):
            return self._sign_in_page()
        if path == "/":
            return self._overview(request)
        match = ITEM_PATH.fullmatch(path)
        if match is None or match[4] is not None:
            raise not_found("This page")
        if match[1] == "sessions":
            return self._session(request, match[2], match[3])
        return self._job(match[2], match[3])

    def _post(self, request: Request) -> Response:
        if request.headers.get("origin") != f"http://{request.headers.get('host')}":
            message = "This request was not sent by a page of this service, and nothing was changed."
            raise ApiError(403, "Forbidden", message)
        if not self._is_signed_in(request):
            return self._sign_in_page()
        match = ITEM_PATH.fullmatch(request.scope["path"])
        if match is not None and (match[1], match[4]) == ("sessions", "close"):
            self._service.close_session(match[2], match[3])
        elif match is not None and (match[1], match[4]) == ("jobs", "cancel"):
            self._service.cancel_job(match[2], match[3])
        else:
            raise not_found("This action")
        # a redirect, so that a reload of the page does not send the request again
        location = page_path(match[1], match[2], match[3])
        return Response(status_code=303, headers={**SECURITY_HEADERS, "Location": location})

    def _is_signed_in(self, request: Request) -> bool:
        return keys_match(request.cookies.get(self._cookie), self._secret)

    def _enter(self, link: str) -> Response:
        """Sign in by a one-time link; a page goes on to the overview.

        After a redirect a browser sends no SameSite=Strict cookie if the link was opened from another site's page.
        """
        if self._link is None or not keys_match(link, self._link):
            return self._sign_in_page()
        self._link = None
        response = self._page("signed_in.html", {})
        response.set_cookie(self._cookie, self._secret, path="/", httponly=True, samesite="strict")
        return response

    def _overview(self, request: Request) -> Response:
        store, query = self._service.store, request.query_params

        def key_before(name: str) -> int:
            return parse_whole_number(name, query.get(name), START_CURSOR, START_CURSOR)

        sessions = newest_sessions(store, key_before("sessions_before"), PAGE_SIZE)
        jobs = newest_lone_jobs(store, key_before("jobs_before"), PAGE_SIZE)
        idle_left = {line.session.key: self._service.idle_time_left(line.session) for line in sessions.lines}
        values = {"sessions": sessions, "jobs": jobs, "idle_left": idle_left, "is_live": True, "query": query}
        return self._page("overview.html", values)

    def _session(self, request: Request, workspace: str, item: str) -> Response:
        session = self._service.session(workspace, item)
        skip = parse_whole_number("skip", request.query_params.get("skip"), 0, START_CURSOR)
        newest = ListQuery((), None, descending=True, skip=skip, top=PAGE_SIZE)
        page = self._service.page(ListKind.SESSION_JOBS, newest, workspace, item)
        values = {
            "workspace": workspace,
            "session": session,
            "tally": session_totals(self._service.store, [session.key])[session.key],
            "idle_left": self._service.idle_time_left(session),
            "jobs": [(workspace, job) for job in page.items],
            "newer": max(0, skip - PAGE_SIZE) if skip else None,
            "older": skip + len(page.items) if page.more else None,
            "is_live": not session.state.is_terminal or session.state.pending > 0,
        }
        return self._page("session.html", values)

    def _job(self, workspace: str, item: str) -> Response:
        job = self._service.job(workspace, item)
        container, succeeded = job.request.container, job.state.status is JobStatus.SUCCEEDED
        output = self._blob(container, job.output_blob) if succeeded else None
        values = {
            "workspace": workspace,
            "job": job,
            "input": self._blob(container, job.request.input_blob),
            "parameters": _truncate(json.dumps(job.request.params, indent=2, ensure_ascii=False)),
            "metadata": job.request.metadata or {},
            "histogram": None if output is None else build_histogram(output),
            "output": output,
            "blob_text": _blob_text,
            "is_live": not job.state.is_terminal,
        }
        return self._page("job.html", values)

    def _blob(self, container: str, name: str) -> bytes | None:
        """Return a blob's content; a note with its size if it is too large for a page; None if there is none."""
        record = self._service.store.blob(container, name)
        if record is None:
            return None
        if record.size > MAX_OUTPUT_BYTES:
            return f"({record.size:,} bytes, too large to show)".encode()
        return self._service.containers.read(record)

    def _sign_in_page(self) -> Response:
        response = self._page("sign_in.html", {}, 401)
        response.headers["WWW-Authenticate"] = 'Cookie realm="portal"'
        return response

    def _page(self, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
        shared = {"now": self._service.clock.now(), "clock": self._clock, "is_live": False}
        return self._pages.render(template, {**shared, **values}, status)


def _blob_text(data: bytes) -> str:
    """Return a blob as text, truncated if it is long; for binary content a note with its size."""
    try:
        return _truncate(data.decode("utf-8"))
    except UnicodeDecodeError:
        return f"({len(data):,} bytes of binary data)"


def _truncate(text: str) -> str:
    if len(text) <= MAX_TEXT_LENGTH:
        return text
    return f"{text[:MAX_TEXT_LENGTH]}\n… ({len(text):,} characters, {MAX_TEXT_LENGTH:,} shown)"
