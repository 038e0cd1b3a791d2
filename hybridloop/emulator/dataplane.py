"""The data plane over HTTP: sessions, jobs, lists, providers, storage addresses."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from hybridloop.emulator.faults import ServiceFault, bad_request
from hybridloop.emulator.filters import ListQuery, parse_query
from hybridloop.emulator.http import (
    MAX_DOCUMENT,
    bounded_body,
    fault_reply,
    json_reply,
    same_key,
    unauthorized,
)
from hybridloop.emulator.listing import Listed, Page
from hybridloop.emulator.records import JobRecord, SessionRecord
from hybridloop.emulator.requests import (
    CONTAINER,
    blob_name_fits,
    job_changes,
    job_request,
    json_object,
    session_request,
)
from hybridloop.emulator.sas import SUBMISSION, Signatures
from hybridloop.emulator.service import Service
from hybridloop.emulator.views import blob_url, job_view, page_view, provider_views, quota_views, session_view

BASE = re.compile(
    r"/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers/microsoft\.quantum/workspaces/([^/]+)(/.*)",
    re.IGNORECASE,
)
ITEM = re.compile(r"/(sessions|jobs)/([A-Za-z0-9_.-]{1,128})(:close|:cancel|/jobs)?")

Handler = Callable[[Request, str, str], Awaitable[Response]]


class DataPlane:
    """Answers requests below a workspace's path."""

    def __init__(self, service: Service, signatures: Signatures, api_key: str) -> None:
        self._service = service
        self._signatures = signatures
        self._api_key = api_key
        self._fixed: dict[tuple[str, str], Handler] = {
            ("GET", "/sessions"): self._list_sessions,
            ("GET", "/jobs"): self._list_jobs,
            ("GET", "/topLevelItems"): self._list_top_level,
            ("GET", "/providerStatus"): self._list_providers,
            ("GET", "/quotas"): self._list_quotas,
            ("POST", "/storage/sasUri"): self._sas_uri,
        }
        self._items: dict[tuple[str, str, str | None], Handler] = {
            ("PUT", "sessions", None): self._open_session,
            ("GET", "sessions", None): self._get_session,
            ("POST", "sessions", ":close"): self._close_session,
            ("GET", "sessions", "/jobs"): self._list_session_jobs,
            ("PUT", "jobs", None): self._submit_job,
            ("GET", "jobs", None): self._get_job,
            ("PATCH", "jobs", None): self._change_job,
            ("DELETE", "jobs", None): self._delete_job,
            ("POST", "jobs", ":cancel"): self._cancel_job,
        }

    def admits(self, request: Request) -> bool:
        """Whether the request has the key, as the SDK sends it or as a bearer token."""
        return same_key(request.headers.get("x-ms-quantum-api-key"), self._api_key) or same_key(
            request.headers.get("authorization"), f"Bearer {self._api_key}"
        )

    async def answer(self, request: Request) -> Response:
        """The reply to one request."""
        if not self.admits(request):
            return unauthorized()
        base = BASE.fullmatch(request.scope["path"])
        try:
            if base is None:
                raise ServiceFault(404, "NotFound", "There is nothing at this path.")
            workspace = "/".join(base.group(1, 2, 3)).lower()
            handler, item = self._handler(request.method, base[4])
            return await handler(request, workspace, item)
        except ServiceFault as fault:
            return fault_reply(fault)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it; the body ended early, so nothing was done

    def _handler(self, method: str, path: str) -> tuple[Handler, str]:
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed, ""
        match = ITEM.fullmatch(path)
        if match is not None:
            handler = self._items.get((method, match[1], match[3]))
            if handler is not None:
                return handler, match[2]
        known = any(path == fixed_path for _, fixed_path in self._fixed) or (
            match is not None and any((match[1], match[3]) == key[1:] for key in self._items)
        )
        if known:
            raise ServiceFault(405, "MethodNotAllowed", f"{method} is not answered at this path.")
        raise ServiceFault(404, "NotFound", "There is nothing at this path.")

    async def _open_session(self, request: Request, workspace: str, item: str) -> Response:
        body = await bounded_body(request, MAX_DOCUMENT)
        return json_reply(session_view(self._service.open_session(workspace, item, session_request(body, item))))

    async def _get_session(self, request: Request, workspace: str, item: str) -> Response:
        return json_reply(session_view(self._service.session(workspace, item)))

    async def _close_session(self, request: Request, workspace: str, item: str) -> Response:
        return json_reply(session_view(self._service.close_session(workspace, item)))

    async def _submit_job(self, request: Request, workspace: str, item: str) -> Response:
        body = await bounded_body(request, MAX_DOCUMENT)
        job, is_new = self._service.submit(workspace, item, job_request(body, item))
        view = self._job_view(job, request)
        return json_reply({**view, "quantumComputingData": None} if is_new else view)

    async def _get_job(self, request: Request, workspace: str, item: str) -> Response:
        job = self._service.job(workspace, item)
        return json_reply(self._job_view(job, request, signatures=self._signatures))

    async def _change_job(self, request: Request, workspace: str, item: str) -> Response:
        changes = job_changes(await bounded_body(request, MAX_DOCUMENT))
        job = self._service.change_job(workspace, item, changes)
        return json_reply({"name": job.name, "priority": job.priority, "tags": list(job.tags or ())})

    async def _delete_job(self, request: Request, workspace: str, item: str) -> Response:
        self._service.delete_job(workspace, item)
        return Response(status_code=204)

    async def _cancel_job(self, request: Request, workspace: str, item: str) -> Response:
        self._service.cancel_job(workspace, item)
        return Response(status_code=204)

    async def _list_sessions(self, request: Request, workspace: str, item: str) -> Response:
        return self._page(request, Listed.SESSIONS, workspace, None)

    async def _list_jobs(self, request: Request, workspace: str, item: str) -> Response:
        return self._page(request, Listed.JOBS, workspace, None)

    async def _list_session_jobs(self, request: Request, workspace: str, item: str) -> Response:
        return self._page(request, Listed.SESSION_JOBS, workspace, item)

    async def _list_top_level(self, request: Request, workspace: str, item: str) -> Response:
        return self._page(request, Listed.TOP_LEVEL, workspace, None)

    async def _list_providers(self, request: Request, workspace: str, item: str) -> Response:
        return json_reply(page_view(provider_views(self._service.catalogue), None))

    async def _list_quotas(self, request: Request, workspace: str, item: str) -> Response:
        return json_reply(page_view(quota_views(self._service.catalogue), None))

    async def _sas_uri(self, request: Request, workspace: str, item: str) -> Response:
        document = json_object(await bounded_body(request, MAX_DOCUMENT), "storage request")
        container, blob = document.get("containerName"), document.get("blobName")
        if not isinstance(container, str) or CONTAINER.fullmatch(container) is None:
            raise bad_request("containerName must be 3 to 63 lower-case letters, digits and single dashes.")
        if blob is not None and (not isinstance(blob, str) or not blob_name_fits(blob)):
            raise bad_request("blobName is not a name that this storage takes.")
        self._service.containers.ensure(container)
        query = self._signatures.query(container, blob, SUBMISSION, self._service.clock.now())
        return json_reply({"sasUri": blob_url(_host(request), container, blob, query)})

    def _page(self, request: Request, which: Listed, workspace: str, session_id: str | None) -> Response:
        asked = request.query_params
        query = parse_query(*(asked.get(key, asked.get(f"${key}")) for key in ("filter", "orderby", "skip", "top")))
        page = self._service.page(which, query, workspace, session_id)
        views = [self._view(item, request) for item in page.items]
        return json_reply(page_view(views, _next_link(request, query, page)))

    def _view(self, item: JobRecord | SessionRecord, request: Request) -> dict[str, object]:
        return session_view(item) if isinstance(item, SessionRecord) else self._job_view(item, request)

    def _job_view(self, job: JobRecord, request: Request, signatures: Signatures | None = None) -> dict[str, object]:
        return job_view(job, _host(request), signed_at=self._service.clock.now(), signatures=signatures)


def _host(request: Request) -> str:
    """The service's address as the caller has it."""
    return f"http://{request.headers.get('host', '127.0.0.1')}"


def _next_link(request: Request, query: ListQuery, page: Page) -> str | None:
    if not page.more:
        return None
    following = replace(query, skip=query.skip + query.top)
    kept = {key: value for key, value in request.query_params.items() if key.lstrip("$") != "skip"}
    return f"{_host(request)}{request.scope['raw_path'].decode('ascii')}?{urlencode({**kept, 'skip': following.skip})}"
