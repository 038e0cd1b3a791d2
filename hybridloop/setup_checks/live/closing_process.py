"""Program of the closing process: ends the jobs and sessions of checks that were killed.

It reads one JSON document a line from standard input: `{"hold": ID, …}` with a request, `{"forget": ID}`. When standard
input ends, it sends the requests that it still holds, the newest first, then ends, within a minute.
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
    """Hold requests until standard input ends, then send them."""
    held: dict[str, dict[str, Any]] = {}
    sys.stdout.write(READY)
    sys.stdout.flush()
    for line in sys.stdin:
        if not line.endswith("\n"):
            break  # the process ended while it wrote
        message = json.loads(line)
        if "hold" in message:
            held[message["hold"]] = message
        else:
            held.pop(message["forget"], None)
    until = time.monotonic() + LIMIT_S
    for attempt in range(TRIES):
        if attempt and held:
            time.sleep(PAUSE_S)
        for key in reversed(list(held)):
            if time.monotonic() < until and _is_settled(held[key]):
                del held[key]


def _is_settled(request: dict[str, Any]) -> bool:
    with suppress(OSError):
        status = send_request(request)
        return status < 500 and status not in _AGAIN
    return False


if __name__ == "__main__":
    main()
