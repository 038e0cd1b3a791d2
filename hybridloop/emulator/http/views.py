"""JSON documents of sessions, jobs, providers, quotas and list pages in responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from hybridloop.emulator.clock import format_time
from hybridloop.emulator.model.job import JobStatus
from hybridloop.emulator.model.targets import Catalogue
from hybridloop.emulator.store.records import StoredJob, StoredSession


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


def no_signature(container: str, blob: str | None) -> str:
    """Return an empty SAS query: the URI locates a blob, and grants no access."""
    return ""


def job_view(job: StoredJob, base: str, sign: Callable[[str, str | None], str] = no_signature) -> dict[str, Any]:
    """Return a job's document: 26 keys, plus priority if the client set one.

    `sign` returns the SAS queries of its three URIs, by container and blob (None: the whole container).
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


def provider_views(catalogue: Catalogue) -> list[dict[str, Any]]:
    """Return the items of the `providerStatus` list."""
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
                    "numQubits": target.num_qubits,
                    "targetProfile": target.profile,
                }
                for target in provider.targets
            ],
        }
        for provider in catalogue.providers
    ]


def quota_views(catalogue: Catalogue) -> list[dict[str, Any]]:
    """Return the items of the `quotas` list."""
    return [dict(quota) for provider in catalogue.providers for quota in provider.quotas]


def page_view(items: Sequence[dict[str, Any]], next_link: str | None) -> dict[str, Any]:
    """Return the document of one list page."""
    return {"value": items, "nextLink": next_link}
