"""Sessions, jobs and blobs as the store keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from hybridloop.emulator.job import JobState
from hybridloop.emulator.requests import JobRequest
from hybridloop.emulator.session import SessionState


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A stored session; `key` is the store's own number of it, ascending with its opening."""

    key: int
    id: str
    name: str
    provider_id: str
    target: str
    priority: str | None
    tags: tuple[str, ...] | None
    state: SessionState


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A stored job; `key` is the store's own number of it, ascending with its submission.

    `name`, `priority` and `tags` are the present ones; the request keeps those it was submitted with.
    """

    key: int
    id: str
    session_key: int | None
    name: str | None
    priority: str | None
    tags: tuple[str, ...] | None
    output_blob: str
    request: JobRequest
    state: JobState


@dataclass(frozen=True, slots=True)
class BlobRecord:
    """A stored blob's properties; `modified` in seconds since 1970."""

    container: str
    name: str
    size: int
    content_type: str
    content_encoding: str
    etag: str
    modified: float
