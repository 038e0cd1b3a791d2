"""Number of requests that a client has in flight, and that it sends a second: as many as the service takes.

The rate is unlimited, or the user's limit, until the service throttles. It is then set a tenth below the rate at which
requests were accepted, and grows as in CUBIC (RFC 9438): it stays near that rate for some seconds, then grows faster.
A limit counts requests a second, so the rate is adapted and not the number in flight: a near service answers a single
connection faster than some limits allow. The number in flight follows from how far away the service is.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass

from hybridloop.runtime.clock import Clock

MAX_IN_FLIGHT = 128
MIN_IN_FLIGHT = 8
_CPU_S = 0.002  # of this process for a request: more in flight than an answer takes of these gain nothing
_ANSWERS = 16  # whose shortest time is the distance of the service
_WINDOW_S = 1.0  # over which accepted requests are counted; at most one decrease in it
_DECREASE = 0.1  # of the rate
_PLATEAU_S = 5.0  # after which the rate is what it was before the decrease
_LEAST_PER_S = 1.0
_FIRST_LEAST_PER_S = 10.0  # at the first decrease, as a single failure may have other causes
_SAVED_UP = 5.0  # requests that an idle client may send at once; at least those of a tenth of a second
_LOOK_S = 0.25  # the rate may have risen meanwhile
_SHORTEST_S = 0.001  # a shorter wait may end before its time by rounding


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """A user's limits on the requests of one client: the number in flight, and that a second."""

    in_flight: int = MAX_IN_FLIGHT
    per_s: float = math.inf


NO_LIMITS = RequestLimits()


class RequestPace:
    """Pace of the requests of one client within its limits; thread-safe."""

    def __init__(self, clock: Clock, limits: RequestLimits = NO_LIMITS) -> None:
        self._clock = clock
        self._limits = limits
        self._lock = threading.Lock()
        self._times: deque[float] = deque(maxlen=_ANSWERS)  # that answers took, in seconds
        self._accepted: deque[float] = deque()  # moments within the window
        self._per_s = limits.per_s
        self._limit_per_s = limits.per_s  # estimated
        self._is_guess = False
        self._decreased_at = -math.inf
        # of a limited rate: requests are numbered as they come, and those below `_admitted` may go
        self._numbered = 0
        self._admitted = 0.0
        self._counted_at = clock.now()

    @property
    def in_flight(self) -> int:
        """Number of requests in flight from which on further ones gain nothing."""
        with self._lock:
            nearest = min(self._times, default=0.0)
        return min(self._limits.in_flight, max(MIN_IN_FLIGHT, min(MAX_IN_FLIGHT, math.ceil(nearest / _CPU_S))))

    def admit(self, stop: threading.Event) -> None:
        """Wait until a request may be sent, in the order of the calls; return at once if `stop` is set."""
        number = self.number()
        while not stop.is_set() and (wait_s := self.wait_s(number)) > 0.0:
            self._clock.wait(stop, wait_s)

    def number(self) -> int:
        """Number the next request; the numbers have a meaning only while the rate is limited."""
        if self._per_s == math.inf:
            return 0
        now = self._clock.now()
        with self._lock:
            self._count(now)
            self._numbered += 1
            return self._numbered

    def wait_s(self, number: int) -> float:
        """Return 0 if the request of that number may go, else the seconds after which to ask again."""
        if self._per_s == math.inf:
            return 0.0
        now = self._clock.now()
        with self._lock:
            self._count(now)
            wait_s = (number - self._admitted) / self._per_s
        return min(_LOOK_S, wait_s) if wait_s >= _SHORTEST_S else 0.0

    def accepted(self, took_s: float) -> None:
        """Note an answer of the service that took so many seconds."""
        now = self._clock.now()
        with self._lock:
            self._times.append(took_s)
            self._accepted.append(now)
            accepted_per_s = self._accepted_per_s(now)
            if self._is_guess:  # the first requests were refused before others were answered
                self._limit_per_s = max(self._limit_per_s, accepted_per_s)
                self._is_guess = now - self._decreased_at < 2.0 * _WINDOW_S

    def throttled(self) -> None:
        """Lower the rate, because the service answered that it gets too many requests, or did not answer in time."""
        now = self._clock.now()
        with self._lock:
            self._count(now)
            if now - self._decreased_at < _WINDOW_S:  # of requests that were sent before the last decrease
                return
            self._is_guess = self._per_s == math.inf
            least = _LEAST_PER_S
            if self._is_guess:
                self._numbered, self._admitted, least = 0, _SAVED_UP, _FIRST_LEAST_PER_S
            self._limit_per_s = max(least, min(self._per_s, self._accepted_per_s(now)))
            self._decreased_at = self._counted_at = now
            self._per_s = self._rate(now)

    def _accepted_per_s(self, now: float) -> float:
        """Forget what is older than the window, and return the accepted requests a second in it."""
        while self._accepted and self._accepted[0] <= now - _WINDOW_S:
            self._accepted.popleft()
        return len(self._accepted) / _WINDOW_S

    def _rate(self, now: float) -> float:
        if self._decreased_at == -math.inf:
            return self._limits.per_s
        since = (now - self._decreased_at) / _PLATEAU_S
        return min(self._limits.per_s, self._limit_per_s * (1.0 + _DECREASE * (since - 1.0) ** 3))

    def _count(self, now: float) -> None:
        """Let the requests go that are due by now."""
        passed, self._counted_at = max(0.0, now - self._counted_at), now
        if self._per_s == math.inf:
            return
        self._per_s = self._rate(now)
        saved_up = max(_SAVED_UP, 0.1 * self._per_s)
        self._admitted = min(self._admitted + self._per_s * passed, self._numbered + saved_up)
