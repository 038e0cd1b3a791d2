"""How sessions, jobs, providers and pages look in replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from hybridloop.emulator.clock import utc_text
from hybridloop.emulator.job import JobStatus
from hybridloop.emulator.records import JobRecord, SessionRecord
from hybridloop.emulator.targets import Catalogue


def session_view(session: SessionRecord) -> dict[str, Any]:
    """A session's reply: eleven keys, and tags where the caller gave some."""
    state = session.state
    view: dict[str, Any] = {
        "status": state.status,
        "jobFailurePolicy": state.policy,
        "jobPriority": session.priority or "Basic",
        "name": session.name,
        "id": session.id,
        "providerId": session.provider_id,
        "target": session.target,
        "creationTime": utc_text(state.opened),
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
    """The URL of a container or blob; the container stands twice, as storage clients expect of an IP address."""
    path = f"{base}/{container}/{container}" + ("" if blob is None else f"/{quote(blob)}")
    return f"{path}?{query}" if query else path


def unsigned(container: str, blob: str | None) -> str:
    """No signature: the URI says where something is, and opens nothing."""
    return ""


def job_view(job: JobRecord, base: str, sign: Callable[[str, str | None], str] = unsigned) -> dict[str, Any]:
    """A job's reply: 26 keys. `sign` gives the queries of its three URIs, by container and blob (None: all blobs)."""
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
        "creationTime": utc_text(state.created, "+00:00"),
        "endExecutionTime": _time_or_none(state.ended if state.finished is None else state.finished, "Z"),
        "costEstimate": job.bill.cost_estimate() if job.bill and state.status is JobStatus.SUCCEEDED else None,
        "itemType": "Job",
    }
    if job.priority is not None:
        view["priority"] = job.priority
    return view


def _time_or_none(moment: float | None, zone: str) -> str | None:
    return None if moment is None else utc_text(moment, zone)


def provider_views(catalogue: Catalogue) -> list[dict[str, Any]]:
    """What `providerStatus` lists."""
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
    """What `quotas` lists."""
    return [dict(quota) for provider in catalogue.providers for quota in provider.quotas]


def page_view(items: Sequence[dict[str, Any]], next_link: str | None) -> dict[str, Any]:
    """A page of a list."""
    return {"value": items, "nextLink": next_link}
