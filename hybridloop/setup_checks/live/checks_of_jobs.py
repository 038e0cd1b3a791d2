"""Checks of ids, submissions, storage and lists, in one session on IonQ's simulator."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from hybridloop.azure.job_document import blob_url
from hybridloop.azure.transport import FailureKind, RequestFailed
from hybridloop.setup_checks.live import programs
from hybridloop.setup_checks.live.service import IONQ, NO_TARGET, RIGETTI, LiveService, refusal

Found = Iterator[tuple[str, str]]
PAGE_JOBS = 3  # of the pages that are read


def check_session(service: LiveService) -> Found:
    """Ids of a session, and repeated requests for it."""
    session = service.open_session(IONQ, "Continue")
    session_id = service.opened[-1]
    service.main_session = session_id
    yield "session-id", "accepted under its id" if session["id"] == session_id else "another id"
    yield "session-opened", str(session.get("status"))
    yield "session-again", repeated(service, session, lambda: service.put_session(session_id, IONQ, "Continue"))
    yield "session-changed", service.outcome(lambda: service.put_session(session_id, IONQ, "Abort", "another"))
    yield "session-unknown", not_found(service, f"/sessions/{uuid.uuid4()}")
    yield "job-unknown", not_found(service, f"/jobs/{uuid.uuid4()}")


def check_job(service: LiveService) -> Found:
    """Ids of a job, repeated requests for it, its document, storage and bill."""
    session_id, job_id, data = service.main_session, str(uuid.uuid4()), programs.rotated("Base")
    container = service.upload(job_id, data)
    params = {"inputParams": {"shots": programs.SHOTS}, "metadata": {"check": 1}}
    document = service.document(container, IONQ, session_id, **params)
    submitted = service.put_job(job_id, document)
    yield "job-id", "accepted under its id" if submitted.get("id") == job_id else "another id"
    yield "job-submitted", str(submitted.get("status"))
    yield "job-again", repeated(service, submitted, lambda: service.call("PUT", f"/jobs/{job_id}", document))
    changed = {**document, "inputParams": {"shots": 7}}
    yield "job-changed", service.outcome(lambda: service.call("PUT", f"/jobs/{job_id}", changed))
    yield "blob-again", second_upload(service, blob_url(container, "inputData"), data)
    yield "blob-signature", altered_signature(service, blob_url(container, "inputData"))
    yield "session-running", str(service.session(session_id).get("status"))
    job = service.ended(job_id)
    listed = [item for item in service.jobs(session_id) if item["id"] == job_id]
    yield "job-once", f"{len(listed)} job" + "s" * (len(listed) != 1)
    urls = [("signed" if "sig=" in str(item.get("outputDataUri")) else "unsigned") for item in (job, *listed[:1])]
    yield "blob-signed", ", ".join(urls)
    yield "blob-result", how_soon(service, job)
    yield "job-metadata", "as text" if (job.get("metadata") or {}).get("check") == "1" else repr(job.get("metadata"))
    yield "job-params", "as sent" if job.get("inputParams") == document["inputParams"] else repr(job.get("inputParams"))
    yield from bill(job)
    yield "blob-shared", shared_input(service, session_id, job_id, str(document["inputDataUri"]))


def check_policy(service: LiveService) -> Found:
    """A failed job in a session of policy Continue, which is closed then."""
    session_id, data = service.main_session, programs.rotated("Base")
    yield "job-fails", service.outcome_of_job(data, IONQ, session_id, outputDataFormat="hybridloop.none.v1")
    yield "continue-session", str(service.session(session_id).get("status"))
    yield "continue-accepts", service.outcome(lambda: service.ended(service.submit(data, IONQ, session_id)))
    yield "continue-closed", str(service.close_session(session_id).get("status"))


def repeated(service: LiveService, first: dict[str, Any], send: Callable[[], dict[str, Any]]) -> str:
    """Send a request that was accepted again, and compare id and time of creation in its reply."""
    replies: list[dict[str, Any]] = []
    outcome = service.outcome(lambda: replies.append(send()))
    changed = [field for reply in replies for field in ("id", "creationTime") if reply.get(field) != first.get(field)]
    return f"{outcome}, another {changed[0]}" if changed else outcome + ", unchanged" * bool(replies)


def not_found(service: LiveService, path: str) -> str:
    """Return the status of a read that should be refused."""
    return service.outcome(lambda: service.call("GET", path)).partition(" ")[0]


def second_upload(service: LiveService, url: str, data: bytes) -> str:
    """Upload other bytes to a blob that exists."""
    created = service.transport.put_blob(url, b"other", "qir.v1")
    stored = "unchanged" if service.transport.get_blob(url) == data else "replaced"
    return f"{'accepted' if created else 'refused'}, {stored}"


def altered_signature(service: LiveService, url: str) -> str:
    """Read a blob by a signature that has another first character."""
    altered = re.sub(r"(?<=[?&]sig=)(.)", lambda match: "A" if match[1] != "A" else "B", url)
    return service.outcome(lambda: service.transport.get_blob(altered)).partition(" ")[0]


def how_soon(service: LiveService, job: dict[str, Any]) -> str:
    """Read a result at once, then as a run does."""
    try:
        service.transport.get_blob(str(job["outputDataUri"]))
        return "at once"
    except RequestFailed as failure:
        if failure.kind is not FailureKind.MISSING:
            raise
    service.result(job)
    return "within the retries"


def bill(job: dict[str, Any]) -> Found:
    """Read the cost of a job on a free target."""
    costs = job.get("costEstimate") or {}
    yield (
        "cost-total",
        f"{costs.get('estimatedTotal', 'no estimate'):.5g} {costs.get('currencyCode')}" if costs else "none",
    )
    units = sorted(str(event.get("measureUnit")) for event in costs.get("events") or ())
    yield "cost-units", ", ".join(units) or "none"


def shared_input(service: LiveService, session_id: str, job_id: str, input_url: str) -> str:
    """Submit a job whose input is another job's blob, with a container of its own."""
    other = str(uuid.uuid4())
    container = service.upload(other, b"")
    try:
        service.put_job(other, {**service.document(container, IONQ, session_id), "inputDataUri": input_url})
    except RequestFailed as failure:
        refusal(failure)
        return "refused"
    outputs = {urlsplit(str(service.ended(each).get("outputDataUri"))).path for each in (job_id, other)}
    return "results apart" if len(outputs) == 2 else "one result for both"


