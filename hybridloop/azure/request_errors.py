"""Errors of failed requests to a workspace, in words for users: what happened, what it means, what to do."""

from __future__ import annotations

from hybridloop.azure.transport import FailureKind, RequestFailed
from hybridloop.errors import (
    AccessDenied,
    AnswerRefused,
    HybridloopError,
    JobFailed,
    ServiceBusy,
    ServiceRefused,
    ServiceUnreachable,
    SessionEnded,
    TargetDown,
)

IN_FLIGHT = "Jobs that the service has accepted run on and are billed."
NOT_CHANGED = "Nothing was changed."
_TRY_AGAIN = "Try again later."
PAID = "The job is done and billed, and is not submitted again; all other results are kept."
_READ_AGAIN = "Resume the run, which reads the result again; if that does not help, report the job with its id."


def result_unavailable(job_id: str, reason: str) -> JobFailed:
    """Return the error of a job that succeeded and whose result is missing or can't be read."""
    return JobFailed(f"job {job_id}: {reason}", PAID, _READ_AGAIN)


def input_conflict(url: str) -> ServiceRefused:
    """Return the error of a job's input blob that has other content than the job's."""
    return ServiceRefused(
        f"another input was uploaded under a job's id, as {url}",
        f"It was not replaced, and that job was not submitted. {IN_FLIGHT}",
        "Find out who else writes to this storage; delete that blob, then resume the run.",
    )


def translate_failure(failure: RequestFailed, action: str, meaning: str, host: str) -> HybridloopError:
    """Translate a failed request into the error that a user sees."""
    happened = f"{action} at {host} failed: {failure.text.rstrip('.')}"
    match failure.kind:
        case FailureKind.DENIED:
            return AccessDenied(
                f"workspace: {host} does not accept the key or identity ({failure.text}) while {action}",
                meaning,
                "Check the ApiKey in AZURE_QUANTUM_CONNECTION_STRING, or the identity's role in the workspace.",
            )
        case FailureKind.UNSIGNED:
            return AccessDenied(
                f"the storage does not accept the signature of the service at {host}, which has expired or is not "
                f"valid for this network ({failure.text}), while {action}",
                meaning,
                "Set this machine's clock (NTP), check the firewall of the storage account, then resume the run.",
            )
        case FailureKind.ELSEWHERE | FailureKind.TOO_LARGE:
            return AnswerRefused(
                happened,
                f"It was not followed or read to its end: no key or program was sent to another host. {meaning}",
                "Check the endpoint in the connection string, and whether a proxy or a sign-in page answers in the "
                "service's place; then try again.",
            )
        case FailureKind.UNREACHABLE:
            return ServiceUnreachable(
                happened, meaning, "Check the network, and the endpoint in the connection string."
            )
        case FailureKind.BUSY | FailureKind.UNCLEAR:
            return ServiceBusy(happened, meaning, _TRY_AGAIN)
        case FailureKind.SESSION_OVER:
            return SessionEnded("the session has ended and takes no more jobs", meaning, "Start the run again.")
        case FailureKind.DOWN:
            return TargetDown(f"the target takes no jobs: {failure.text.rstrip('.')}", meaning, _TRY_AGAIN)
        case FailureKind.MISSING:
            return ServiceRefused(happened, NOT_CHANGED, "Check the id: this workspace has no item with it.")
        case _:
            return ServiceRefused(happened, meaning, "See the service's reason above; a retry will not help.")
