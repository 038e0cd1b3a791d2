"""Checks of ids, submissions, storage and programs, in one session on IonQ's simulator."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from hybridloop.azure.job_document import blob_url
from hybridloop.azure.transport import FailureKind, RequestFailed
from hybridloop.setup_checks.live import programs
from hybridloop.setup_checks.live.service import (
    IONQ,
    NO_TARGET,
    QUANTINUUM,
    RIGETTI,
    Found,
    LiveService,
    NotShown,
    counts_of,
    ending,
    refusal,
    unknown,
)
from hybridloop.tasks.submission.jobs import SUCCEEDED


def check_session(service: LiveService) -> Found:
    """Ids of a session, and repeated requests for it."""
    try:
        session = service.open_session(IONQ, "Continue")
    except NotShown as error:
        service.main_session_reason = str(error)
        raise
    session_id = service.opened[-1]
    yield "session-id", "accepted under its id" if session.get("id") == session_id else "another id"
    service.main_session = session_id
    yield "session-opened", str(session.get("status"))

    def again(name: str = "") -> dict[str, Any]:
        return service.put_session(session_id, IONQ, "Continue", name)

    yield "session-again", lambda: repeated(service, session, again)
    yield "session-changed", lambda: service.outcome(lambda: again("another"))
    yield "session-unknown", lambda: not_found(service, f"/sessions/{uuid.uuid4()}")
    yield "job-unknown", lambda: not_found(service, f"/jobs/{uuid.uuid4()}")


def check_job(service: LiveService) -> Found:
    """Ids of a job, repeated requests for it, its document, storage and bill."""
    session_id, job_id, data = service.main_session, str(uuid.uuid4()), programs.rotated("Base")
    container = service.upload(job_id, data)
    yield "blob-upload", "accepted"
    yield "blob-signature", lambda: altered_signature(service, container, data)
    yield "blob-again", lambda: second_upload(service, container)
    params = {"inputParams": {"shots": programs.SHOTS}, "metadata": {"check": 1}}
    document = service.document(container, IONQ, session_id, **params)
    calls_before = service.calls_repeated
    submitted = service.put_job(job_id, document)
    yield "job-id", "accepted under its id" if submitted.get("id") == job_id else "another id"
    is_first = service.calls_repeated == calls_before
    yield "job-submitted", str(submitted.get("status")) if is_first else unknown("the first answer was lost")
    path = f"/jobs/{job_id}"
    yield "job-again", lambda: repeated(service, submitted, lambda: service.call("PUT", path, document))
    changed = {**document, "name": "another"}
    yield "job-changed", lambda: service.outcome(lambda: service.call("PUT", path, changed))
    yield "session-running", lambda: service.session_status(session_id, "Executing")
    yield "job-once", lambda: listed_once(service, session_id, job_id)
    try:
        job = service.ended(job_id)
    except NotShown:
        job = service.run(data, IONQ, session_id, **params)
    yield "job-ended", ending(job)
    job = service.succeeded(job)
    yield "blob-result", lambda: how_soon(service, job)
    yield "blob-signed", lambda: signed_urls(service, session_id, job)
    yield "job-metadata", "as text" if (job.get("metadata") or {}).get("check") == "1" else repr(job.get("metadata"))
    yield "job-params", "as sent" if job.get("inputParams") == document["inputParams"] else repr(job.get("inputParams"))
    yield from bill(job)
    yield "blob-shared", lambda: shared_input(service, session_id, job, str(document["inputDataUri"]))


def repeated(service: LiveService, first: dict[str, Any], send: Callable[[], dict[str, Any]]) -> str:
    """Send a request that was accepted again, and compare id and time of creation in its reply."""
    replies: list[dict[str, Any]] = []
    outcome = service.outcome(lambda: replies.append(send()))
    changed = [field for reply in replies for field in ("id", "creationTime") if reply.get(field) != first.get(field)]
    return f"{outcome}, another {changed[0]}" if changed else outcome + ", unchanged" * bool(replies)


def not_found(service: LiveService, path: str) -> str:
    """Return the status of a read that should be refused."""
    return service.outcome(lambda: service.call("GET", path)).partition(" ")[0]


def second_upload(service: LiveService, container: str) -> str:
    """Upload other bytes to a blob that exists."""
    url = blob_url(container, "check")
    service.blob(lambda: service.transport.put_blob(url, b"first", "qir.v1"))
    is_created = service.blob(lambda: service.transport.put_blob(url, b"second", "qir.v1"))
    stored = "unchanged" if service.blob(lambda: service.transport.get_blob(url)) == b"first" else "replaced"
    return f"{'accepted' if is_created else 'refused'}, {stored}"


def altered_signature(service: LiveService, container: str, data: bytes) -> str:
    """Upload by a signature that has another first character."""
    altered = re.sub(r"(?<=[?&]sig=)(.)", lambda match: "A" if match[1] != "A" else "B", container)
    if altered == container:
        return "no signature"
    send = lambda: service.transport.put_blob(blob_url(altered, "unsigned"), data, "qir.v1")  # noqa: E731
    return service.outcome(lambda: service.blob(send)).partition(" ")[0]


def listed_once(service: LiveService, session_id: str, job_id: str) -> str:
    """Count a job in the list of its session's jobs."""

    def count() -> str:
        number: int = sum(item["id"] == job_id for item in service.jobs(session_id))
        return f"{number} job" + "s" * (number != 1)

    return service.settled(count, "1 job")


def signed_urls(service: LiveService, session_id: str, job: dict[str, Any]) -> str:
    """Return if a job that is read alone, and one in a list, have URLs with a signature."""
    listed = [item for item in service.jobs(session_id) if item["id"] == job["id"]]
    return ", ".join("signed" if "sig=" in str(each.get("outputDataUri")) else "unsigned" for each in (job, *listed))


