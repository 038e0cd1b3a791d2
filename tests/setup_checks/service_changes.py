"""Services that differ from the local one in one point: changed requests or answers, by the check that finds them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.azure.hostile_helpers import Answer, Change, HostileService

Rewrite = Callable[[str, str, bytes], tuple[str, str, bytes]]


@dataclass(frozen=True, slots=True)
class Point:
    """A changed point: the check that must name it, its group, and how to change the service."""

    check: str
    group: str
    apply: Callable[[HostileService], None]


def answers(
    operation: str, change: Callable[[Any], Any], at: str = "", nth: int = 0
) -> Callable[[HostileService], None]:
    """Change the JSON of successful answers to requests that match `at`; of the nth only, if one is given."""

    def apply(service: HostileService) -> None:
        count = 0

        def changed(answer: Answer) -> Answer:
            nonlocal count
            if answer.status >= 300 or not re.search(at, service.current):
                return answer
            count += 1
            return answer.with_json(change) if nth in (0, count) else answer

        service.changes[operation] = changed

    return apply


def statuses(operation: str, old: int, new: int, body: bytes = b"{}", at: str = "") -> Callable[[HostileService], None]:
    """Answer with another status."""

    def apply(service: HostileService) -> None:
        def changed(answer: Answer) -> Answer:
            is_meant = answer.status == old and re.search(at, service.current)
            return Answer(new, {"Content-Type": "application/json"}, body) if is_meant else answer

        service.changes[operation] = changed

    return apply


def throttled(headers: dict[str, str]) -> Callable[[HostileService], None]:
    """Answer 429 to every read of quotas."""

    def apply(service: HostileService) -> None:
        change: Change = lambda answer: Answer(429, headers, b"") if "/quotas" in service.current else answer  # noqa: E731
        service.changes["list"] = change

    return apply


def requests(rewrite: Rewrite) -> Callable[[HostileService], None]:
    """Change requests before they reach the service."""

    def apply(service: HostileService) -> None:
        service.rewrite = rewrite

    return apply


def with_fields(**fields: Any) -> Callable[[Any], Any]:
    return lambda document: {**document, **fields}


def in_items(change: Callable[[list[Any]], list[Any]]) -> Callable[[Any], Any]:
    return lambda page: {**page, "value": change(page["value"])}


def without_query(name: str) -> Rewrite:
    return lambda method, path, body: (method, re.sub(rf"&?\b{name}=[^&]*", "", path), body)


def in_query(old: str, new: str) -> Rewrite:
    return lambda method, path, body: (method, path.replace(old, new), body)


def without_text(old: bytes, new: bytes = b"") -> Rewrite:
    return lambda method, path, body: (method, path, body.replace(old, new))


def as_method(old: str, new: str) -> Rewrite:
    return lambda method, path, body: (new if method == old else method, path, body)


def in_histogram(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def changed(document: Any) -> Any:
        for entry in document["Results"][0]["Histogram"]:
            change(entry)
        return document

    return changed


def refused(code: str, message: str = "") -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()


def without_signature(document: Any) -> Any:
    return {**document, "sasUri": re.sub(r"&?\bsig=[^&]*", "", document["sasUri"])}


def in_cost(**fields: Any) -> Callable[[Any], Any]:
    """Change the cost that an ended job states."""
    return lambda job: {**job, "costEstimate": job["costEstimate"] and {**job["costEstimate"], **fields}}


def one_more(result: Any) -> Any:
    result["Results"][0]["Histogram"][0]["Count"] += 1
    return result


def pending_for(reads: int, status: str) -> Callable[[Any], Any]:
    """Show each job with this status in its first reads."""
    numbers = Counter[str]()

    def changed(job: Any) -> Any:
        numbers[job["id"]] += 1
        return {**job, "status": status} if numbers[job["id"]] <= reads else job

    return changed


def uncancelled(service: HostileService) -> None:
    """Answer cancellations without doing them."""
    service.rewrite = lambda method, path, body: (
        ("GET", path.replace(":cancel", ""), b"") if ":cancel" in path else (method, path, body)
    )
    service.changes["cancel"] = lambda _: Answer(204, {}, b"")
    answers("job", pending_for(3, "Waiting"))(service)


JOB, SESSION, JOBS = r"/jobs/[^/]+$|/jobs/[^/?]+\?", r"/sessions/[^/?]+\?", r"/jobs\?"
NEXT_DAY = "2030-01-01T00:00:00Z"

POINTS = (
    Point(
        "targets-known",
        "workspace",
        answers(
            "list", in_items(lambda v: [*v, {"id": "ionq", "targets": [{"id": "ionq.qpu.new-1"}]}]), "providerStatus"
        ),
    ),
    Point(
        "targets-status",
        "workspace",
        answers("list", in_items(lambda v: [{"id": "ionq", "targets": [{"id": "ionq.simulator"}]}]), "providerStatus"),
    ),
    Point("quotas", "workspace", statuses("list", 200, 403, refused("Forbidden"), "/quotas")),
    Point("wrong-key", "workspace", statuses("list", 401, 403, refused("Forbidden"))),
    Point("session-id", "session", answers("open", with_fields(id="another"))),
    Point("session-opened", "session", answers("open", with_fields(status="Executing"))),
    Point("session-again", "session", answers("open", with_fields(creationTime=NEXT_DAY), nth=2)),
    Point("session-changed", "session", statuses("open", 409, 200)),
    Point("session-unknown", "session", statuses("list", 404, 400, at=SESSION)),
    Point("job-unknown", "session", statuses("job", 404, 403)),
    Point("blob-upload", "job", answers("sas", without_signature)),
    Point("job-id", "job", answers("submit", with_fields(id="another"))),
    Point("job-submitted", "job", answers("submit", with_fields(status="Succeeded"))),
    Point("job-again", "job", answers("submit", with_fields(creationTime=NEXT_DAY), nth=2)),
    Point("job-changed", "job", statuses("submit", 409, 200)),
    Point("blob-again", "job", statuses("upload", 409, 201)),
    Point("blob-signature", "job", statuses("upload", 403, 201)),
    Point("session-running", "job", answers("list", with_fields(status="Waiting"), SESSION)),
    Point("job-once", "job", answers("list", in_items(lambda v: v * 2), JOBS)),
    Point(
        "blob-signed",
        "job",
        answers("list", in_items(lambda v: [{**j, "outputDataUri": "https://x/y?sig=1"} for j in v]), JOBS),
    ),
    Point("blob-result", "job", statuses("download", 200, 404, at="outputData")),
    Point("job-metadata", "job", answers("job", with_fields(metadata={"check": 1}))),
    Point("job-params", "job", answers("job", with_fields(inputParams={"count": 1}))),
    Point(
        "cost-total", "job", answers("job", with_fields(costEstimate={"currencyCode": "USD", "estimatedTotal": 1.5}))
    ),
    Point("cost-stated", "job", answers("job", with_fields(costEstimate=None))),
    Point("cost-currency", "job", answers("job", in_cost(currencyCode="EUR"))),
    Point(
        "cost-units",
        "job",
        answers("job", with_fields(costEstimate={"currencyCode": "USD", "estimatedTotal": 0, "events": []})),
    ),
    Point(
        "simulator-exact", "programs", answers("download", in_histogram(lambda e: e.update(Count=e["Count"] // 2 + 40)))
    ),
    Point("result-counts", "programs", answers("download", one_more, nth=1)),
    Point(
        "result-shots",
        "programs",
        answers("download", lambda d: {**d, "Results": [{**d["Results"][0], "Shots": None}]}),
    ),
    Point("result-order", "programs", answers("download", in_histogram(lambda e: e["Outcome"].reverse()))),
    Point("option-noise", "programs", requests(without_text(b'"noise"', b'"quiet"'))),
    Point("program-barrier", "programs", requests(without_text(b"  call void @__quantum__qis__barrier__body()\n"))),
    Point("program-bitcode", "programs", requests(without_text(b"BC\xc0\xde", b"??\xc0\xde"))),
    Point(
        "program-template",
        "programs",
        answers("download", in_histogram(lambda e: e.update(Count=e["Count"] + 1)), nth=2),
    ),
    Point("job-target", "refusals", statuses("submit", 400, 409, refused("Conflict"))),
    Point("job-unknown-target", "refusals", statuses("submit", 403, 404, refused("NotFound"))),
    Point("job-shots", "refusals", requests(without_text(b"10001", b"10"))),
    Point("list-prefix", "lists", requests(without_query("filter"))),
    Point("list-states", "lists", requests(in_query("Succeeded", "Waiting"))),
    Point("list-ascending", "lists", answers("list", in_items(lambda v: v[::-1]), "asc", nth=1)),
    Point(
        "list-default", "lists", answers("list", in_items(lambda v: v[1:] + v[:1]), r"/jobs\?(?!.*(orderby|filter))")
    ),
    Point("list-descending", "lists", answers("list", in_items(lambda v: v[::-1]), "desc")),
    Point("list-skip", "lists", requests(without_query("skip"))),
    Point("list-pages", "lists", answers("list", with_fields(nextLink=None))),
    Point("list-filter", "lists", statuses("list", 400, 200, b'{"value": []}')),
    Point("list-added", "lists", answers("list", in_items(lambda v: v[1:]), "skip=3", nth=2)),
    Point("job-labels", "changes", answers("job", with_fields(tags=[]))),
    Point("job-change-name", "changes", requests(as_method("PATCH", "GET"))),
    Point("job-delete", "changes", requests(as_method("DELETE", "GET"))),
    Point("job-deleted-id", "changes", statuses("submit", 409, 200)),
    Point("job-fails", "policy", answers("job", lambda j: {**j, "errorData": j["errorData"] and {"code": "Other"}})),
    Point("continue-session", "policy", answers("list", with_fields(status="Failed"), SESSION)),
    Point(
        "continue-closed",
        "policy",
        answers("list", lambda s: {**s, "status": s["status"].replace("Failed", "Succeeded")}, SESSION),
    ),
    Point("job-cancel", "abort", uncancelled),
    Point("abort-session", "abort", answers("list", with_fields(status="Executing"), SESSION)),
    Point(
        "abort-refuses", "abort", statuses("submit", 400, 400, refused("InvalidJobDefinition", "The session is over."))
    ),
    Point("session-close", "closing", answers("list", with_fields(status="Failed"), SESSION)),
    Point("session-close-again", "closing", answers("close", with_fields(status="Failed"), nth=2)),
    Point("session-ended", "closing", statuses("submit", 400, 409, refused("Conflict"))),
    Point(
        "rows-count",
        "rigetti",
        requests(without_text(b'"substitutions": {"theta": [[0.0], [3.14', b'"substitutions": {"theta": [[3.14')),
    ),
    Point("rows-order", "rigetti", answers("download", lambda d: {"ro": d["ro"][5:] + d["ro"][:5]}, nth=1)),
    Point("rows-listed", "rigetti", answers("list", in_items(lambda v: [{**j, "inputParams": None} for j in v]), JOBS)),
    Point("rows-independent", "rigetti", answers("download", lambda d: {"ro": d["ro"][:100] * 2}, nth=2)),
    Point("option-tket", "quantinuum", requests(without_text(b'"tket-opt-level": 1', b'"shots": -1'))),
    Point("option-native", "quantinuum", requests(without_text(b"Rxxyyzz", b"none"))),
    Point("option-tket-folded", "quantinuum", requests(without_text(b'"tket-opt-level": 0', b'"shots": -1'))),
    Point("job-statuses", "documents", answers("job", pending_for(2, "Queued"))),
    Point("session-statuses", "documents", answers("open", with_fields(status="Opening"))),
    Point("times", "documents", answers("job", with_fields(creationTime="2026-03-09T02:11:30.32+02:00"))),
    Point("calls", "calls", throttled({"Retry-After": "1"})),
    Point("calls-retry-after", "calls", throttled({})),
)
