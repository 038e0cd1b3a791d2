"""The virtual time of a local service, shared with it: it passes when everybody who lives in it waits.

A discrete-event clock, of which the service has the other half. A thread that works holds a token, and gives it up
while it waits; once no token is held here, the service is told for which moment this process waits. HTTP time limits
stay real.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from hybridloop.errors import HybridloopError, ServiceUnreachable
from hybridloop.sessions.clock_calls import ClockCalls, ServiceAway

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
    """A `Clock` in the virtual time of a local service; to be held in a `with` block, whose thread has a token.

    While the service is away time stands still; once it stayed away for 30 s, waits raise ServiceUnreachable.
    Threads that were started without `hold()` are not waited for: time may pass while they work.
    """

    def __init__(self, endpoint: str, admin_key: str, *, name: str = "hybridloop") -> None:
        """Join the time of the service at `endpoint`. Raises AccessDenied, InputError or ServiceUnreachable."""
        self._name = name
        self._calls = ClockCalls(endpoint, admin_key)
        self._long_calls = ClockCalls(endpoint, admin_key, timeout_s=None)
        self._state = threading.Condition()
        self._waiters: list[_Waiter] = []
        self._tokens = 0
        self._own = threading.local()
        self._is_asking = False
        self._closing = threading.Event()
        self._failure: HybridloopError | None = None
        try:
            self._membership, self._known = self._calls.join(name)
        except ServiceAway as error:
            raise self._calls.unreachable() from error
        self._first = self.hold()
        self._ticker = threading.Thread(target=self._tick, name="hybridloop-clock", daemon=True)
        self._ticker.start()

    def __enter__(self) -> Self:
        self._first.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fail(ServiceUnreachable("the clock was closed", "This wait has ended.", ""))
        with self._state:
            self._stand_still()
        self._ticker.join()
        self._membership.close()
        self._calls.close()
        self._long_calls.close()

    def now(self) -> float:
        """Seconds since the epoch in the service's time; asked each time, because somebody may move it by hand."""
        with suppress(ServiceAway):
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
                self._tokens += tokens
                self._state.notify_all()
                if tokens:
                    self._stand_still()
        return event.is_set()

    def hold(self) -> AbstractContextManager[object]:
        """A token, taken at once; the thread that enters the block gives it up in its waits, and at the end."""
        with self._state:
            self._tokens += 1
            self._stand_still()
        return _Token(self)

    def adopt(self) -> None:
        """Let the calling thread have a token that was taken for it."""
        self._own.tokens = getattr(self._own, "tokens", 0) + 1

    def release(self) -> None:
        """Give up one token of the calling thread."""
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
        """Take back the wait that the service was told of, for a thread here works again; the state is held.

        Only needed where something came up that did not come out of this time: a signal, a thread without a token.
        """
        while self._is_asking:
            with suppress(ServiceAway):
                self._calls.wake(self._membership.id)
            self._state.wait(LOOK_S)

    def _all_wait(self) -> bool:
        return self._tokens == 0 and not any(waiter.is_due(self._known) for waiter in self._waiters)

    def _tick(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._closing.is_set() or self._all_wait())
                if self._closing.is_set():
                    return
                until = min((waiter.until for waiter in self._waiters), default=math.inf)
                self._is_asking = True
            try:
                now = self._long_calls.wait(self._membership.id, until)
            except ServiceAway:
                self._answered()
                self._learn(self._rejoined())
            else:
                self._answered()
                self._learn(now)

    def _answered(self) -> None:
        with self._state:
            self._is_asking = False
            self._state.notify_all()

    def _rejoined(self) -> float:
        """Join again once the service is back, and the time there; gives up after a while."""
        self._membership.close()
        gives_up_at = time.monotonic() + AWAY_S
        while not self._closing.wait(REJOIN_EVERY_S):
            try:
                self._membership, now = self._calls.join(self._name)
            except ServiceAway:
                if time.monotonic() > gives_up_at:
                    self._fail(self._calls.unreachable())
            except HybridloopError as error:  # it is back with another key, or another clock
                self._fail(error)
            else:
                return now
        return self._known

    def _fail(self, error: HybridloopError) -> None:
        """End this clock: all who wait, now or later, are told why."""
        with self._state:
            self._failure = error
            self._closing.set()
            self._state.notify_all()


@dataclass(frozen=True, slots=True)
class _Token:
    clock: ServiceClock

    def __enter__(self) -> None:
        self.clock.adopt()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clock.release()