def how_soon(service: LiveService, job: dict[str, Any]) -> str:
    """Read a result at once, then as a run does."""
    if not job.get("outputDataUri"):
        return "no address"
    try:
        service.blob(lambda: service.transport.get_blob(str(job["outputDataUri"])))
        return "at once"
    except RequestFailed as failure:
        if failure.kind is not FailureKind.MISSING:
            raise
    service.result(job)
    return "within the retries"


def bill(job: dict[str, Any]) -> Found:
    """Read the cost of a job on a free target."""
    costs = job.get("costEstimate") or {}
    yield "cost-stated", "stated" if costs else "left out"
    if not costs:
        raise NotShown("the job states no cost")
    total, unit = costs.get("estimatedTotal"), costs.get("currencyCode")
    yield "cost-total", "0" if total == 0 else repr(total)
    yield "cost-currency", str(unit)
    units = sorted(str(event.get("measureUnit")) for event in costs.get("events") or ())
    yield "cost-units", ", ".join(units) or "none"


def shared_input(service: LiveService, session_id: str, job: dict[str, Any], input_url: str) -> str:
    """Submit a job whose input is another job's blob, with a container of its own."""
    other = str(uuid.uuid4())
    container = service.upload(other, b"")
    try:
        service.put_job(other, {**service.document(container, IONQ, session_id), "inputDataUri": input_url})
    except RequestFailed as failure:
        refusal(failure)
        return "refused"
    outputs = {urlsplit(str(each.get("outputDataUri"))).path for each in (job, service.ended(other))}
    return "results apart" if len(outputs) == 2 else "one result for both"


def check_programs(service: LiveService) -> Found:
    """Counts of a program, of the same in other forms, and with IonQ's noise model."""
    session_id, data = service.main_session, programs.rotated("Base")
    params = {"inputParams": {"shots": programs.SHOTS}}

    def run(program: bytes, **more: Any) -> dict[str, Any]:
        return service.succeeded(service.run(program, IONQ, session_id, **more))

    result = service.result(run(data, **params))
    counts = counts_of(result)
    yield "simulator-exact", "exact" if is_exact(counts) else "sampled"
    yield "result-counts", f"{sum(counts.values())} of {programs.SHOTS}"
    listed = result["Results"][0].get("Shots")
    yield "result-shots", f"{len(listed)} of {programs.SHOTS}" if isinstance(listed, list) else "left out"
    compiled = programs.rotated("Base", fresh=True)
    yield (
        "program-template",
        lambda: "equal counts" if service.counts(run(compiled, **params)) == counts else "other counts",
    )
    yield "result-order", lambda: order_of_bits(list(service.counts(run(programs.one_flipped("Base")))))
    noise = {"shots": programs.SHOTS, "noise": {"model": "aria-1", "seed": 7}}
    yield "option-noise", lambda: with_noise(service, service.run(data, IONQ, session_id, inputParams=noise), counts)
    yield "program-barrier", lambda: service.outcome_of_job(programs.with_barrier(data), IONQ, session_id)
    yield "program-bitcode", lambda: service.outcome_of_job(programs.as_bitcode(data), IONQ, session_id)


def is_exact(counts: dict[str, int]) -> bool:
    """Return True if each count is that of the exact distribution, up to rounding."""
    exact = {outcome: programs.SHOTS * probability for outcome, probability in programs.probabilities().items()}
    return all(abs(counts.get(outcome, 0) - count) <= 1.0 for outcome, count in exact.items())


def order_of_bits(outcomes: list[str]) -> str:
    """Return the order of the bits of a program that flips the lowest of three."""
    order = {"001": "highest first", "100": "lowest first"}
    return order.get(outcomes[0], outcomes[0]) if len(outcomes) == 1 else f"{len(outcomes)} outcomes"


def with_noise(service: LiveService, job: dict[str, Any], ideal: dict[str, int]) -> str:
    """Compare the counts of a job with a noise model with those of one without."""
    if job["status"] not in SUCCEEDED:
        return "refused"
    return "ignored" if service.counts(job) == ideal else "taken"


def check_refusals(service: LiveService) -> Found:
    """Jobs that the service should not take."""
    session_id, data = service.main_session, programs.rotated("Base")
    yield "job-target", lambda: service.outcome(lambda: service.submit(data, other_target(service), session_id))
    yield "job-unknown-target", lambda: service.outcome(lambda: service.submit(data, NO_TARGET, None))
    too_many = {"shots": 10_001}
    yield (
        "job-shots",
        lambda: service.outcome_of_job(data, IONQ, session_id, inputParams=too_many).partition(" ")[0],
    )


def other_target(service: LiveService) -> str:
    """Return a free target that is not the session's. Raises NotShown if the workspace has none."""
    try:
        service.require(RIGETTI)
        return RIGETTI
    except NotShown:
        service.require(QUANTINUUM)
        return QUANTINUUM


def check_policy(service: LiveService) -> Found:
    """A failed job in a session of policy Continue, which is closed then."""
    session_id, data = service.main_session, programs.rotated("Base")
    yield "job-fails", service.outcome_of_job(data, IONQ, session_id, outputDataFormat="hybridloop.none.v1")
    yield "continue-session", lambda: service.session_status(session_id, "Failure(s)")
    yield (
        "continue-accepts",
        lambda: service.outcome(lambda: service.run(data, IONQ, session_id)),
    )
    service.close_session(session_id)
    yield "continue-closed", lambda: closed_status(service, session_id)


def closed_status(service: LiveService, session_id: str) -> str:
    """Read the status of a closed session once its jobs have ended."""
    for item in service.jobs(session_id):
        service.ended_somehow(item["id"])
    return service.session_status(session_id, "Failed")
