"""What the service can be asked for, and by which methods and paths below a workspace's own."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

BASE = re.compile(
    r"/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers/microsoft\.quantum/workspaces/([^/]+)(/.*)",
    re.IGNORECASE,
)
_ITEM = re.compile(r"/(sessions|jobs)/([A-Za-z0-9_.-]{1,128})(:close|:cancel|/jobs)?")


class Operation(enum.StrEnum):
    """What a call is for."""

    OPEN = "open"
    GET_SESSION = "get-session"
    CLOSE = "close"
    SUBMIT = "submit"
    GET_JOB = "get-job"
    CHANGE_JOB = "change-job"
    DELETE_JOB = "delete-job"
    CANCEL = "cancel"
    LIST = "list"
    PROVIDERS = "providers"
    QUOTAS = "quotas"
    SAS = "sas"
    UPLOAD = "upload"
    DOWNLOAD = "download"
    CONTAINER = "container"


_FIXED = {
    ("GET", "/sessions"): Operation.LIST,
    ("GET", "/jobs"): Operation.LIST,
    ("GET", "/topLevelItems"): Operation.LIST,
    ("GET", "/providerStatus"): Operation.PROVIDERS,
    ("GET", "/quotas"): Operation.QUOTAS,
    ("POST", "/storage/sasUri"): Operation.SAS,
}
_ITEMS = {
    ("PUT", "sessions", None): Operation.OPEN,
    ("GET", "sessions", None): Operation.GET_SESSION,
    ("POST", "sessions", ":close"): Operation.CLOSE,
    ("GET", "sessions", "/jobs"): Operation.LIST,
    ("PUT", "jobs", None): Operation.SUBMIT,
    ("GET", "jobs", None): Operation.GET_JOB,
    ("PATCH", "jobs", None): Operation.CHANGE_JOB,
    ("DELETE", "jobs", None): Operation.DELETE_JOB,
    ("POST", "jobs", ":cancel"): Operation.CANCEL,
}


@dataclass(frozen=True, slots=True)
class Route:
    """An operation, and the session or job whose path it is; `kind` is "sessions", "jobs" or, for neither, empty."""

    operation: Operation
    kind: str = ""
    item: str = ""


def route_of(method: str, path: str) -> Route | None:
    """What is asked for at a path below a workspace's; None where that method is not answered there.

    >>> route_of("GET", "/sessions/s1/jobs")
    Route(operation=<Operation.LIST: 'list'>, kind='sessions', item='s1')
    """
    fixed = _FIXED.get((method, path))
    if fixed is not None:
        return Route(fixed)
    match = _ITEM.fullmatch(path)
    operation = None if match is None else _ITEMS.get((method, match[1], match[3]))
    return None if match is None or operation is None else Route(operation, match[1], match[2])


def is_answered(path: str) -> bool:
    """Whether there is a method that is answered at a path below a workspace's."""
    return any(route_of(method, path) is not None for method in ("GET", "PUT", "POST", "PATCH", "DELETE"))
