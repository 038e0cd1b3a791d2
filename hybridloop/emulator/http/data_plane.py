"""Data plane endpoints: sessions, jobs, lists, providers, quotas and SAS URIs, and their documents in responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from hybridloop.emulator.clock import format_time
from hybridloop.emulator.http.messages import (
    MAX_JSON_BYTES,
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
from hybridloop.emulator.model.errors import ApiError, bad_request
from hybridloop.emulator.model.job import JobStatus
from hybridloop.emulator.model.list_query import IsOneOf, ListProperty, ListQuery, parse_query
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
from hybridloop.emulator.model.targets import Catalogue, Target
from hybridloop.emulator.service import EmulatorService
from hybridloop.emulator.settings import WorkspaceKind
from hybridloop.emulator.simulation.memory import simulated_qubits
from hybridloop.emulator.store.listing import ListKind, Page
from hybridloop.emulator.store.records import StoredJob, StoredSession

# by the last path segment
LIST_PATHS = {"sessions": ListKind.SESSIONS, "jobs": ListKind.JOBS, "topLevelItems": ListKind.TOP_LEVEL}
V2_STATUSES = {JobStatus.WAITING: "Queued", JobStatus.SUCCEEDED: "Completed"}  # words of a v2 workspace


class DataPlane:
    """Endpoints below a workspace's path, with a check of the API key; `memory` bytes are those of all simulations."""

    def __init__(
        self, service: EmulatorService, signer: SasSigner, api_key: str, kind: WorkspaceKind, memory: int
    ) -> None:
        self._service = service
        self._is_v2 = kind is WorkspaceKind.V2
        self._signer = signer
        self._api_key = api_key
        self._memory = memory

    def is_authorized(self, request: Request) -> bool:
        """Return True if the request has the API key, in the SDK's header or as a bearer token."""
        return keys_match(request.headers.get("x-ms-quantum-api-key"), self._api_key) or keys_match(
            request.headers.get("authorization"), f"Bearer {self._api_key}"
        )

    async def handle(self, request: Request) -> Response:
        """Return the response to a request. Raises ApiError."""
        if not self.is_authorized(request):
            return unauthorized_response()
        base = WORKSPACE_PATH.fullmatch(request.scope["path"])
        if base is None or not has_route(base[4]):
            raise ApiError(404, "NotFound", "No endpoint has this path.")
        route = match_route(request.method, base[4])
        if route is None:
            raise ApiError(405, "MethodNotAllowed", f"This path does not support {request.method}.")
        workspace = "/".join(base.group(1, 2, 3)).lower()
        document = await self._execute(route.operation, request, workspace, route.item)
        return Response(status_code=204) if document is None else json_response(document)

    async def _execute(
        self, operation: ApiOperation, request: Request, workspace: str, item: str
    ) -> dict[str, Any] | None:
        """Execute an operation, on the session or job `item` if it has one; return its document, None for none."""
        service = self._service
        match operation:
            case ApiOperation.OPEN:
                session_request = parse_session_request(await read_body(request, MAX_JSON_BYTES), item)
                return session_view(service.open_session(workspace, item, session_request))
            case ApiOperation.GET_SESSION:
                return session_view(service.session(workspace, item))
            case ApiOperation.CLOSE:
                return session_view(service.close_session(workspace, item))
            case ApiOperation.SUBMIT:
                job_request = parse_job_request(await read_body(request, MAX_JSON_BYTES), item)
                job, is_new = service.submit(workspace, item, job_request)
                view = self._job_view(job, _host(request))
                return {**view, "quantumComputingData": None} if is_new else view
            case ApiOperation.GET_JOB:
                return self._job_view(service.job(workspace, item), _host(request), self._read_signature)
            case ApiOperation.CHANGE_JOB:
                changes = parse_job_changes(await read_body(request, MAX_JSON_BYTES))
                job = service.change_job(workspace, item, changes)
                return {"name": job.name, "priority": job.priority, "tags": list(job.tags or ())}
            case ApiOperation.DELETE_JOB:
                service.delete_job(workspace, item)
                return None
            case ApiOperation.CANCEL:
                service.cancel_job(workspace, item)
                return None
            case ApiOperation.LIST:
                return self._list(request, workspace, item)
            case ApiOperation.PROVIDERS:
                return page_view(provider_views(service.catalogue, self._memory), None)
            case ApiOperation.QUOTAS:
                return page_view([dict(quota) for p in service.catalogue.providers for quota in p.quotas], None)
            case _:
                return self._sas_uri(await read_body(request, MAX_JSON_BYTES), request)

    def _job_view(self, job: StoredJob, base: str, *sign: Callable[[str, str | None], str]) -> dict[str, Any]:
        """Return a job's document, whose status is in the words of the workspace's kind.

        While it runs, `expectedSeconds`, which Azure's lacks, are those of its simulation, if they are more than a few.
        """
        view = job_view(job, base, *sign)
        if not job.state.is_terminal and (seconds := self._service.queue.expected_s(job.key)) is not None:
            view["expectedSeconds"] = seconds
        return {**view, "status": V2_STATUSES.get(view["status"], view["status"])} if self._is_v2 else view

    def _in_v1(self, query: ListQuery) -> ListQuery:
        """Return a query whose filter by states is in a v1 workspace's words."""
        if not self._is_v2:
            return query
        in_v1 = {text.lower(): str(status) for status, text in V2_STATUSES.items()}
        terms = tuple(
            IsOneOf(term.property, tuple(in_v1.get(value.lower(), value) for value in term.values))
            if isinstance(term, IsOneOf) and term.property is ListProperty.STATE
            else term
            for term in query.terms
        )
        return replace(query, terms=terms)

    def _list(self, request: Request, workspace: str, item: str) -> dict[str, Any]:
        parameters, base = request.query_params, _host(request)
        keys = ("filter", "orderby", "skip", "top")  # each also with a dollar sign, as in OData
        query = parse_query(*(parameters.get(key, parameters.get(f"${key}")) for key in keys))
        which = ListKind.SESSION_JOBS if item else LIST_PATHS[request.scope["path"].rpartition("/")[2]]
        page = self._service.page(which, self._in_v1(query), workspace, item or None)
        views = [session_view(i) if isinstance(i, StoredSession) else self._job_view(i, base) for i in page.items]
        return page_view(views, _next_link(request, query, page))

    def _sas_uri(self, body: bytes, request: Request) -> dict[str, Any]:
        document = parse_json_object(body, "storage request")
        container, blob = document.get("containerName"), document.get("blobName")
        if not isinstance(container, str) or CONTAINER_NAME.fullmatch(container) is None:
            raise bad_request("containerName must be 3 to 63 lower-case letters, digits and single dashes.")
        if blob is not None and (not isinstance(blob, str) or not is_valid_blob_name(blob)):
            raise bad_request(f"blobName must be printable, and at most {MAX_BLOB_NAME} characters when URL-escaped.")
        self._service.containers.ensure(container)
        query = self._signer.sign(container, blob, SUBMISSION_PERMISSIONS, self._service.clock.now())
        return {"sasUri": blob_url(_host(request), container, blob, query)}

    def _read_signature(self, container: str, blob: str | None) -> str:
        """Return the SAS query that grants reading a container, or a blob in it."""
        permissions = CONTAINER_READ_PERMISSIONS if blob is None else BLOB_READ_PERMISSIONS
        return self._signer.sign(container, blob, permissions, self._service.clock.now())


