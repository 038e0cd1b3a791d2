"""The virtual time of a local service, shared with it: it passes when everybody who lives in it waits.

A discrete-event clock (the service has the other half). Each thread that works holds a token and gives it up while
it waits; once no token is held, one thread here tells the service for which moment this process waits. HTTP time
limits stay real.
"""

from __future__ import annotations

import http.client
import math
import threading
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from hybridloop.errors import ServiceUnreachable
from hybridloop.sessions.admin import AdminCalls, UnknownParticipant

LOOK_S = 0.02  # real seconds after which an event is noticed that a thread without a token has set
AWAY_S = 30.0  # real seconds that a service may be away, as for a restart, before waits fail
REJOIN_EVERY_S = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    event: threading.Event
    until: float

    def is_due(self, now: float) -> bool:
        return self.until <= now or self.event.is_set()


class ServiceClock:
    """A `Clock` over the virtual time of a local service; to be held in a `with` block, whose thread has a token.

    While the service is away time stands still; waits raise ServiceUnreachable when it stays away.
    """

    def __init__(self, endpoint: str, admin_key: str, *, name: str = "hybridloop") -> None:
        """Join the time of the service at `endpoint`. Raises AccessDenied, InputError or ServiceUnreachable."""
        self._name = name
        self._calls = AdminCalls(endpoint, admin_key)
        self._long_calls = AdminCalls(endpoint, admin_key, timeout_s=None)
        self._state = threading.Condition()
        self._waiters: list[_Waiter] = []
        self._tokens = 0
        self._own = threading.local()
        self._is_asking = False
        self._closed = threading.Event()
        self._failure: ServiceUnreachable | None = None
        self._membership, self._participant, self._known = self._calls.join(name)
        self._first = self.hold()
        self._ticker = threading.Thread(target=self._tick, name="hybridloop-clock", daemon=True)
        self._ticker.start()

    def __enter__(self) -> Self:
        self._first.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._first.__exit__(kind, error, trace)
        with self._state:
            self._failure = ServiceUnreachable("the clock is closed", "Nothing was submitted by this.", "")
            self._closed.set()
            self._stand_still()
            self._state.notify_all()
        self._ticker.join()
        self._membership.close()
        self._calls.close()
        self._long_calls.close()

    def now(self) -> float:
        """Seconds since the epoch, of the service's time. Somebody may have moved it by hand, so it is asked."""
        with suppress(OSError, http.client.HTTPException):
            self._learn(self._calls.now())
        return self._known

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most so many virtual seconds; True says that it is set."""
        if event.is_set():
            return True
        waiter = _Waiter(event, self.now() + max(0.0, seconds))
        tokens: int = getattr(self._own, "tokens", 0)
        with self._state:
            self._waiters.append(waiter)
            self._tokens -= tokens
            self._state.notify_all()
            try:
                while not waiter.is_due(self._known):
                    if self._failure is not None:
                        raise self._failure
                    self._state.wait(LOOK_S)
            finally:
                self._waiters.remove(waiter)
                if tokens:
                    self._stand_still()
                self._tokens += tokens
                self._state.notify_all()
        return event.is_set()

    def hold(self) -> AbstractContextManager[object]:
        """A token, taken at once; the thread that enters the block gives it up in its waits, and at the end."""
        with self._state:
            self._stand_still()
            self._tokens += 1
        return _Token(self)

    def _adopt(self) -> None:
        self._own.tokens = getattr(self._own, "tokens", 0) + 1

    def _release(self) -> None:
        self._own.tokens -= 1
        with self._state:
            self._tokens -= 1
            self._state.notify_all()

    def _learn(self, now: float) -> None:
        with self._state:
            if now > self._known:
                self._known = now
                self._state.notify_all()

    def _stand_still(self) -> None:
        """End the wait that the service was told of, before anybody here works again. The state is held.

        Only needed where something came up that did not come out of this time: a signal, a thread without a token.
        """
        while self._is_asking and not self._is_due():
            with suppress(OSError, http.client.HTTPException, UnknownParticipant):
                self._calls.wake(self._participant)
            self._state.wait(LOOK_S / 4)

    def _is_due(self) -> bool:
        return False

    def _all_wait(self) -> bool:
        return self._tokens == 0 and not any(waiter.is_due(self._known) for waiter in self._waiters)

    def _tick(self) -> None:
        while not self._closed.is_set():
            with self._state:
                self._state.wait_for(lambda: self._closed.is_set() or self._all_wait())
                until = min((waiter.until for waiter in self._waiters), default=math.inf)
                self._is_asking = not self._closed.is_set()
            if not self._is_asking:
                return
            now = self._known
            with suppress(OSError, http.client.HTTPException, UnknownParticipant):
                now = self._long_calls.wait(self._participant, until)
                is_away = False
            with self._state:
                self._is_asking = False
                self._learn(now)
                self._state.notify_all()
