"""Retry table: error codes of jobs, with their meaning and the judgement of a failed attempt; and errors of calls."""

from __future__ import annotations

from collections.abc import Mapping

from hybridloop.azure.transport import FailureKind
from hybridloop.settings.failure_policy import FailurePolicy, OnLostJob

CANCELLED = "cancelled"
CANCELLED_WITH_SESSION = "cancelled with its session"
DELETED = "deleted"
FIRST_BACKOFF_S = 2.0  # before a job's second attempt; doubled for each further one
LONGEST_BACKOFF_S = 60.0

# Meanings of the service's codes, which are free text and are compared whole. They were counted in recorded traffic, or
# are documented; the service has none for a cancelled job. Any other code, or none, is permanent: the program would
# most likely fail again, and be billed again.
TRANSIENT_ERRORS: Mapping[str, str] = {
    "ProviderTimeout": "the provider did not take the job in time",
    "TransientFailure": "the service or the provider had a transient failure",
    "InternalError": "the service failed inside",
    "PartnerCallFailed": "the service could not reach the provider",
    "TargetUnavailable": "the target went down",
    CANCELLED_WITH_SESSION: "the session ended, and took the job with it",
}
PERMANENT_ERRORS: Mapping[str, str] = {
    "PropertyNotSpecified": "an input parameter is missing",
    "InvalidProperty": "an input parameter has a value that is not taken",
    "InvalidInputData": "the target does not take the program",
    "InvalidInputError": "the provider does not take the program",
    "CompilationError": "the program does not compile for the target",
    "QIRPreProcessingFailed": "the QIR program can't be read",
    "QATTransformationFailed": "the QIR program can't be translated for the target",
    "CannotTranslateInputData": "the program's format can't be translated",
    "CannotTranslateOutputData": "the result's format can't be translated",
    "RuntimeError": "the program failed while it ran",
    "quantinuum - 1001": "Quantinuum refused the program",
    CANCELLED: "someone cancelled it",
    DELETED: "someone deleted it at the service",
}
CALL_ERRORS: Mapping[FailureKind, str] = {
    FailureKind.UNREACHABLE: "no connection, it broke, or no answer: a submission is settled by asking for its id",
    FailureKind.BUSY: "HTTP 408, 429 or 5xx",
    FailureKind.DOWN: "the target takes no jobs: it is waited for as the failure policy says",
    FailureKind.UNCLEAR: "an answer that can't be read: a submission is settled by asking for the job's id",
    FailureKind.TOO_LARGE: "an answer of more than 8 MiB, or a result of more than 64 MiB: it is not read",
    FailureKind.ELSEWHERE: "a redirect, or an address on another host: nothing was sent there",
    FailureKind.DENIED: "HTTP 401 or 403: the key or identity is not accepted",
    FailureKind.UNSIGNED: "HTTP 401 or 403 of the storage: the signature has expired, and is renewed once",
    FailureKind.MISSING: "HTTP 404: no such session or job; a result that is not there yet is waited for",
    FailureKind.SESSION_OVER: "the session has ended and takes no more jobs",
    FailureKind.CONFLICT: "HTTP 409: the id is taken by something else",
    FailureKind.REFUSED: "any other HTTP 4xx: understood, and refused",
}


def judge_failure(
    policy: FailurePolicy, code: str | None, *, failures: int, since_first_s: float, draw: float, found_ended: bool
) -> float | OnLostJob:
    """Return the seconds until a failed job's next attempt, or the policy's treatment of a lost job.

    `failures` is the number of its failed attempts; `since_first_s` is the time since the first of them. `draw` in
    [0, 1) is the jitter, over all of the exponential backoff, so that the jobs of one outage are not retried together.
    `found_ended` is True for an attempt of an earlier process that ended before this one asked for it.
    """
    if code == CANCELLED_WITH_SESSION:  # not the job's failure: the renewals are counted instead
        return 0.0
    wait = draw * min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** (failures - 1))
    if code in TRANSIENT_ERRORS and failures <= policy.retries and since_first_s + wait <= policy.retry_within_s:
        return wait
    # a resume retries it, as it does where the earlier process had recorded the failure
    return 0.0 if found_ended and policy.on_lost_job is OnLostJob.FAIL else policy.on_lost_job


def remedy_of(code: str | None, resume: str) -> str:
    """Return what to do about a job that was lost with a code; `resume` says how its run is resumed."""
    if code in (CANCELLED, DELETED):
        return f"To send it again: {resume}"
    if code in TRANSIENT_ERRORS:
        return f"To send it again, once the service or the provider has recovered: {resume}"
    if code in PERMANENT_ERRORS:
        return "Change the circuit or the shots, as the message says: the same job would fail again."
    return f"If the message names an input or a limit, change the circuit or the shots; to send it again: {resume}"


def meaning_of(code: str | None) -> str:
    """Return the meaning of a job's code for a message."""
    if not code:
        return "the service gave no reason"
    return {**TRANSIENT_ERRORS, **PERMANENT_ERRORS}.get(code, f"{code!r} is no code that hybridloop knows")
