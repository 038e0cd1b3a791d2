"""Addresses that a service names in its answers, and the hosts to which a request may be sent because of them.

A link may lead to the workspace's own service only, a blob's URL to Azure's blob storage, or to a local service, which
is its own storage. An address is matched whole, because HTTP libraries disagree about odd ones (user names,
backslashes), and one of them connects.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NamedTuple

_ADDRESS = re.compile(r"(?i)(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?(?:[/?][^\\{}\x00-\x1f\x7f]*)?")
_PORTS = {"http": 80, "https": 443}
# Azure's clouds, private endpoints, and accounts with an endpoint in a DNS zone
# https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-endpoints
_BLOB_STORAGE = re.compile(
    r"[a-z0-9]{3,24}(-secondary)?"
    r"((\.privatelink)?\.blob\.core\.(windows\.net|usgovcloudapi\.net|chinacloudapi\.cn|cloudapi\.de)"
    r"|\.z[0-9]{1,2}(\.privatelink)?\.blob\.storage\.azure\.net)"
)


class Origin(NamedTuple):
    """Scheme, host and port of an address, in lower case."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def origin_of(address: str) -> Origin | None:
    """Return an address's origin; None for one that is not a plain http or https address.

    >>> str(origin_of("https://EastUS.quantum.azure.com/x?y"))
    'https://eastus.quantum.azure.com'
    >>> origin_of("https://evil.org\\\\@eastus.quantum.azure.com/")
    """
    if (match := _ADDRESS.fullmatch(address)) is None:
        return None
    scheme, host = match[1].lower(), match[2].lower()
    return Origin(scheme, host, int(match[3] or _PORTS[scheme]))


def is_loopback(host: str) -> bool:
    """Return True for an address of this machine's loopback interface, or the name localhost."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def may_hold_blobs(origin: Origin, endpoint: Origin | None) -> bool:
    """Return True for Azure's blob storage over TLS; for a local service at `endpoint`, that service too."""
    if origin == endpoint and is_loopback(origin.host):
        return True
    is_secure = origin.scheme == "https" and origin.port == _PORTS["https"]
    return is_secure and _BLOB_STORAGE.fullmatch(origin.host) is not None
