"""A process that sends prepared requests at their moments unless it is told otherwise; the standard library only.

It is started as a script, knows nothing of the package, and takes one JSON document a line on standard input, because
requests hold keys that must not be in arguments, environment or files. It ends when its standard input does. Its
standard output says what it sent, without addresses, headers or bodies.

    {"hold": KEY, "url": …, "headers": {…}, "body": …, "proxy": …|null, "ca": …|null}   keep a PUT, not armed
    {"arm": {KEY: MOMENT, …}}                                                  send them then (now_s), and no others
    {"forget": KEY}
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
_LOOK_S = 5.0  # how often it looks whether its parent lives: a copy of the pipe's end may be in a forked process


def now_s() -> float:
    """Seconds on the machine's clock that nobody sets, and that goes on while it sleeps where it has one that does."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def is_stopped(pid: int) -> bool:
    """Whether a process stands still because it was told to, as by Ctrl-Z; where that can't be seen, no."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


def may_be_sent(url: str) -> bool:
    """Whether a request with a key may go there: over TLS, or within this machine."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def put(request: dict[str, Any]) -> int:
    """Send it once; the status. Raises OSError."""
    import ssl  # not before it is needed: an idle process is half as large without
    import urllib.error
    import urllib.request

    if not may_be_sent(request["url"]):
        raise OSError("this address is not to have a key")
    proxies = {} if request["proxy"] is None else {"http": request["proxy"], "https": request["proxy"]}
    tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=request["ca"]))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies), tls)
    body = request["body"].encode()
    asked = urllib.request.Request(request["url"], body, request["headers"], method="PUT")
    try:
        with opener.open(asked, timeout=TIME_LIMIT_S) as reply:
            reply.read()
            return int(reply.status)
    except urllib.error.HTTPError as refusal:  # a redirect too: a PUT is not sent elsewhere
        refusal.close()
        return refusal.code


class HeldRequests:
    """The requests that this process holds; `send` gives a status or raises, `now` is the time that they are due by."""

    def __init__(self, send: Callable[[dict[str, Any]], int] = put, now: Callable[[], float] = now_s) -> None:
        self._send = send
        self._now = now
        self.requests: dict[str, dict[str, Any]] = {}
        self.moments: dict[str, float] = {}
        self.tries: dict[str, int] = {}

    def take(self, message: dict[str, Any]) -> None:
        """Do as a line of standard input says."""
        if "hold" in message:
            self.requests[message["hold"]] = message
        elif "arm" in message:
            self.moments = {key: moment for key, moment in message["arm"].items() if key in self.requests}
            self.tries.clear()
        else:
            self.drop(message["forget"])

    def drop(self, key: str) -> None:
        """Let go of one."""
        self.requests.pop(key, None)
        self.moments.pop(key, None)
        self.tries.pop(key, None)

    def pause_s(self) -> float:
        """Seconds until the next is due, at most until the next look at the parent."""
        now = self._now()
        return max(0.0, min(_LOOK_S, min(self.moments.values(), default=now + _LOOK_S) - now))

    def put_off(self, seconds: float) -> None:
        """Send nothing for so long at least."""
        late = self._now() + seconds - min(self.moments.values(), default=self._now() + seconds)
        self.moments = {key: moment + max(0.0, late) for key, moment in self.moments.items()}

    def send_due(self) -> None:
        """Send the one that is due, if there is one; after passing trouble it is tried again in a while.

        If it is late, as after the machine's sleep, the others wait as much longer: else they would all go at once.
        """
        key = min(self.moments, key=lambda key: self.moments[key], default="")
        if not key or (late := self._now() - self.moments[key]) < 0.0:
            return
        self.moments = {key: moment + late for key, moment in self.moments.items()}
        at, status, trouble = time.time(), 0, ""
        try:
            status = self._send(self.requests[key])
        except Exception as error:  # whatever it is, it must not end the process that holds the others
            trouble = type(error).__name__
        tries = self.tries[key] = self.tries.get(key, 0) + 1
        is_passing = bool(trouble) or status >= 500 or status in (408, 429)
        if is_passing and tries < TRIES:
            self.moments[key] = self._now() + PAUSE_S
            return
        self.drop(key)
        if not is_passing and status >= 300 and status != 409:  # which says that it is there already
            self.moments.clear()  # the session is over, or the key: the others would be refused as well
        print(json.dumps({"key": key, "at": at, "status": status, "trouble": trouble}), flush=True)


def main() -> None:
    """Hold and send until standard input ends or the parent does."""
    parent, held, rest = int(sys.argv[1]), HeldRequests(), b""  # told, not asked for: it may be dead before this runs
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
        elif is_stopped(parent):  # somebody else may have taken over what it did; once it goes on, it says so
            held.put_off(AFTER_STOP_S)
        else:
            held.send_due()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