def _host(request: Request) -> str:
    return f"http://{request.headers.get('host', '127.0.0.1')}"


def _next_link(request: Request, query: ListQuery, page: Page) -> str | None:
    if not page.more:
        return None
    parameters = {key: value for key, value in request.query_params.items() if key.lstrip("$") != "skip"}
    parameters["skip"] = str(query.skip + len(page.items))
    return f"{_host(request)}{request.scope['raw_path'].decode('ascii')}?{urlencode(parameters)}"


def session_view(session: StoredSession) -> dict[str, Any]:
    """Return a session's document: eleven keys, plus priority and tags if the client set them."""
    state = session.state
    view: dict[str, Any] = {
        "status": state.status,
        "jobFailurePolicy": state.policy,
        "jobPriority": session.priority or "Basic",
        "name": session.name,
        "id": session.id,
        "providerId": session.provider_id,
        "target": session.target,
        "creationTime": format_time(state.opened),
        "endExecutionTime": _time_or_none(state.ended, "Z"),
        "costEstimate": None,
        "itemType": "Session",
    }
    if session.priority is not None:
        view["priority"] = session.priority
    if session.tags is not None:
        view["tags"] = session.tags
    return view


def blob_url(base: str, container: str, blob: str | None = None, query: str = "") -> str:
    """Return the URL of a container or blob.

    The container is in the path twice: with an IP address, storage clients take the first part for the account.
    """
    path = f"{base}/{container}/{container}" + ("" if blob is None else f"/{quote(blob)}")
    return f"{path}?{query}" if query else path


