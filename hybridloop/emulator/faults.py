"""The service's refusals as values: status, code, message; one place that turns them into replies."""

from __future__ import annotations

INVALID_JOB = "InvalidJobDefinition"
SESSION_IS_OVER = (
    "Session is already in a terminal state. This may have been due to failures in prior jobs in the session."
)


class ServiceFault(Exception):
    """A request that is refused, with the HTTP status and the error's code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message


def bad_request(message: str, code: str = INVALID_JOB) -> ServiceFault:
    """400: the request can't be understood or is not allowed."""
    return ServiceFault(400, code, message)


def not_found(what: str) -> ServiceFault:
    """404 of the data plane."""
    return ServiceFault(404, "NotFound", f"{what} was not found.")


def conflict(what: str) -> ServiceFault:
    """409: the id is taken by something else."""
    return ServiceFault(409, "Conflict", f"{what} exists already with other content.")
