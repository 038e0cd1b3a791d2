"""Program of the standby process: sends prepared requests when they are due; standard library only.

It is started as a script and does not import the package. It reads one JSON document a line from standard input,
because requests have keys that must not be in arguments, environment or files, and ends when standard input does. Its
standard output has the outcomes, without addresses, headers or bodies.

    {"hold": KEY, "method": …, "url": …, "headers": {…}, "body": …, "proxy": …|null, "ca": …|null}   hold, not armed
    {"arm": {KEY: MOMENT, …}}                                        send these at their moments (now_s), no others
    {"forget": KEY}                                                                      drop a request
"""

from __future__ import annotations

import ipaddress
import json
import os
import select
import sys
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

TRIES = 4
PAUSE_S = 5.0
TIME_LIMIT_S = 20.0
AFTER_STOP_S = 30.0
_LOOK_S = 5.0  # between looks at the parent: a forked process may keep the pipe open after the parent's end


def now_s() -> float:
    """Return seconds of `runtime.clock.steady_s`: of one clock for all processes that is never set."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def is_stopped(pid: int) -> bool:
    """Return True if a process is stopped, as by Ctrl-Z; False if the system does not show it."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


def is_safe(url: str) -> bool:
    """Return True if a request with a key may be sent there: over TLS, or within this machine."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def send_request(request: dict[str, Any]) -> int:
    """Send a request, a PUT unless it states a method, once and return the HTTP status. Raises OSError."""
    import ssl  # imported late: an idle process is half as large without
    import urllib.error
    import urllib.request

    if not is_safe(request["url"]):
        raise OSError("a key is sent over TLS only")
    proxies = {} if request["proxy"] is None else {"http": request["proxy"], "https": request["proxy"]}
    tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=request["ca"]))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies), tls)
    body = request["body"].encode()
    message = urllib.request.Request(request["url"], body, request["headers"], method=request.get("method", "PUT"))
    try:
        with opener.open(message, timeout=TIME_LIMIT_S) as reply:
            reply.read(1 << 16)  # the rest, if there is one, is dropped with the connection
            return int(reply.status)
    except urllib.error.HTTPError as refusal:  # a redirect too: a PUT is not sent elsewhere
        refusal.close()
        return refusal.code


class HeldRequests:
    """The requests that this process holds; `send` returns a status or raises, `now` is the clock of their moments."""

    def __init__(self, send: Callable[[dict[str, Any]], int] = send_request, now: Callable[[], float] = now_s) -> None:
        self._send = send
        self._now = now
        self.requests: dict[str, dict[str, Any]] = {}
        self.moments: dict[str, float] = {}
        self.tries: dict[str, int] = {}

    def take(self, message: dict[str, Any]) -> None:
        """Process a line of standard input."""
        if "hold" in message:
            self.requests[message["hold"]] = message
        elif "arm" in message:
            self.moments = {key: moment for key, moment in message["arm"].items() if key in self.requests}
            self.tries.clear()
        else:
            self.drop(message["forget"])

    def drop(self, key: str) -> None:
        """Drop a request."""
        self.requests.pop(key, None)
        self.moments.pop(key, None)
        self.tries.pop(key, None)

    def pause_s(self) -> float:
        """Return the seconds until the next request is due, at most until the next look at the parent."""
        now = self._now()
        return max(0.0, min(_LOOK_S, min(self.moments.values(), default=now + _LOOK_S) - now))

    def put_off(self, seconds: float) -> None:
        """Postpone all requests so that none is sent for some seconds."""
        late = self._now() + seconds - min(self.moments.values(), default=self._now() + seconds)
        self.moments = {key: moment + max(0.0, late) for key, moment in self.moments.items()}

    def send_due(self) -> None:
        """Send the request that is due, if there is one; after a transient error it is retried some seconds later.

        If it is late, as after the machine's sleep, the others are postponed as much: else all would go at once.
        """
        key = min(self.moments, key=lambda key: self.moments[key], default="")
        if not key or (late := self._now() - self.moments[key]) < 0.0:
            return
        self.moments = {key: moment + late for key, moment in self.moments.items()}
        at, status, trouble = self._now(), 0, ""
        try:
            status = self._send(self.requests[key])
        except Exception as error:  # no error may end the process that holds the others
            trouble = type(error).__name__
        tries = self.tries[key] = self.tries.get(key, 0) + 1
        is_transient = bool(trouble) or status >= 500 or status in (408, 429)
        if is_transient and tries < TRIES:
            self.moments[key] = self._now() + PAUSE_S
            return
        self.drop(key)
        if not is_transient and status >= 300 and status != 409:  # 409: the job exists already
            self.moments.clear()  # the session or the key has ended: the others would be refused as well
        print(json.dumps({"key": key, "at": at, "status": status, "trouble": trouble}), flush=True)


def main() -> None:
    """Hold and send requests until standard input or the parent ends."""
    parent, held, rest = int(sys.argv[1]), HeldRequests(), b""  # an argument: the parent may be dead before this runs
    while True:
        readable, _, _ = select.select([0], [], [], held.pause_s())
        if os.getppid() != parent:
            return
        if readable:
            data = os.read(0, 1 << 16)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                held.take(json.loads(line))
        elif is_stopped(parent):  # another process may have taken its run over; once it continues, it postpones
            held.put_off(AFTER_STOP_S)
        else:
            held.send_due()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
