"""A signed request that another process can send, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A signed request that another process can send. It is a secret: anyone who has it can send it."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    proxy: str | None = field(repr=False)  # it may hold a password
    ca_file: str | None

    def as_message(self) -> dict[str, object]:
        """Return the request as JSON values, for the process that sends it."""
        return {
            "method": self.method,
            "url": self.url,
            "headers": dict(self.headers),
            "body": self.body.decode(),
            "proxy": self.proxy,
            "ca": self.ca_file,
        }
