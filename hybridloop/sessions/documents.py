"""What a job's submission says, put together in one place for all who submit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridloop.sessions.results import RESULTS_V2

INPUT_BLOB = "inputData"
QIR = "qir.v1"


def job_document(container: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a job: the body, and where its input lies (a signed URL of its container) and in which format."""
    return {
        "itemType": "Job",
        "containerUri": container,
        "inputDataUri": blob_url(container, INPUT_BLOB).partition("?")[0],
        "inputDataFormat": QIR,
        "outputDataFormat": RESULTS_V2,
        **body,
    }


def blob_url(container: str, blob: str) -> str:
    """A blob of the container, with the container's signature."""
    path, _, query = container.partition("?")
    return f"{path}/{blob}?{query}"