def check_programs(service: LiveService) -> Found:
    """Counts of a program, of the same in other forms, and with IonQ's noise model."""
    session_id, data = service.main_session, programs.rotated("Base")
    params = {"inputParams": {"shots": programs.SHOTS}}
    first = service.submit(data, IONQ, session_id, **params)
    fresh = service.submit(programs.rotated("Base", fresh=True), IONQ, session_id, **params)
    flipped = service.submit(programs.one_flipped("Base"), IONQ, session_id, **params)
    noisy_params = {"inputParams": {"shots": programs.SHOTS, "noise": {"model": "aria-1", "seed": 7}}}
    noisy = service.submit(data, IONQ, session_id, **noisy_params)
    counts = service.counts(service.ended(first))
    exact = {outcome: programs.SHOTS * probability for outcome, probability in programs.probabilities().items()}
    is_exact = all(abs(counts.get(outcome, 0) - count) <= 1.0 for outcome, count in exact.items())
    yield "simulator-exact", "exact" if is_exact else "sampled"
    is_equal = service.counts(service.ended(fresh)) == counts
    yield "program-template", "equal counts" if is_equal else "other counts"
    order = {"001": "highest first", "100": "lowest first"}
    outcomes = list(service.counts(service.ended(flipped)))
    yield "result-order", order.get(outcomes[0], outcomes[0]) if len(outcomes) == 1 else f"{len(outcomes)} outcomes"
    noise = service.ended(noisy)
    ignored = "ignored" if noise["status"] == "Succeeded" and service.counts(noise) == counts else "taken"
    yield "option-noise", ignored if noise["status"] == "Succeeded" else "refused"
    yield "program-barrier", service.outcome_of_job(programs.with_barrier(data), IONQ, session_id)
    yield "program-bitcode", service.outcome_of_job(programs.as_bitcode(data), IONQ, session_id)


