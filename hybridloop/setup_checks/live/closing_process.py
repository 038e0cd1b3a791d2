"""Program of the closing process: ends the jobs and sessions of checks that were killed.

It reads one JSON document a line from standard input: `{"add": ID, …}` with a request, `{"forget": ID}`. When standard
input ends, it sends the requests that are left, the newest first, then ends, within a minute.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from typing import Any

from hybridloop.tasks.keepalive.standby_process import send_request

READY = "ready\n"
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


def _is_settled(request: dict[str, Any]) -> bool:
    with suppress(OSError):
        status = send_request(request)
        return status < 500 and status not in _AGAIN
    return False


if __name__ == "__main__":
    main()