def job_view(
    job: StoredJob, base: str, sign: Callable[[str, str | None], str] = lambda container, blob: ""
) -> dict[str, Any]:
    """Return a job's document: 26 keys, plus priority if the client set one.

    `sign` returns the SAS queries of its three URIs, by container and blob (None: the whole container). Without it the
    URIs locate blobs, and grant no access.
    """
    request, state = job.request, job.state

    def url(blob: str | None) -> str:
        return blob_url(base, request.container, blob, sign(request.container, blob))

    view = {
        "containerUri": url(None),
        "inputDataUri": url(request.input_blob),
        "inputDataFormat": request.input_format,
        "inputParams": request.params,
        "metadata": request.metadata,
        "sessionId": request.session_id,
        "jobPriority": "Basic",
        "status": state.status,
        "jobType": "QuantumComputing",
        "outputDataFormat": request.output_format,
        "outputDataUri": url(job.output_blob),
        "beginExecutionTime": _time_or_none(state.began, "Z"),
        "cancellationTime": _time_or_none(state.cancelled, "Z"),
        "lastModifiedTime": _time_or_none(state.modified, "+00:00"),
        "quantumComputingData": {"count": 1},
        "errorData": None if state.error is None else {"code": state.error.code, "message": state.error.message},
        "isCancelling": False,
        "tags": list(job.tags or ()),
        "name": job.name,
        "id": job.id,
        "providerId": request.provider_id,
        "target": request.target,
        "creationTime": format_time(state.created, "+00:00"),
        "endExecutionTime": _time_or_none(state.ended if state.finished is None else state.finished, "Z"),
        "costEstimate": job.bill.cost_estimate() if job.bill and state.status is JobStatus.SUCCEEDED else None,
        "itemType": "Job",
    }
    if job.priority is not None:
        view["priority"] = job.priority
    return view


def _time_or_none(moment: float | None, zone: str) -> str | None:
    return None if moment is None else format_time(moment, zone)


def provider_views(catalogue: Catalogue, memory: int) -> list[dict[str, Any]]:
    """Return the status of all providers; `simulatedQubits`, which Azure's lacks, are what fits into the memory."""
    return [
        {
            "id": provider.id,
            "currentAvailability": provider.availability,
            "targets": [
                {
                    "id": target.id,
                    "currentAvailability": target.availability,
                    "averageQueueTime": target.queue_s,
                    "statusPage": target.status_page,
                    **(
                        {"numQubits": target.num_qubits, "targetProfile": target.profile} if target.states_facts else {}
                    ),
                    **({} if target.echoes or target.checks_only else _simulated(target, memory)),
                }
                for target in provider.targets
            ],
        }
        for provider in catalogue.providers
    ]


def _simulated(target: Target, memory: int) -> dict[str, Any]:
    widest = target.stabilizer_qubits or target.num_qubits
    return {"simulatedQubits": {"anyGates": simulated_qubits(target, memory), "cliffordGates": widest}}


def page_view(items: Sequence[dict[str, Any]], next_link: str | None) -> dict[str, Any]:
    return {"value": items, "nextLink": next_link}
