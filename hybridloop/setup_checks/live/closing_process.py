"""Program of the closing process: ends the jobs and sessions of checks that were killed.

It reads one JSON document a line from standard input: `{"add": ID, …}` with a request, `{"forget": ID}`. When standard
input ends, it sends the requests that are left, the newest first, then ends, within a minute.
"""

from __future__ import annotations

import ipaddress
import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

READY = "ready\n"
_REQUEST_LIMIT_S = 20.0
TRIES, PAUSE_S, LIMIT_S = 4, 5.0, 35.0
_AGAIN = frozenset({404, 408, 429})  # 404: what the killed process created may arrive after its end


def main() -> None:
    """Collect requests until standard input ends, then send them."""
    requests: dict[str, dict[str, Any]] = {}
    sys.stdout.write(READY)
    sys.stdout.flush()
    for line in sys.stdin:
        if not line.endswith("\n"):
            break  # the process ended while it wrote
        message = json.loads(line)
        if "add" in message:
            requests[message["add"]] = message
        else:
            requests.pop(message["forget"], None)
    until = time.monotonic() + LIMIT_S
    for attempt in range(TRIES):
        if attempt and requests:
            time.sleep(PAUSE_S)
        for key in reversed(list(requests)):
            if time.monotonic() < until and _is_settled(requests[key]):
                del requests[key]


def is_safe(url: str) -> bool:
    """Return True if a request with a key may be sent there: over TLS, or within this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def send_request(request: dict[str, Any]) -> int:
    """Send a request once and return the HTTP status. Raises OSError."""
    if not is_safe(request["url"]):
        raise OSError("a key is sent over TLS only")
    proxies = {} if request["proxy"] is None else {"http": request["proxy"], "https": request["proxy"]}
    tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=request["ca"]))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies), tls)
    body = request["body"].encode()
    message = urllib.request.Request(request["url"], body, request["headers"], method=request["method"])
    try:
        with opener.open(message, timeout=_REQUEST_LIMIT_S) as reply:
            reply.read(1 << 16)  # the rest, if there is one, is dropped with the connection
            return int(reply.status)
    except urllib.error.HTTPError as refusal:  # a redirect too: it is not followed with a key
        refusal.close()
        return refusal.code


def _is_settled(request: dict[str, Any]) -> bool:
    with suppress(OSError):
        status = send_request(request)
        return status < 500 and status not in _AGAIN
    return False


if __name__ == "__main__":
    main()
