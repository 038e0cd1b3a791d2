"""The data plane over HTTP: sessions, jobs, lists, providers, storage addresses."""

from __future__ import annotations

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
from hybridloop.emulator.operations import BASE, Operation, is_answered, route_of
from hybridloop.emulator.records import JobRecord, SessionRecord
from hybridloop.emulator.requests import (
    CONTAINER,
    blob_name_fits,
    job_changes,
    job_request,
    json_object,
    session_request,
)
from hybridloop.emulator.sas import READ_BLOB, READ_CONTAINER, SUBMISSION, Signatures
from hybridloop.emulator.service import Service
from hybridloop.emulator.views import blob_url, job_view, page_view, provider_views, quota_views, session_view

LISTS = {"sessions": Listed.SESSIONS, "jobs": Listed.JOBS, "topLevelItems": Listed.TOP_LEVEL}  # by their paths' ends

Handler = Callable[[Request, str, str], Awaitable[Response]]


class DataPlane:
    """Answers requests below a workspace's path."""

    def __init__(self, service: Service, signatures: Signatures, api_key: str) -> None:
        self._service = service
        self._signatures = signatures
        self._api_key = api_key
        self._handlers: dict[Operation, Handler] = {
            Operation.OPEN: self._open_session,
            Operation.GET_SESSION: self._get_session,
            Operation.CLOSE: self._close_session,
            Operation.SUBMIT: self._submit_job,
            Operation.GET_JOB: self._get_job,
            Operation.CHANGE_JOB: self._change_job,
            Operation.DELETE_JOB: self._delete_job,
            Operation.CANCEL: self._cancel_job,
            Operation.LIST: self._list,
            Operation.PROVIDERS: self._list_providers,
            Operation.QUOTAS: self._list_quotas,
            Operation.SAS: self._sas_uri,
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
            if base is None or not is_answered(base[4]):
                raise ServiceFault(404, "NotFound", "There is nothing at this path.")
            route = route_of(request.method, base[4])
            if route is None:
                raise ServiceFault(405, "MethodNotAllowed", f"{request.method} is not answered at this path.")
            workspace = "/".join(base.group(1, 2, 3)).lower()
            return await self._handlers[route.operation](request, workspace, route.item)
        except ServiceFault as fault:
            return fault_reply(fault)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it; the body ended early, so nothing was done

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
        view = job_view(job, _host(request))
        return json_reply({**view, "quantumComputingData": None} if is_new else view)

    async def _get_job(self, request: Request, workspace: str, item: str) -> Response:
        return json_reply(job_view(self._service.job(workspace, item), _host(request), self._reading))

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

    async def _list(self, request: Request, workspace: str, item: str) -> Response:
        asked = request.query_params
        query = parse_query(*(asked.get(key, asked.get(f"${key}")) for key in ("filter", "orderby", "skip", "top")))
        which = Listed.SESSION_JOBS if item else LISTS[request.scope["path"].rpartition("/")[2]]
        page = self._service.page(which, query, workspace, item or None)
        views = [self._view(entry, request) for entry in page.items]
        return json_reply(page_view(views, _next_link(request, query, page)))

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

    def _view(self, entry: JobRecord | SessionRecord, request: Request) -> dict[str, object]:
        return session_view(entry) if isinstance(entry, SessionRecord) else job_view(entry, _host(request))

    def _reading(self, container: str, blob: str | None) -> str:
        """The signature with which a container, or a blob in it, can be read from now on."""
        permissions = READ_CONTAINER if blob is None else READ_BLOB
        return self._signatures.query(container, blob, permissions, self._service.clock.now())


def _host(request: Request) -> str:
    """The service's address as the caller has it."""
    return f"http://{request.headers.get('host', '127.0.0.1')}"


def _next_link(request: Request, query: ListQuery, page: Page) -> str | None:
    if not page.more:
        return None
    following = replace(query, skip=query.skip + query.top)
    kept = {key: value for key, value in request.query_params.items() if key.lstrip("$") != "skip"}
    return f"{_host(request)}{request.scope['raw_path'].decode('ascii')}?{urlencode({**kept, 'skip': following.skip})}"