def check_refusals(service: LiveService) -> Found:
    """Jobs that the service should not take."""
    session_id, data = service.main_session, programs.rotated("Base")
    yield "job-target", service.outcome(lambda: service.submit(data, RIGETTI, session_id))
    yield "job-unknown-target", service.outcome(lambda: service.submit(data, NO_TARGET, None))
    too_many = service.outcome_of_job(data, IONQ, session_id, inputParams={"shots": 10_001})
    yield "job-shots", too_many.partition(" ")[0]


def check_lists(service: LiveService) -> Found:
    """Order, filter and pages of a session's jobs."""
    session_id, data = service.main_session, programs.rotated("Base")
    while len(service.jobs(session_id)) < PAGE_JOBS + 2:
        service.submit(data, IONQ, session_id)
    every = service.jobs(session_id, orderby="CreationTime asc")
    ids = [item["id"] for item in every]
    name = str(every[0]["name"])
    named = service.jobs(session_id, filter=f"startswith(Name, '{name}')")
    expected = {item["id"] for item in every if str(item["name"]).startswith(name)}
    yield "list-prefix", "own jobs" if {item["id"] for item in named} == expected else f"{len(named)} jobs"
    yield "list-ascending", order_of(every, ids)
    yield "list-descending", order_of(service.jobs(session_id, orderby="CreationTime desc"), ids)
    yield "list-default", order_of(service.jobs(session_id), ids)
    rest = service.jobs(session_id, orderby="CreationTime asc", skip=2)
    yield "list-skip", "the others" if [item["id"] for item in rest] == ids[2:] else f"{len(rest)} of {len(ids) - 2}"
    yield "list-pages", read_pages(service, session_id, ids, lambda: None)
    yield "list-added", read_pages(service, session_id, ids, lambda: service.submit(data, IONQ, session_id))
    bad = service.outcome(lambda: service.jobs(session_id, filter="Name like 'x'"))
    yield "list-filter", bad.partition(" ")[0]


def order_of(items: list[dict[str, Any]], ascending: list[str]) -> str:
    """Return the order of jobs, of which `ascending` has the ids by time of creation."""
    ids = [item["id"] for item in items]
    if [item["id"] for item in sorted(items, key=lambda item: created(item))] == ids == ascending:
        return "ascending"
    return "descending" if ids == ascending[::-1] else "another order"


def created(item: dict[str, Any]) -> tuple[str, str]:
    """Return a key of the time of creation, whose fraction has 2 to 7 digits."""
    whole, _, fraction = str(item.get("creationTime")).rstrip("Z").removesuffix("+00:00").partition(".")
    return whole, fraction.ljust(7, "0")


def read_pages(service: LiveService, session_id: str, ids: list[str], between: Any) -> str:
    """Read all pages by their links; `between` is called after the first."""
    page = service.call("GET", f"/sessions/{session_id}/jobs", None, orderby="CreationTime asc", top=PAGE_JOBS)
    seen = [item["id"] for item in page["value"]]
    between()
    for _ in range(len(ids)):
        if not page.get("nextLink"):
            break
        page = service.call("GET", str(page["nextLink"]))
        seen += [item["id"] for item in page["value"]]
    missing = len(set(ids) - set(seen))
    if page.get("nextLink"):
        return "pages without an end"
    return f"{missing} jobs missing" if missing else "all jobs"


def check_changes(service: LiveService) -> Found:
    """Change a job's name, then delete the job."""
    session_id, data = service.main_session, programs.rotated("Base")
    job_id = service.submit(data, IONQ, session_id)
    service.ended(job_id)
    name = f"{service.prefix}-renamed"
    patched = service.outcome(lambda: service.call("PATCH", f"/jobs/{job_id}", {"name": name}))
    is_changed = patched == "accepted" and service.job(job_id).get("name") == name
    yield "job-change-name", "changed" if is_changed else patched
    deleted = service.outcome(lambda: service.call("DELETE", f"/jobs/{job_id}"))
    is_gone = all(item["id"] != job_id for item in service.jobs(session_id))
    yield "job-delete", "gone" if is_gone and deleted == "accepted" else f"{deleted}, {'gone' if is_gone else 'listed'}"
    container = service.transport.call("POST", "/storage/sasUri", body={"containerName": f"job-{job_id}"})["sasUri"]
    again = service.outcome(lambda: service.put_job(job_id, service.document(container, IONQ, session_id)))
    yield "job-deleted-id", "accepted" if again == "accepted" else "refused"
