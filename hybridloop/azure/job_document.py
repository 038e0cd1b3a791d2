"""Job documents: the JSON of a submission, built in one place for jobs and pings, and the service's JSON, checked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from hybridloop.azure.addresses import origin_of
from hybridloop.azure.redaction import foreign_text
from hybridloop.azure.transport import FailureKind, RequestFailed
from hybridloop.runtime.escaping import escape_line

INPUT_BLOB = "inputData"
OUTPUT_BLOBS = ("outputData", "rawOutputData")  # of a result in the service's own format, and in the provider's
QIR = "qir.v1"
RESULTS_V2 = "microsoft.quantum-results.v2"
QUIL = "rigetti.quil.v1"
QUIL_RESULTS = "rigetti.quil-results.v1"


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


def signed_like(container: str, url: str) -> str:
    """Return a blob's URL with a signature: its own, or that of its container, which goes to no other host."""
    if "?" in url:
        return url
    if origin_of(url) != origin_of(container):
        place = origin_of(url) or "no plain address"
        raise RequestFailed(FailureKind.ELSEWHERE, f"{place} is named for the result, and is not the job's storage")
    return f"{url}?{container.partition('?')[2]}"


_KINDS: Mapping[str, type] = {
    **dict.fromkeys(("name", "status", "target", "sessionId", "outputDataUri", "jobFailurePolicy"), str),
    **dict.fromkeys(("creationTime", "endExecutionTime"), str),
    **dict.fromkeys(("metadata", "inputParams", "costEstimate"), dict),
    "targets": list,
}
_CREDITS = {"hqc": "HQC", "ehqc": "eHQC"}  # Quantinuum's credits, which the service lists beside a total of 0 USD
_LONGEST_UNIT = 8  # characters
_MAX_TEXT = 1000  # characters of an error's message
_MOST = 1e12  # of any unit: no amount and no time of the service is above


def checked_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a session, job or provider of the service, its control characters escaped.

    A field of another type than the service's reads as None.

    `errorData` becomes None or an object with `code` and `message`, each text or None.
    """
    wrong = {key: None for key, kind in _KINDS.items() if key in item and not isinstance(item[key], kind)}
    texts = {key: escape_line(value) for key, value in item.items() if isinstance(value, str)}
    error = {"errorData": _error_data(item["errorData"])} if "errorData" in item else {}
    return {**item, **texts, **wrong, **error}


def _error_data(data: Any) -> dict[str, str | None] | None:
    """Return the code and the message of a job's error; of a list its first object counts, and text is a message."""
    if isinstance(data, list):
        data = next((part for part in data if isinstance(part, dict)), {"message": "an error of an unknown form"})
    if isinstance(data, str):
        data = {"message": data}
    if not isinstance(data, dict):
        return None
    return {
        key: foreign_text(text, _MAX_TEXT) if isinstance(text := data.get(key), str) else None
        for key in ("code", "message")
    }


def checked_amount(value: object) -> float | None:
    """Return a number of the service that can be an amount or a time; None for any other value.

    >>> [checked_amount(value) for value in (2, 0.5, -1, float("nan"), True, "2")]
    [2, 0.5, None, None, None, None]
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value < _MOST else None  # type: ignore[operator, return-value]  # it is a number


def billed_amounts(estimate: Mapping[str, Any] | None) -> dict[str, float] | None:
    """Return the amounts of a job's `costEstimate` by unit (USD, HQC, eHQC, …); None if it has none, as failed jobs.

    An estimate with an amount that can't be one (negative, NaN, text) states no cost: the reserved amount counts then.
    """
    stated = estimate if isinstance(estimate, dict) else {}
    events = stated.get("events")
    lines = [line for line in events if isinstance(line, dict)] if isinstance(events, list) else []
    charges: list[tuple[object, object]] = [
        (_CREDITS[name], line.get("amountBilled"))
        for line in lines
        if isinstance(name := line.get("dimensionId"), str) and name in _CREDITS
    ]
    billed: defaultdict[str, float] = defaultdict(float)
    for unit, amount in charges or [(stated.get("currencyCode"), stated.get("estimatedTotal"))]:
        checked = checked_amount(amount)
        if checked is None or not isinstance(unit, str) or len(unit) > _LONGEST_UNIT:
            return None
        billed[unit] += checked
    return dict(billed)
