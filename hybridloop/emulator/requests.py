"""Reads the bodies of session and job requests; what does not fit is refused with its field's name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from hybridloop.emulator.faults import bad_request
from hybridloop.emulator.session import JobFailurePolicy

CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9](?:-?[a-z0-9])+")
MAX_DEPTH = 32  # of a JSON body
MAX_BLOB_NAME = 200  # characters of its escaped form, which is a file's name


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What opens a session; `priority` and `tags` are None where the caller gave none."""

    name: str
    provider_id: str
    target: str
    policy: JobFailurePolicy
    priority: str | None
    tags: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What submits a job; `params` as sent, `metadata` with its values as strings."""

    name: str | None
    provider_id: str
    target: str
    container: str
    input_blob: str
    input_format: str
    output_format: str | None
    params: Mapping[str, Any]
    metadata: Mapping[str, str | None] | None
    session_id: str | None
    priority: str | None
    tags: tuple[str, ...] | None

    @property
    def shots(self) -> int | None:
        """The shots that it asks for, if it states a number: `shots`, else the older `count`."""
        asked = self.params.get("shots", self.params.get("count"))
        return asked if isinstance(asked, int) and not isinstance(asked, bool) and abs(asked) < 2**63 else None

    def to_document(self) -> dict[str, Any]:
        """The request as what JSON can hold."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> JobRequest:
        """The inverse of `to_document`, after a way through JSON."""
        tags = document["tags"]
        return cls(**{**document, "tags": None if tags is None else tuple(tags)})


def session_request(body: bytes, session_id: str) -> SessionRequest:
    """The request to open the session of that id."""
    document = json_object(body, "session")
    target = _text(document, "target", required=True)
    policy = _text(document, "jobFailurePolicy") or JobFailurePolicy.ABORT
    try:
        chosen = JobFailurePolicy(policy)
    except ValueError:
        raise bad_request(f"jobFailurePolicy must be Abort or Continue, not {policy!r}.") from None
    return SessionRequest(
        name=_text(document, "name") or f"session-{session_id}",
        provider_id=(_text(document, "providerId") or str(target).partition(".")[0]).lower(),
        target=str(target),
        policy=chosen,
        priority=_text(document, "priority"),
        tags=_tags(document),
    )


def job_request(body: bytes, job_id: str) -> JobRequest:
    """The request to submit the job of that id."""
    document = json_object(body, "job")
    container_uri, input_uri = _text(document, "containerUri"), _text(document, "inputDataUri")
    container = _blob_address(container_uri, "containerUri")[0] if container_uri else f"job-{job_id}"
    if CONTAINER.fullmatch(container) is None:
        raise bad_request(f"containerUri names {container!r}, which is no container name.")
    where, blob = _blob_address(input_uri, "inputDataUri") if input_uri else (container, "inputData")
    if where != container or not blob:
        raise bad_request("inputDataUri must name a blob in the container of containerUri.")
    params = document.get("inputParams") or {}
    if not isinstance(params, dict):
        raise bad_request("inputParams must be an object.")
    return JobRequest(
        name=_text(document, "name"),
        provider_id=str(_text(document, "providerId", required=True)).lower(),
        target=str(_text(document, "target", required=True)),
        container=container,
        input_blob=blob,
        input_format=str(_text(document, "inputDataFormat", required=True)),
        output_format=_text(document, "outputDataFormat"),
        params=params,
        metadata=_metadata(document),
        session_id=_text(document, "sessionId"),
        priority=_text(document, "priority"),
        tags=_tags(document),
    )


def job_changes(body: bytes) -> Mapping[str, Any]:
    """The given ones of name, priority and tags; null puts a value back to none."""
    document = json_object(body, "job")
    unknown = set(document) - {"name", "priority", "tags"}
    if unknown:
        raise bad_request(f"only name, priority and tags can be changed, not {', '.join(sorted(unknown))}.")
    return {key: _tags(document) if key == "tags" else _text(document, key) for key in document}


def blob_name_fits(name: str) -> bool:
    """Whether the name can be kept: some characters, not too many, nothing unprintable."""
    return name != "" and name.isprintable() and len(quote(name, safe="")) <= MAX_BLOB_NAME


def json_object(body: bytes, what: str) -> dict[str, Any]:
    """The body as a JSON object that can be kept and sent again as it is; `what` names it in the refusal.

    So it has no NaN, no number that is infinite here, no half characters, and is not nested deeply.
    """
    try:
        document = json.loads(body, parse_float=_finite, parse_constant=_refuse_constant)
        if not isinstance(document, dict) or _is_deeper(document, MAX_DEPTH):
            raise ValueError("not an object, or nested too deeply")
        json.dumps(document, ensure_ascii=False).encode()  # raises where there is half a character
    except (ValueError, RecursionError):
        raise bad_request(f"The body is not a {what} in JSON.") from None
    return document


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is beyond all numbers")
    return number


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in inner)


def _text(document: Mapping[str, Any], key: str, *, required: bool = False) -> str | None:
    value = document.get(key)
    if value is None and not required:
        return None
    if not isinstance(value, str) or (required and not value) or "\x00" in value:
        raise bad_request(f"{key} must be {'a text that is not empty' if required else 'a text'}.")
    return value


def _tags(document: Mapping[str, Any]) -> tuple[str, ...] | None:
    tags = document.get("tags")
    if tags is None:
        return None
    if not isinstance(tags, list) or any(not isinstance(tag, str) for tag in tags):
        raise bad_request("tags must be a list of texts.")
    return tuple(tags)


def _metadata(document: Mapping[str, Any]) -> Mapping[str, str | None] | None:
    metadata = document.get("metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise bad_request("metadata must be an object.")
    return {
        key: value if value is None or isinstance(value, str) else json.dumps(value) for key, value in metadata.items()
    }


def _blob_address(uri: str, key: str) -> tuple[str, str]:
    """Container and blob (may be empty) of a URL whose path doubles the container."""
    try:
        parts = unquote(urlsplit(uri).path).lstrip("/").split("/", 2)
    except ValueError:  # an address that is none
        parts = []
    if len(parts) < 2 or parts[0] != parts[1]:
        raise bad_request(f"{key} does not point at this service's storage.")
    return parts[0], parts[2] if len(parts) == 3 else ""
