"""Shared access signatures (SAS): URLs that grant permissions on a container or blob until they expire."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

from hybridloop.emulator.clock import format_time_to_second, parse_time

STORAGE_API_VERSION = "2023-11-03"  # of the Azure Blob Storage REST API
LIFETIME_S = 4 * 86_400.0
SUBMISSION_PERMISSIONS = "rwlac"  # of the URL that `storage/sasUri` returns
CONTAINER_READ_PERMISSIONS = "rl"
BLOB_READ_PERMISSIONS = "r"


class SasSigner:
    """Creation and check of SAS queries, signed with the service's secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, container: str, blob: str | None, permissions: str, now: float) -> str:
        """Return the query of a URL that grants `permissions` on the blob; None is the whole container."""
        start = format_time_to_second(now - 300.0)
        expiry = format_time_to_second(now + LIFETIME_S)
        kind = "c" if blob is None else "b"
        signature = self._signature(container, blob or "", kind, permissions, start, expiry)
        return (
            f"sv={STORAGE_API_VERSION}&st={quote(start)}&se={quote(expiry)}&sr={kind}&sp={permissions}"
            f"&sig={quote(signature, safe='')}"
        )

    def check(self, query: Mapping[str, str], container: str, blob: str | None, needed: str, now: float) -> str | None:
        """Return None if the query grants any of the `needed` permissions, else the error code of storage."""
        kind, permissions = query.get("sr", ""), query.get("sp", "")
        start, expiry = query.get("st", ""), query.get("se", "")
        signed_blob = (blob or "") if kind == "b" else ""
        expected = self._signature(container, signed_blob, kind, permissions, start, expiry)
        if kind not in ("b", "c") or not hmac.compare_digest(
            expected.encode(), query.get("sig", "").encode("utf-8", "surrogatepass")
        ):
            return "AuthenticationFailed"
        if not parse_time(start) <= now < parse_time(expiry):
            return "AuthenticationFailed"
        if kind == "b" and not blob:
            return "AuthorizationFailure"
        return None if set(permissions) & set(needed) else "AuthorizationPermissionMismatch"

    def _signature(self, *parts: str) -> str:
        text = "\n".join(parts).encode("utf-8", "surrogatepass")
        return base64.b64encode(hmac.digest(self._secret, text, hashlib.sha256)).decode()
