"""The portal: web pages at `/` that show sessions and jobs of all workspaces, and buttons that end them.

A page shows data and has buttons, so a browser is let in only with the API key, and only by this service's own pages:
a form that a stranger's page sends is refused (Origin, a token in every form, a cookie for this site alone). A name
that a stranger's DNS points here does not come this far.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from hybridloop.emulator.faults import ServiceFault, bad_request, not_found, whole_number
from hybridloop.emulator.filters import ListQuery
from hybridloop.emulator.histogram import LARGEST_OUTPUT, histogram_of
from hybridloop.emulator.http import bounded_body, same_key
from hybridloop.emulator.job import JobStatus
from hybridloop.emulator.listing import Listed
from hybridloop.emulator.overview import FIRST, newest_lone_jobs, newest_sessions
from hybridloop.emulator.pages import HEADERS, PREFIX, Pages, address, static_file
from hybridloop.emulator.service import Service
from hybridloop.emulator.settings import ClockKind
from hybridloop.emulator.tally import tallies_of
from hybridloop.emulator.visits import Visit, Visits

ITEM = re.compile(rf"{PREFIX}/(sessions|jobs)/([^/]+/[^/]+/[^/]+)/([A-Za-z0-9_.-]{{1,128}})(?:/(close|cancel))?")
PAGE = 25
MAX_FORM = 8192  # bytes
LONGEST_TEXT = 20_000  # characters of an input, output or parameters that a page shows


class Portal:
    """Answers `/` and what is below `/_portal/`; `port` is the service's own, in the cookie's name."""

    def __init__(self, service: Service, api_key: str, clock: ClockKind, port: int) -> None:
        self._service = service
        self._api_key = api_key
        self._clock = clock
        # cookies know no ports: two services on one machine must not sign each other's visitors out
        self._cookie = f"hybridloop_portal_{port}"
        self._visits = Visits()
        self._pages = Pages()

    async def answer(self, request: Request) -> Response:
        """The reply to one request."""
        visit = None
        try:
            static = static_file(request.scope["path"].removeprefix(f"{PREFIX}/"))
            if static is not None:
                return static
            visit = self._visits.find(request.cookies.get(self._cookie))
            if request.method in ("GET", "HEAD"):
                return self._show(request, visit)
            if request.method == "POST":
                return await self._act(request, visit)
            raise ServiceFault(405, "MethodNotAllowed", "Pages are read with GET, buttons send POST.")
        except ServiceFault as fault:
            return self._page("problem.html", visit, {"fault": fault}, fault.status)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it

    def _show(self, request: Request, visit: Visit | None) -> Response:
        if visit is None:
            return self._sign_in_page("")
        path: str = request.scope["path"]
        if path == "/":
            return self._overview(request, visit)
        match = ITEM.fullmatch(path)
        if match is None or match[4] is not None:
            raise not_found("This page")
        if match[1] == "sessions":
            return self._session(request, visit, match[2], match[3])
        return self._job(visit, match[2], match[3])

    async def _act(self, request: Request, visit: Visit | None) -> Response:
        if request.headers.get("origin") != f"http://{request.headers.get('host')}":
            raise ServiceFault(403, "Forbidden", "This form was not sent by a page of this service.")
        form = _form(await bounded_body(request, MAX_FORM))
        path: str = request.scope["path"]
        if visit is None or "key" in form:
            return self._sign_in(request, form)
        if not same_key(form.get("form_token"), visit.form_token):
            raise ServiceFault(403, "Forbidden", "This form is not of this sign-in; go back and load the page anew.")
        if path == f"{PREFIX}/sign-out":
            self._visits.end(visit)
            reply = _see("/")
            reply.delete_cookie(self._cookie, path="/", httponly=True, samesite="strict")
            return reply
        match = ITEM.fullmatch(path)
        if match is not None and (match[1], match[4]) == ("sessions", "close"):
            self._service.close_session(match[2], match[3])
        elif match is not None and (match[1], match[4]) == ("jobs", "cancel"):
            self._service.cancel_job(match[2], match[3])
        else:
            raise not_found("This button")
        return _see(address(match[1], match[2], match[3]))

    def _sign_in(self, request: Request, form: Mapping[str, str]) -> Response:
        """Any page's address takes the key, and leads back to that page; a button's leads to its page."""
        if "key" not in form:
            return self._sign_in_page("The sign-in is over: nothing was done.")
        if not same_key(form["key"].strip(), self._api_key):
            return self._sign_in_page("This is not the key of this service.")
        match = ITEM.fullmatch(request.scope["path"])
        reply = _see("/" if match is None else address(match[1], match[2], match[3]))
        token = self._visits.begin().token
        reply.set_cookie(self._cookie, token, path="/", httponly=True, samesite="strict")
        return reply

    def _overview(self, request: Request, visit: Visit) -> Response:
        store, asked = self._service.store, request.query_params
        sessions = newest_sessions(
            store, whole_number("sessions_before", asked.get("sessions_before"), FIRST, FIRST), PAGE
        )
        jobs = newest_lone_jobs(store, whole_number("jobs_before", asked.get("jobs_before"), FIRST, FIRST), PAGE)
        left = {line.session.key: self._service.idle_time_left(line.session) for line in sessions.lines}
        values = {"sessions": sessions, "jobs": jobs, "left": left, "is_live": True, "query": asked}
        return self._page("overview.html", visit, values)

    def _session(self, request: Request, visit: Visit, workspace: str, item: str) -> Response:
        session = self._service.session(workspace, item)
        skip = whole_number("skip", request.query_params.get("skip"), 0, FIRST)
        newest = ListQuery((), None, descending=True, skip=skip, top=PAGE)
        page = self._service.page(Listed.SESSION_JOBS, newest, workspace, item)
        values = {
            "workspace": workspace,
            "session": session,
            "tally": tallies_of(self._service.store, [session.key])[session.key],
            "left": self._service.idle_time_left(session),
            "jobs": [(workspace, job) for job in page.items],
            "newer": max(0, skip - PAGE) if skip else None,
            "older": skip + PAGE if page.more else None,
            "is_live": not session.state.is_terminal or session.state.pending > 0,
        }
        return self._page("session.html", visit, values)

    def _job(self, visit: Visit, workspace: str, item: str) -> Response:
        job = self._service.job(workspace, item)
        container, succeeded = job.request.container, job.state.status is JobStatus.SUCCEEDED
        output = self._blob(container, job.output_blob) if succeeded else None
        values = {
            "workspace": workspace,
            "job": job,
            "input": self._blob(container, job.request.input_blob),
            "parameters": _cut(json.dumps(job.request.params, indent=2, ensure_ascii=False)),
            "metadata": job.request.metadata or {},
            "histogram": None if output is None else histogram_of(output),
            "output": output,
            "shown": _shown,
            "is_live": not job.state.is_terminal,
        }
        return self._page("job.html", visit, values)

    def _blob(self, container: str, name: str) -> bytes | None:
        """The blob's content, None where it is not there; of a very large one its size in words."""
        record = self._service.containers.find(container, name)
        if record is None:
            return None
        if record.size > LARGEST_OUTPUT:
            return f"({record.size:,} bytes, too many for this page)".encode()
        return self._service.containers.read(record)

    def _sign_in_page(self, problem: str) -> Response:
        reply = self._page("sign_in.html", None, {"problem": problem}, 401)
        reply.headers["WWW-Authenticate"] = 'Cookie realm="portal"'
        return reply

    def _page(self, template: str, visit: Visit | None, values: Mapping[str, Any], status: int = 200) -> Response:
        shared = {"visit": visit, "now": self._service.clock.now(), "clock": self._clock, "is_live": False}
        return self._pages.page(template, {**shared, **values}, status)


def _see(path: str) -> Response:
    """After a form: a page to be read, so that loading it anew sends nothing again."""
    return Response(status_code=303, headers={**HEADERS, "Location": path})


def _form(body: bytes) -> dict[str, str]:
    """The fields of a form, the last of each name."""
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=16)
    except ValueError:
        raise bad_request("The form can't be read.") from None
    return {name: values[-1] for name, values in fields.items()}


def _shown(data: bytes) -> str:
    """A blob as text, cut where it is long; what is no text is named."""
    try:
        return _cut(data.decode("utf-8"))
    except UnicodeDecodeError:
        return f"({len(data):,} bytes that are no text)"


def _cut(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]}\n… ({len(text):,} characters, {LONGEST_TEXT:,} shown)"
