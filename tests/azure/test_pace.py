"""Pace of requests: a simulated service that throttles is used at its limit, by few refused requests."""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridloop.azure.pace import MAX_IN_FLIGHT, NO_LIMITS, RequestLimits, RequestPace
from hybridloop.azure.retry import ATTEMPTS_IN_RUN
from tests.long_form import long_form, short_or_long

RETRY_AFTER_S = 1.0
NO_LIMIT = 1e9


class SimulatedTime:
    """A clock of simulated time, and the calls that are due at a moment."""

    def __init__(self) -> None:
        self._now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def now(self) -> float:
        return self._now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        raise AssertionError("no thread waits in simulated time")

    def hold(self) -> AbstractContextManager[object]:
        return nullcontext()

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (self._now + seconds, self._count, call))

    def run(self) -> None:
        while self._due:
            self._now, _, call = heapq.heappop(self._due)
            call()


class SimulatedClient:
    """Clients that send requests, some at once, to a service that takes some a second (a token bucket)."""

    def __init__(self, per_s: float, latency_s: float, seed: int, limits: RequestLimits = NO_LIMITS) -> None:
        self.time = SimulatedTime()
        self.pace = RequestPace(self.time, limits)
        self.refused = 0
        self.most_attempts = 0
        self.ended_at = 0.0
        self._per_s, self._latency_s, self._random = per_s, latency_s, random.Random(seed)
        self._left, self._since = per_s, 0.0
        self._waiting: Iterator[int] = iter(())

    def send(self, requests: int) -> float:
        """Send so many requests; return the seconds until the last was accepted."""
        began = self.time.now()
        self._waiting = iter(range(requests))
        for _ in range(MAX_IN_FLIGHT):
            self._next()
        self.time.run()
        return self.ended_at - began

    def lift_limit(self) -> None:
        self._per_s = NO_LIMIT

    def _next(self) -> None:
        if next(self._waiting, None) is not None:
            self._try(1, self.pace.number())

    def _try(self, attempt: int, number: int) -> None:
        if (wait_s := self.pace.wait_s(number)) > 0.0:
            self.time.call_later(wait_s, lambda: self._try(attempt, number))
            return
        now = self.time.now()
        self._left = min(self._per_s, self._left + self._per_s * (now - self._since))
        self._since = now
        self.most_attempts = max(self.most_attempts, attempt)
        if self._left >= 1.0:
            self._left -= 1.0
            self.time.call_later(self._latency_s, self._accepted)
            return
        self.refused += 1
        self.pace.throttled()
        jitter_s = self._random.uniform(0.0, min(10.0, 0.2 * 2**attempt))
        wait_s = max(jitter_s, RETRY_AFTER_S)
        self.time.call_later(wait_s, lambda: self._try(attempt + 1, self.pace.number()))

    def _accepted(self) -> None:
        self.ended_at = self.time.now()
        self.pace.accepted(self._latency_s)
        self._next()


@long_form
@settings(max_examples=short_or_long(10, 100))
@given(per_s=st.floats(5.0, 400.0), latency_s=st.floats(0.001, 1.0), seed=st.integers(0, 9))
def test_a_limit_is_used_up_and_no_request_is_refused_often(per_s: float, latency_s: float, seed: int) -> None:
    client, requests = SimulatedClient(per_s, latency_s, seed), 1000
    taken = client.send(requests)
    ideal = (requests - per_s) / min(per_s, MAX_IN_FLIGHT / latency_s)
    assert taken <= 1.3 * ideal + 5.0
    assert client.most_attempts < ATTEMPTS_IN_RUN
    assert client.refused <= MAX_IN_FLIGHT + 0.2 * requests


@pytest.mark.parametrize("latency_s", [0.002, 0.3])
def test_without_a_limit_requests_go_at_once(latency_s: float) -> None:
    client = SimulatedClient(NO_LIMIT, latency_s, 0)
    assert client.send(MAX_IN_FLIGHT * 10) == pytest.approx(10 * latency_s)


def test_a_lifted_limit_is_found_out() -> None:
    client = SimulatedClient(20.0, 0.1, 0)
    client.send(400)
    client.lift_limit()
    assert client.send(4000) < 4000 / 20.0 / 4  # a quarter of what the limit would allow


def test_more_requests_are_in_flight_the_further_away_the_service_is() -> None:
    found = []
    for latency_s in (0.001, 0.1, 0.3, 5.0):
        pace = RequestPace(SimulatedTime())
        for _ in range(3):
            pace.accepted(latency_s)
        found.append(pace.in_flight)
    assert found == [8, 50, MAX_IN_FLIGHT, MAX_IN_FLIGHT]


@pytest.mark.parametrize(
    ("user_s", "service_s", "taken_s"), [(50.0, NO_LIMIT, 20.0), (50.0, 60.0, 20.0), (50.0, 20.0, 50.0)]
)
def test_a_users_limit_is_never_exceeded(user_s: float, service_s: float, taken_s: float) -> None:
    client = SimulatedClient(service_s, 0.01, 0, RequestLimits(per_s=user_s))
    assert 0.9 * taken_s < client.send(1000) < 1.3 * taken_s
    assert client.refused == 0 or service_s < user_s


def test_a_users_limit_bounds_the_requests_in_flight() -> None:
    pace = RequestPace(SimulatedTime(), RequestLimits(in_flight=3))
    pace.accepted(5.0)
    assert pace.in_flight == 3


def test_a_stopped_client_waits_for_nothing() -> None:
    pace, stop = RequestPace(SimulatedTime()), threading.Event()
    pace.throttled()
    for _ in range(5):
        pace.number()
    stop.set()
    pace.admit(stop)
