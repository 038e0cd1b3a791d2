"""The service's refusals as values: status, code, message; one place that turns them into replies."""

from __future__ import annotations

MOST_DIGITS = 19  # of a number in a URL; Python refuses to read very many
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


def whole_number(name: str, text: str | None, default: int, most: int) -> int:
    """A parameter of a URL that must be a whole number from 0 to `most`; the default where it is not given."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS and int(text) <= most):
        raise bad_request(f"{name} must be a whole number from 0 to {most}, not {text[:40]!r}.", "InvalidQuery")
    return int(text)


def not_found(what: str) -> ServiceFault:
    """404 of the data plane."""
    return ServiceFault(404, "NotFound", f"{what} was not found.")


def conflict(what: str) -> ServiceFault:
    """409: the id is taken by something else."""
    return ServiceFault(409, "Conflict", f"{what} exists already with other content.")
