"""Discrete-event clock in the emulator's virtual time, which advances when all its participants wait.

The emulator has the other half of the clock; this half calls it below `/_admin/clock`. A working thread holds a token
and gives it up while it waits. When no thread of this process holds a token, the process sends the emulator the time
until which it waits. HTTP timeouts stay in real time.
"""

from __future__ import annotations

import http.client
import json
import math
import threading
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

TIMEOUT_S = 10.0  # of HTTP calls, in real seconds
EVENT_POLL_S = 0.02  # real seconds: how often waits look for events that a thread without a token has set
RECONNECT_LIMIT_S = 30.0  # real seconds that the emulator may be away, as for a restart, before waits fail
REJOIN_EVERY_S = 0.05


class ClockUnreachable(Exception):
    """The emulator does not answer, or no longer knows this participant: it was stopped or restarted."""


class ClockRefused(Exception):
    """The emulator does not let this process take part: it has another admin key, or runs in real time."""


class ClockMembership:
    """An open connection by which this process takes part in the emulator's time, there under the name `id`."""

    def __init__(self, connection: http.client.HTTPConnection, participant_id: str) -> None:
        self._connection = connection
        self.id = participant_id

    def close(self) -> None:
        """Leave the emulator's time."""
        self._connection.close()


class ClockClient:
    """HTTP client of the emulator's clock: one connection, one call at a time, repeated only if that was stale."""

    def __init__(self, endpoint: str, admin_key: str, *, timeout_s: float | None = TIMEOUT_S) -> None:
        self._host = urlsplit(endpoint).netloc
        self._headers = {"x-admin-key": admin_key, "content-type": "application/json"}
        self._timeout_s = timeout_s
        self._connection = self._connect()
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return seconds since the epoch. Raises ClockUnreachable."""
        return float(self._call("GET", "", None)["seconds"])

    def wait(self, participant_id: str, until: float) -> float:
        """Wait until that time (infinity: until woken) and return the time then. Raises ClockUnreachable."""
        body = {"participant": participant_id, "until": until if math.isfinite(until) else None}
        return float(self._call("POST", "/wait", body)["seconds"])

    def wake(self, participant_id: str) -> None:
        """End the participant's wait. Raises ClockUnreachable."""
        self._call("POST", "/wake", {"participant": participant_id})

    def join(self, name: str) -> tuple[ClockMembership, float]:
        """Join the emulator's time; return the membership and the time. Raises ClockRefused or ClockUnreachable."""
        connection = self._connect()
        try:
            connection.request("POST", "/_admin/clock/participants", json.dumps({"name": name}), self._headers)
            reply = connection.getresponse()
            if reply.status == 401:
                raise ClockRefused(f"{self._host} does not accept the admin key; give the one that it printed")
            if reply.status == 409:
                raise ClockRefused(f"the service at {self._host} runs in real time; start it with --clock virtual")
            document = json.loads(reply.readline())
            connection.sock.settimeout(None)
            return ClockMembership(connection, str(document["participant"])), float(document["seconds"])
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            connection.close()
            raise ClockUnreachable(f"the clock at {self._host} does not answer: {error!r}") from error
        except BaseException:  # an open connection is a membership and would stop time for the others
            connection.close()
            raise

    def close(self) -> None:
        """Close the connection after the present call; a later call opens another."""
        with self._lock:
            self._connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, timeout=self._timeout_s)

    def _call(self, method: str, path: str, body: object) -> Any:
        data = None if body is None else json.dumps(body)
        with self._lock:
            for is_fresh in (False, True):  # the emulator may have closed an idle connection
                if is_fresh:
                    self._connection.close()
                    self._connection = self._connect()
                try:
                    self._connection.request(method, f"/_admin/clock{path}", data, self._headers)
                    reply = self._connection.getresponse()
                    content = reply.read()
                    if reply.status == 200:
                        return json.loads(content)
                    failure: Exception = ValueError(f"answered {reply.status}")
                except (OSError, http.client.HTTPException, ValueError) as error:
                    failure = error
        raise ClockUnreachable(f"the clock at {self._host} does not answer: {failure!r}") from failure


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    """A thread that waits, and its tokens, which it has given up meanwhile.

    It waits on a plain lock: where a signal handler raises in `Condition.wait`, the condition may stay unlocked.
    """

    event: threading.Event
    until: float
    tokens: int
    sleep: threading.Lock = field(default_factory=threading.Lock)

    def is_due(self, now: float) -> bool:
        return self.until <= now or self.event.is_set()

    def wake(self) -> None:
        with suppress(RuntimeError):  # it is awake
            self.sleep.release()


