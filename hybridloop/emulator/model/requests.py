"""Parsers of request bodies for sessions and jobs; an ApiError (400) names the invalid field."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from hybridloop.emulator.model.errors import bad_request
from hybridloop.emulator.model.session import JobFailurePolicy

CONTAINER_NAME = re.compile(r"(?=.{3,63}$)[a-z0-9](?:-?[a-z0-9])+")
MAX_DEPTH = 32  # of a JSON body
MAX_VALUES = 100_000  # of a JSON body: 1 MiB of numbers with all digits has 50,000
MAX_TEXT_LENGTH = 8192  # characters of a name, a URL, or all tags together
MAX_BLOB_NAME = 200  # characters of its URL-escaped form, which is a file name


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """Request to open a session; `priority` and `tags` are None if the client gave none."""

    name: str
    provider_id: str
    target: str
    policy: JobFailurePolicy
    priority: str | None
    tags: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class JobRequest:
    """Request to submit a job; `params` as sent, the values of `metadata` as strings."""

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
        """Requested shots: `shots`, else the older `count`; None if that is no whole number of 64 bits."""
        shots = self.params.get("shots", self.params.get("count"))
        return shots if isinstance(shots, int) and not isinstance(shots, bool) and abs(shots) < 2**63 else None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> JobRequest:
        """Read a request from its `asdict`, after a round trip through JSON."""
        tags = document["tags"]
        return cls(**{**document, "tags": None if tags is None else tuple(tags)})


def parse_session_request(body: bytes, session_id: str) -> SessionRequest:
    """Parse the request to open the session of that id. Raises ApiError (400)."""
    document = parse_json_object(body, "session")
    target = _text(document, "target", required=True)
    policy = _text(document, "jobFailurePolicy") or JobFailurePolicy.ABORT
    try:
        failure_policy = JobFailurePolicy(policy)
    except ValueError:
        raise bad_request(f"jobFailurePolicy must be Abort or Continue, not {policy!r}.") from None
    return SessionRequest(
        name=_text(document, "name") or f"session-{session_id}",
        provider_id=(_text(document, "providerId") or str(target).partition(".")[0]).lower(),
        target=str(target),
        policy=failure_policy,
        priority=_text(document, "priority"),
        tags=_tags(document),
    )


def parse_job_request(body: bytes, job_id: str) -> JobRequest:
    """Parse the request to submit the job of that id. Raises ApiError (400)."""
    document = parse_json_object(body, "job")
    # container and input blob; their defaults are the names that the SDK uses
    container_uri, input_uri = _text(document, "containerUri"), _text(document, "inputDataUri")
    container = _parse_blob_url(container_uri, "containerUri")[0] if container_uri else f"job-{job_id}"
    if CONTAINER_NAME.fullmatch(container) is None:
        raise bad_request(f"containerUri names {container!r}, which is not a valid container name.")
    input_container, blob = _parse_blob_url(input_uri, "inputDataUri") if input_uri else (container, "inputData")
    if input_container != container or not blob:
        raise bad_request("inputDataUri must name a blob in the container of containerUri.")
    # the other fields
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


def parse_job_changes(body: bytes) -> Mapping[str, Any]:
    """Parse the changes of a job's name, priority and tags; null removes a value. Raises ApiError (400)."""
    document = parse_json_object(body, "job")
    unknown = set(document) - {"name", "priority", "tags"}
    if unknown:
        raise bad_request(f"Only name, priority and tags can be changed, not {', '.join(sorted(unknown))}.")
    return {key: _tags(document) if key == "tags" else _text(document, key) for key in document}


def is_valid_blob_name(name: str) -> bool:
    """Return True if the name is not empty, printable, and short enough for a file name when URL-escaped."""
    return name != "" and name.isprintable() and len(quote(name, safe="")) <= MAX_BLOB_NAME


def parse_json_object(body: bytes, content: str) -> dict[str, Any]:
    """Parse the body as a JSON object that can be stored and sent again unchanged. Raises ApiError (400).

    NaN, numbers beyond a float's range, lone surrogates, deep nesting and too many values are refused. `content` names
    the object in the error message.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:  # before an object is made for each
        raise bad_request(f"The body has more than {MAX_VALUES:,} values.")
    try:
        document = json.loads(body, parse_float=_finite, parse_constant=_refuse_constant)
        if not isinstance(document, dict) or _is_deeper(document, MAX_DEPTH):
            raise ValueError("not an object, or nested too deeply")
        json.dumps(document, ensure_ascii=False).encode()  # raises for a lone surrogate
    except (ValueError, RecursionError):
        raise bad_request(f"The body must be a {content} in JSON.") from None
    return document


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is out of range")
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
        raise bad_request(f"{key} must be {'a string that is not empty' if required else 'a string'}.")
    if len(value) > MAX_TEXT_LENGTH:
        raise bad_request(f"{key} has more than {MAX_TEXT_LENGTH} characters.")
    return value


def _tags(document: Mapping[str, Any]) -> tuple[str, ...] | None:
    tags = document.get("tags")
    if tags is None:
        return None
    if not isinstance(tags, list) or any(not isinstance(tag, str) for tag in tags):
        raise bad_request("tags must be a list of strings.")
    if sum(map(len, tags)) > MAX_TEXT_LENGTH:
        raise bad_request(f"tags have more than {MAX_TEXT_LENGTH} characters.")
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


def _parse_blob_url(uri: str, key: str) -> tuple[str, str]:
    """Return container and blob (empty if missing) of a storage URL, whose path has the container twice."""
    try:
        parts = unquote(urlsplit(uri).path).lstrip("/").split("/", 2)
    except ValueError:  # not a valid URL
        parts = []
    if len(parts) < 2 or parts[0] != parts[1]:
        raise bad_request(f"{key} must be a URL of this service's storage.")
    return parts[0], parts[2] if len(parts) == 3 else ""
