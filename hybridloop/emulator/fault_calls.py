"""What a request is for, and which job and session it is about, as a fault's conditions speak of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hybridloop.emulator.fault_rules import Call
from hybridloop.emulator.operations import BASE, Operation, route_of
from hybridloop.emulator.storage import PATH
from hybridloop.emulator.store import Store


def call_of(method: str, path: str, body: bytes, store: Store) -> Call | None:
    """The call that a request makes; None for one that is none of the service's."""
    base = BASE.fullmatch(path)
    if base is None:
        return _blob_call(method, path, store)
    route = route_of(method, base[4])
    if route is None:
        return None
    workspace, document = "/".join(base.group(1, 2, 3)).lower(), _object(body)
    call = Call(route.operation, method, path, workspace)
    if route.kind == "sessions":
        return _about_session(call, route.item, document, store)
    job_id = _job_of(_text(document, "containerName")) if route.operation is Operation.SAS else route.item
    return _about_job(call, job_id, document, store) if job_id else call


def _blob_call(method: str, path: str, store: Store) -> Call | None:
    match = PATH.fullmatch(path)
    if match is None or match[1] != match[2]:
        return None
    if match[3] is None:
        return Call(Operation.CONTAINER, method, path)
    call = Call(Operation.UPLOAD if method == "PUT" else Operation.DOWNLOAD, method, path)
    job_id = _job_of(match[1])
    return _about_job(call, job_id, {}, store) if job_id else call


def _about_job(call: Call, job_id: str, document: Mapping[str, Any], store: Store) -> Call:
    """The call with what is known of its job: what it says itself, else what the books say, without a row its id."""
    known = store.find_job(call.workspace or None, job_id)
    name = _text(document, "name") or (known.name if known and known.name else "")
    target = _text(document, "target") or (known.request.target if known else "")
    session_id = _text(document, "sessionId") or (known.request.session_id if known else None) or ""
    about = replace(call, job_id=job_id, job_names=(job_id, name), target=target)
    return _about_session(about, session_id, {}, store) if session_id else about


def _about_session(call: Call, session_id: str, document: Mapping[str, Any], store: Store) -> Call:
    known = store.session(call.workspace, session_id) if call.workspace else None
    name = _text(document, "name") or (known.name if known else "")
    target = _text(document, "target") or (known.target if known else "") or call.target
    return replace(call, session_id=session_id, session_names=(session_id, name), target=target)


def _job_of(container: str) -> str:
    """The job that a container was made for, by the name that clients give it."""
    match = re.fullmatch(r"job-(.+)", container)
    return match[1] if match else ""


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        return {}  # what it is wrong with is the service's to say
    return document if isinstance(document, dict) else {}


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    # half a character, which JSON can hold, is no text that could be looked up
    return value.encode("utf-8", "ignore").decode() if isinstance(value, str) else ""
