"""Retry table: error codes of jobs, with their meaning and whether a retry may help; and errors of calls.

`judge_failure` decides by it whether a failed attempt is followed by another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hybridloop.azure.transport import FailureKind
from hybridloop.tasks.failure_policy import FailurePolicy, OnLostJob, wait_before_retry

CANCELLED = "cancelled"
CANCELLED_WITH_SESSION = "cancelled with its session"
RESULT_MISSING = "result missing"
RESULT_UNREADABLE = "result unreadable"


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """Class of an error: its meaning; `transient` if a retry may help."""

    transient: bool
    meaning: str


JOB_ERRORS: Mapping[str, ErrorClass] = MappingProxyType(
    {
        # The service's codes, whole and case-sensitive: they are free text. Counted in recorded traffic, or documented.
        "ProviderTimeout": ErrorClass(transient=True, meaning="the provider did not take the job in time"),
        "TransientFailure": ErrorClass(transient=True, meaning="the service or the provider had a transient failure"),
        "InternalError": ErrorClass(transient=True, meaning="the service failed inside"),
        "PartnerCallFailed": ErrorClass(transient=True, meaning="the service could not reach the provider"),
        "TargetUnavailable": ErrorClass(transient=True, meaning="the target went down"),
        "PropertyNotSpecified": ErrorClass(transient=False, meaning="an input parameter is missing"),
        "InvalidProperty": ErrorClass(transient=False, meaning="an input parameter has a value that is not taken"),
        "InvalidInputData": ErrorClass(transient=False, meaning="the target does not take the program"),
        "InvalidInputError": ErrorClass(transient=False, meaning="the provider does not take the program"),
        "CompilationError": ErrorClass(transient=False, meaning="the program does not compile for the target"),
        "QIRPreProcessingFailed": ErrorClass(transient=False, meaning="the QIR program can't be read"),
        "QATTransformationFailed": ErrorClass(
            transient=False, meaning="the QIR program can't be translated for the target"
        ),
        "CannotTranslateInputData": ErrorClass(transient=False, meaning="the program's format can't be translated"),
        "CannotTranslateOutputData": ErrorClass(transient=False, meaning="the result's format can't be translated"),
        "RuntimeError": ErrorClass(transient=False, meaning="the program failed while it ran"),
        "quantinuum - 1001": ErrorClass(transient=False, meaning="Quantinuum refused the program"),
    }
)

ENDINGS_WITHOUT_CODE: Mapping[str, ErrorClass] = MappingProxyType(
    {
        # Ways a job ends without counts for which the service has no code.
        RESULT_MISSING: ErrorClass(
            transient=False, meaning="it succeeded, but its result is missing: a resume reads it"
        ),
        CANCELLED_WITH_SESSION: ErrorClass(transient=True, meaning="the session ended, and took the job with it"),
        RESULT_UNREADABLE: ErrorClass(
            transient=False, meaning="it succeeded, but its result can't be read: a resume reads it again"
        ),
        CANCELLED: ErrorClass(transient=False, meaning="someone cancelled it"),
    }
)

CALL_ERRORS: Mapping[FailureKind, str] = MappingProxyType(
    {
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
)


def code_of(listed: Mapping[str, Any]) -> str | None:
    """Return the error code of a job as the service lists it, or CANCELLED if it was cancelled without a code."""
    code: str | None = (listed.get("errorData") or {}).get("code")
    return CANCELLED if listed.get("status") == "Cancelled" and not code else code


def describe_failure(listed: Mapping[str, Any], code: str | None) -> str:
    """Return why a listed job ended without counts; the code's meaning stands in for the service's message."""
    error = listed.get("errorData") or {}
    message = " ".join(str(error[key]) for key in ("code", "message") if error.get(key)) or meaning_of(code)
    return f"it ended {listed.get('status')}: {message}"


def judge_failure(
    policy: FailurePolicy, code: str | None, *, failures: int, since_first_s: float, draw: float, found_ended: bool
) -> float | OnLostJob:
    """Return the seconds until the next attempt of a job that failed with this code; a policy if the job is lost.

    `failures`, `since_first_s` and `draw` are those of `wait_before_retry`. `found_ended` is True for an attempt of an
    earlier process that ended before this one asked for it.
    """
    if code == CANCELLED_WITH_SESSION:  # not the job's failure: the renewals are counted instead
        return 0.0
    wait = wait_before_retry(policy, failed=failures, since_first_s=since_first_s, draw=draw)
    if wait is not None and is_transient(code):
        return wait
    # a resume retries it, as it does where the earlier process had recorded the failure
    return 0.0 if found_ended and policy.on_lost_job is OnLostJob.FAIL else policy.on_lost_job


def is_transient(code: str | None) -> bool:
    """Return True if a job with this code, of its `errorData` or of ENDINGS_WITHOUT_CODE, is worth a retry.

    Codes are compared whole. An unknown code, or none, is permanent: the same program would most likely fail again,
    and be billed again.
    """
    known = _job_ending(code)
    return known is not None and known.transient


def meaning_of(code: str | None) -> str:
    """Return the meaning of a job's code for a message."""
    known = _job_ending(code)
    if known is not None:
        return known.meaning
    return "the service gave no reason" if not code else f"{code!r} is no code that hybridloop knows"


def _job_ending(code: str | None) -> ErrorClass | None:
    return None if code is None else JOB_ERRORS.get(code) or ENDINGS_WITHOUT_CODE.get(code)
