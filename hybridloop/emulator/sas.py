"""Shared access signatures: who holds the URL may do what it says until it expires."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

from hybridloop.emulator.clock import moment_of, utc_second

VERSION = "2023-11-03"  # of the storage service that is spoken here
VALID_S = 4 * 86_400.0
SUBMISSION = "rwlac"  # what a sasUri grants on a container
READ_CONTAINER = "rl"
READ_BLOB = "r"


class Signatures:
    """Signs URLs with the service's secret, and checks them."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def query(self, container: str, blob: str | None, permissions: str, now: float) -> str:
        """The query of a URL that grants `permissions` on the blob, or with None on the whole container."""
        start = utc_second(now - 300.0)
        expiry = utc_second(now + VALID_S)
        kind = "c" if blob is None else "b"
        signature = self._sign(container, blob or "", kind, permissions, start, expiry)
        return (
            f"sv={VERSION}&st={quote(start)}&se={quote(expiry)}&sr={kind}&sp={permissions}"
            f"&sig={quote(signature, safe='')}"
        )

    def grants(self, query: Mapping[str, str], container: str, blob: str | None, needed: str, now: float) -> str | None:
        """None if the query allows any of the `needed` permissions there, else the storage's error code."""
        kind, permissions = query.get("sr", ""), query.get("sp", "")
        start, expiry = query.get("st", ""), query.get("se", "")
        signed_blob = (blob or "") if kind == "b" else ""
        expected = self._sign(container, signed_blob, kind, permissions, start, expiry)
        if kind not in ("b", "c") or not hmac.compare_digest(
            expected.encode(), query.get("sig", "").encode("utf-8", "surrogatepass")
        ):
            return "AuthenticationFailed"
        if not moment_of(start) <= now < moment_of(expiry):
            return "AuthenticationFailed"
        if kind == "b" and not blob:
            return "AuthorizationFailure"
        return None if set(permissions) & set(needed) else "AuthorizationPermissionMismatch"

    def _sign(self, *parts: str) -> str:
        text = "\n".join(parts).encode("utf-8", "surrogatepass")
        return base64.b64encode(hmac.digest(self._secret, text, hashlib.sha256)).decode()
