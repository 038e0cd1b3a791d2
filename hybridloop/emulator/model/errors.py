"""Errors of the API: HTTP status, error code and message. Injected faults are in `hybridloop.emulator.faults`."""

from __future__ import annotations

MAX_DIGITS = 19  # of a number in a URL; Python refuses to parse very long ones
INVALID_JOB = "InvalidJobDefinition"
SESSION_ENDED_MESSAGE = (
    "Session is already in a terminal state. This may have been due to failures in prior jobs in the session."
)


class ApiError(Exception):
    """An error response: the HTTP status, and the error's code and message; storage has a message for each code."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message


def bad_request(message: str, code: str = INVALID_JOB) -> ApiError:
    """Return a 400 error: the request is malformed or not allowed."""
    return ApiError(400, code, message)


def parse_whole_number(name: str, text: str | None, default: int, most: int) -> int:
    """Parse a URL parameter, a whole number from 0 to `most`; None gives the default. Raises ApiError (400)."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS and int(text) <= most):
        raise bad_request(f"{name} must be a whole number from 0 to {most}, not {text[:40]!r}.", "InvalidQuery")
    return int(text)


def not_found(description: str) -> ApiError:
    """Return a 404 error; `description` begins the message."""
    return ApiError(404, "NotFound", f"{description} was not found.")


def conflict(description: str) -> ApiError:
    """Return a 409 error: the id in `description` is taken, with other content."""
    return ApiError(409, "Conflict", f"{description} already exists with other content.")
