"""Data plane endpoints: sessions, jobs, lists, providers, quotas and SAS URIs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from hybridloop.emulator.http.messages import (
    MAX_JSON_BYTES,
    error_response,
    json_response,
    keys_match,
    read_body,
    unauthorized_response,
)
from hybridloop.emulator.http.sas import (
    BLOB_READ_PERMISSIONS,
    CONTAINER_READ_PERMISSIONS,
    SUBMISSION_PERMISSIONS,
    SasSigner,
)
from hybridloop.emulator.http.views import blob_url, job_view, page_view, provider_views, quota_views, session_view
from hybridloop.emulator.model.errors import ApiError, bad_request
from hybridloop.emulator.model.list_query import ListQuery, parse_query
from hybridloop.emulator.model.requests import (
    CONTAINER_NAME,
    MAX_BLOB_NAME,
    is_valid_blob_name,
    parse_job_changes,
    parse_job_request,
    parse_json_object,
    parse_session_request,
)
from hybridloop.emulator.model.routes import WORKSPACE_PATH, ApiOperation, has_route, match_route
from hybridloop.emulator.service import EmulatorService
from hybridloop.emulator.store.listing import ListKind, Page
from hybridloop.emulator.store.records import StoredJob, StoredSession

LIST_PATHS = {
    "sessions": ListKind.SESSIONS,
    "jobs": ListKind.JOBS,
    "topLevelItems": ListKind.TOP_LEVEL,
}  # by the last path segment

Endpoint = Callable[[Request, str, str], Awaitable[Response]]


class DataPlane:
    """Endpoints below a workspace's path, with a check of the API key."""

    def __init__(self, service: EmulatorService, signer: SasSigner, api_key: str) -> None:
        self._service = service
        self._signer = signer
        self._api_key = api_key
        self._endpoints: dict[ApiOperation, Endpoint] = {
            ApiOperation.OPEN: self._open_session,
            ApiOperation.GET_SESSION: self._get_session,
            ApiOperation.CLOSE: self._close_session,
            ApiOperation.SUBMIT: self._submit_job,
            ApiOperation.GET_JOB: self._get_job,
            ApiOperation.CHANGE_JOB: self._change_job,
            ApiOperation.DELETE_JOB: self._delete_job,
            ApiOperation.CANCEL: self._cancel_job,
            ApiOperation.LIST: self._list,
            ApiOperation.PROVIDERS: self._list_providers,
            ApiOperation.QUOTAS: self._list_quotas,
            ApiOperation.SAS: self._sas_uri,
        }

    def is_authorized(self, request: Request) -> bool:
        """Return True if the request has the API key, in the SDK's header or as a bearer token."""
        return keys_match(request.headers.get("x-ms-quantum-api-key"), self._api_key) or keys_match(
            request.headers.get("authorization"), f"Bearer {self._api_key}"
        )

    async def handle(self, request: Request) -> Response:
        """Return the response to a request."""
        if not self.is_authorized(request):
            return unauthorized_response()
        base = WORKSPACE_PATH.fullmatch(request.scope["path"])
        try:
            if base is None or not has_route(base[4]):
                raise ApiError(404, "NotFound", "No endpoint has this path.")
            route = match_route(request.method, base[4])
            if route is None:
                raise ApiError(405, "MethodNotAllowed", f"This path does not support {request.method}.")
            workspace = "/".join(base.group(1, 2, 3)).lower()
            return await self._endpoints[route.operation](request, workspace, route.item)
        except ApiError as error:
            return error_response(error)
        except ClientDisconnect:
            return Response(
                status_code=400
            )  # never sent: the client disconnected before its body was complete, so nothing was done

    async def _open_session(self, request: Request, workspace: str, item: str) -> Response:
        body = await read_body(request, MAX_JSON_BYTES)
        return json_response(
            session_view(self._service.open_session(workspace, item, parse_session_request(body, item)))
        )

    async def _get_session(self, request: Request, workspace: str, item: str) -> Response:
        return json_response(session_view(self._service.session(workspace, item)))

    async def _close_session(self, request: Request, workspace: str, item: str) -> Response:
        return json_response(session_view(self._service.close_session(workspace, item)))

    async def _submit_job(self, request: Request, workspace: str, item: str) -> Response:
        body = await read_body(request, MAX_JSON_BYTES)
        job, is_new = self._service.submit(workspace, item, parse_job_request(body, item))
        view = job_view(job, _host(request))
        return json_response({**view, "quantumComputingData": None} if is_new else view)

    async def _get_job(self, request: Request, workspace: str, item: str) -> Response:
        return json_response(job_view(self._service.job(workspace, item), _host(request), self._read_signature))

    async def _change_job(self, request: Request, workspace: str, item: str) -> Response:
        changes = parse_job_changes(await read_body(request, MAX_JSON_BYTES))
        job = self._service.change_job(workspace, item, changes)
        return json_response({"name": job.name, "priority": job.priority, "tags": list(job.tags or ())})

    async def _delete_job(self, request: Request, workspace: str, item: str) -> Response:
        self._service.delete_job(workspace, item)
        return Response(status_code=204)

    async def _cancel_job(self, request: Request, workspace: str, item: str) -> Response:
        self._service.cancel_job(workspace, item)
        return Response(status_code=204)

    async def _list(self, request: Request, workspace: str, item: str) -> Response:
        parameters = request.query_params
        keys = ("filter", "orderby", "skip", "top")  # each also with a dollar sign, as in OData
        query = parse_query(*(parameters.get(key, parameters.get(f"${key}")) for key in keys))
        which = ListKind.SESSION_JOBS if item else LIST_PATHS[request.scope["path"].rpartition("/")[2]]
        page = self._service.page(which, query, workspace, item or None)
        views = [self._view(entry, request) for entry in page.items]
        return json_response(page_view(views, _next_link(request, query, page)))

    async def _list_providers(self, request: Request, workspace: str, item: str) -> Response:
        return json_response(page_view(provider_views(self._service.catalogue), None))

    async def _list_quotas(self, request: Request, workspace: str, item: str) -> Response:
        return json_response(page_view(quota_views(self._service.catalogue), None))

    async def _sas_uri(self, request: Request, workspace: str, item: str) -> Response:
        document = parse_json_object(await read_body(request, MAX_JSON_BYTES), "storage request")
        container, blob = document.get("containerName"), document.get("blobName")
        if not isinstance(container, str) or CONTAINER_NAME.fullmatch(container) is None:
            raise bad_request("containerName must be 3 to 63 lower-case letters, digits and single dashes.")
        if blob is not None and (not isinstance(blob, str) or not is_valid_blob_name(blob)):
            raise bad_request(f"blobName must be printable, and at most {MAX_BLOB_NAME} characters when URL-escaped.")
        self._service.containers.ensure(container)
        query = self._signer.sign(container, blob, SUBMISSION_PERMISSIONS, self._service.clock.now())
        return json_response({"sasUri": blob_url(_host(request), container, blob, query)})

    def _view(self, entry: StoredJob | StoredSession, request: Request) -> dict[str, object]:
        return session_view(entry) if isinstance(entry, StoredSession) else job_view(entry, _host(request))

    def _read_signature(self, container: str, blob: str | None) -> str:
        """Return the SAS query that grants reading a container, or a blob in it."""
        permissions = CONTAINER_READ_PERMISSIONS if blob is None else BLOB_READ_PERMISSIONS
        return self._signer.sign(container, blob, permissions, self._service.clock.now())


def _host(request: Request) -> str:
    """Return the service's base URL, with the host name that the client used."""
    return f"http://{request.headers.get('host', '127.0.0.1')}"


def _next_link(request: Request, query: ListQuery, page: Page) -> str | None:
    if not page.more:
        return None
    parameters = {key: value for key, value in request.query_params.items() if key.lstrip("$") != "skip"}
    parameters["skip"] = str(query.skip + query.top)
    return f"{_host(request)}{request.scope['raw_path'].decode('ascii')}?{urlencode(parameters)}"
