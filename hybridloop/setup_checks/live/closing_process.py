"""Program of the closing process: closes sessions when the checks that opened them were killed.

It reads one JSON document a line from standard input: `{"hold": ID, …}` with a request, `{"forget": ID}`. When standard
input ends, it sends the requests that it still holds, then ends.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from typing import Any

from hybridloop.tasks.keepalive.standby_process import send_request

TRIES, PAUSE_S = 4, 5.0


def main() -> None:
    """Hold requests until standard input ends, then send them."""
    held: dict[str, dict[str, Any]] = {}
    for line in sys.stdin:
        message = json.loads(line)
        if "hold" in message:
            held[message["hold"]] = message
        else:
            held.pop(message["forget"], None)
    for request in held.values():
        for _ in range(TRIES):
            with suppress(OSError):
                if send_request(request) < 500:
                    break
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
