"""Job document: the JSON body of a job's submission, built in one place for jobs and keep-alive pings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INPUT_BLOB = "inputData"
QIR = "qir.v1"
RESULTS_V2 = "microsoft.quantum-results.v2"


def job_document(container: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body with the job's container (a signed URL), the URL of its input, and the data formats."""
    return {
        "itemType": "Job",
        "containerUri": container,
        "inputDataUri": blob_url(container, INPUT_BLOB).partition("?")[0],
        "inputDataFormat": QIR,
        "outputDataFormat": RESULTS_V2,
        **body,
    }


def blob_url(container: str, blob: str) -> str:
    """Return a blob's URL with the signature of its container's URL."""
    path, _, query = container.partition("?")
    return f"{path}/{blob}?{query}"