class ServiceClock:
    """A `Clock` in an emulator's virtual time; use it in a `with` block, whose thread holds a token.

    While the emulator is away, time stands still; after 30 s, waits raise ClockUnreachable. Time may pass while
    threads work that were started without `hold()`.
    """

    def __init__(self, endpoint: str, admin_key: str, *, name: str = "hybridloop") -> None:
        """Join the time of the emulator at `endpoint`. Raises ClockRefused or ClockUnreachable."""
        self._name = name
        self._client = ClockClient(endpoint, admin_key)
        self._wait_client = ClockClient(endpoint, admin_key, timeout_s=None)
        self._state = threading.Condition()
        self._waiters: list[_Waiter] = []
        self._tokens = 0
        self._thread = threading.local()
        self._is_remote_wait = False
        self._closing = threading.Event()
        self._failure: Exception | None = None
        self._membership, self._latest = self._client.join(name)
        self._creator_token = self.hold()
        self._ticker = threading.Thread(target=self._tick, name="hybridloop-clock", daemon=True)
        self._ticker.start()

    def __enter__(self) -> Self:
        self._creator_token.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fail(ClockUnreachable("the clock was closed"))
        with self._state:
            self._cancel_remote_wait()
        self._ticker.join()
        self._membership.close()
        self._client.close()
        self._wait_client.close()

    def now(self) -> float:
        """Return seconds since the epoch in the emulator's time; always asks, as a user may advance it by hand."""
        with suppress(ClockUnreachable):
            self._advance_to(self._client.now())
        return self._latest

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most so many virtual seconds; return True if it is set."""
        if event.is_set():
            return True
        waiter = _Waiter(event, self.now() + max(0.0, seconds), getattr(self._thread, "tokens", 0))
        try:
            with self._state:
                self._waiters.append(waiter)
                self._state.notify_all()
            while not waiter.is_due(self._latest):
                if self._failure is not None:
                    raise self._failure
                waiter.sleep.acquire(timeout=EVENT_POLL_S)
        finally:
            with self._state:
                self._waiters = [other for other in self._waiters if other is not waiter]
                self._state.notify_all()
                if waiter.tokens:
                    self._cancel_remote_wait()
        return event.is_set()

    def hold(self) -> AbstractContextManager[object]:
        """Take a token now; the thread that enters the returned context gives it up in its waits and at the end."""
        with self._state:
            self._tokens += 1
            self._cancel_remote_wait()
        return _Token(self)

    def adopt(self) -> None:
        """Assign a token that was taken by `hold` to the calling thread."""
        self._thread.tokens = getattr(self._thread, "tokens", 0) + 1

    def release(self) -> None:
        """Give up one token of the calling thread."""
        self._thread.tokens -= 1
        with self._state:
            self._tokens -= 1
            self._state.notify_all()

    def _advance_to(self, now: float) -> None:
        with self._state:
            if now > self._latest:
                self._latest = now
                self._wake_all()

    def _wake_all(self) -> None:
        self._state.notify_all()
        for waiter in self._waiters:
            waiter.wake()

    def _cancel_remote_wait(self) -> None:
        """End the emulator's wait for this process, because a thread works again; `_state` is locked.

        Only needed after something from outside virtual time: a signal, or an event of a thread without a token.
        """
        while self._is_remote_wait:
            with suppress(ClockUnreachable):
                self._client.wake(self._membership.id)
            self._state.wait(EVENT_POLL_S)

    def _all_threads_wait(self) -> bool:
        return self._tokens == sum(waiter.tokens for waiter in self._waiters) and not any(
            waiter.is_due(self._latest) for waiter in self._waiters
        )

    def _tick(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._closing.is_set() or self._all_threads_wait())
                if self._closing.is_set():
                    return
                until = min((waiter.until for waiter in self._waiters), default=math.inf)
                self._is_remote_wait = True
            try:
                now = self._wait_client.wait(self._membership.id, until)
            except ClockUnreachable:
                self._end_remote_wait()
                self._advance_to(self._rejoin())
            else:
                self._end_remote_wait()
                self._advance_to(now)

    def _end_remote_wait(self) -> None:
        with self._state:
            self._is_remote_wait = False
            self._state.notify_all()

    def _rejoin(self) -> float:
        """Join again when the emulator is back and return its time; fail after `RECONNECT_LIMIT_S`."""
        self._membership.close()
        gives_up_at = time.monotonic() + RECONNECT_LIMIT_S
        while not self._closing.wait(REJOIN_EVERY_S):
            try:
                self._membership, now = self._client.join(self._name)
            except ClockUnreachable as error:
                if time.monotonic() > gives_up_at:
                    self._fail(error)
            except ClockRefused as error:  # it is back with another key, or in real time
                self._fail(error)
            else:
                return now
        return self._latest

    def _fail(self, error: Exception) -> None:
        """End this clock with an error, which all present and later waits raise."""
        with self._state:
            self._failure = error
            self._closing.set()
            self._wake_all()


@dataclass(frozen=True, slots=True)
class _Token:
    clock: ServiceClock

    def __enter__(self) -> None:
        self.clock.adopt()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clock.release()
