"""Operations of the API, and their methods and paths below a workspace's path."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

WORKSPACE_PATH = re.compile(
    r"/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers/microsoft\.quantum/workspaces/([^/]+)(/.*)", re.IGNORECASE
)
_ITEM_PATH = re.compile(r"/(sessions|jobs|jobUpdateOptions)/([A-Za-z0-9_.-]{1,128})(:close|:cancel|/jobs)?")


class ApiOperation(enum.StrEnum):
    """Operation of a request; the values are the operations of fault plans."""

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


_WORKSPACE_ROUTES = {
    ("GET", "/sessions"): ApiOperation.LIST,
    ("GET", "/jobs"): ApiOperation.LIST,
    ("GET", "/topLevelItems"): ApiOperation.LIST,
    ("GET", "/providerStatus"): ApiOperation.PROVIDERS,
    ("GET", "/quotas"): ApiOperation.QUOTAS,
    ("POST", "/storage/sasUri"): ApiOperation.SAS,
}
_ITEM_ROUTES = {
    ("PUT", "sessions", None): ApiOperation.OPEN,
    ("GET", "sessions", None): ApiOperation.GET_SESSION,
    ("POST", "sessions", ":close"): ApiOperation.CLOSE,
    ("GET", "sessions", "/jobs"): ApiOperation.LIST,
    ("PUT", "jobs", None): ApiOperation.SUBMIT,
    ("GET", "jobs", None): ApiOperation.GET_JOB,
    ("PATCH", "jobs", None): ApiOperation.CHANGE_JOB,
    ("PATCH", "jobUpdateOptions", None): ApiOperation.CHANGE_JOB,  # the path that azure-quantum 3.12 uses
    ("DELETE", "jobs", None): ApiOperation.DELETE_JOB,
    ("POST", "jobs", ":cancel"): ApiOperation.CANCEL,
}


@dataclass(frozen=True, slots=True)
class Route:
    """An operation, and the id of its session or job; `kind` is "sessions", "jobs", or empty for neither."""

    operation: ApiOperation
    kind: str = ""
    item: str = ""


def match_route(method: str, path: str) -> Route | None:
    """Return the operation of a method and a path below a workspace; None if there is none.

    >>> match_route("GET", "/sessions/s1/jobs")
    Route(operation=<ApiOperation.LIST: 'list'>, kind='sessions', item='s1')
    """
    workspace_operation = _WORKSPACE_ROUTES.get((method, path))
    if workspace_operation is not None:
        return Route(workspace_operation)
    match = _ITEM_PATH.fullmatch(path)
    operation = None if match is None else _ITEM_ROUTES.get((method, match[1], match[3]))
    if match is None or operation is None:
        return None
    return Route(operation, "sessions" if match[1] == "sessions" else "jobs", match[2])


def has_route(path: str) -> bool:
    """Return True if any method is supported at a path below a workspace."""
    return any(match_route(method, path) is not None for method in ("GET", "PUT", "POST", "PATCH", "DELETE"))


def is_data_plane_path(path: str) -> bool:
    """Return True if the path is of the data plane, in any case of its letters."""
    return path[:15].lower() == "/subscriptions/"
