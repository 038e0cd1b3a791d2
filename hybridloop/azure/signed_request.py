"""A signed request that another process can send, as JSON values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi

from hybridloop.azure.addresses import is_loopback


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


def proxy_of(url: str) -> str | None:
    """Return the proxy that requests to this URL go through; None for none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return None if is_loopback(host) or proxy_bypass(host) else getproxies().get(parts.scheme)


def ca_file(url: str) -> str | None:
    """Return the certificate file that the `requests` library would use for this URL."""
    if not url.startswith("https:"):
        return None
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
