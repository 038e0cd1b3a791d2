"""Jumps of virtual time, and its endpoints; participants are tested with the client's clock."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.emulator.clock import VirtualClock
from hybridloop.emulator.virtual_time import Participant, VirtualTime, next_jump
from tests.conftest import Emulator
from tests.emulator.http_helpers import Reply, connection, raw_call

MOMENTS = st.floats(min_value=0, max_value=1e6)


@given(st.lists(MOMENTS | st.just(math.inf), min_size=1), st.none() | MOMENTS)
def test_time_jumps_to_the_earliest_moment(waits: list[float], event: float | None) -> None:
    moment = next_jump(waits, lambda: event)
    others = [*waits, *([] if event is None else [event])]
    if moment is None:
        assert all(math.isinf(other) for other in others)
    else:
        assert moment in others
        assert all(moment <= other for other in others)


@given(st.lists(MOMENTS | st.just(math.inf) | st.none()), st.none() | MOMENTS)
def test_time_stands_while_a_participant_is_busy_or_without_participants(
    waits: list[float | None], event: float | None
) -> None:
    assert next_jump([*waits, None], lambda: event) is None
    assert next_jump([], lambda: event) is None


class RecordingService:
    """Service that records the moments to which time advances."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def advance(self, clock: VirtualClock, moment: float) -> None:
        clock.advance_to(moment)
        self.moments.append(moment)

    def next_idle_timeout(self) -> float | None:
        return None


@given(st.lists(st.lists(st.integers(0, 50), max_size=6), min_size=1, max_size=5), st.lists(st.integers(0, 100)))
def test_participants_wake_and_timers_fire_at_their_own_moments(pauses: list[list[int]], timers: list[int]) -> None:
    service, clock, fired = RecordingService(), VirtualClock(0.0), list[tuple[int, float]]()

    async def participate(time: VirtualTime, participant: Participant, waits: list[int]) -> list[float]:
        woken = []
        for pause in waits:
            await time.wait(participant, clock.now() + pause)
            woken.append(clock.now())
        time.leave(participant)
        return woken

    async def run_all() -> list[list[float]]:
        time = VirtualTime(clock, service)
        for moment in timers:
            time.call_at(moment, lambda moment=moment: fired.append((moment, clock.now())))  # type: ignore[misc]
        participants = [time.join(str(i)) for i in range(len(pauses))]
        pairs = zip(participants, pauses, strict=True)
        return await asyncio.gather(*(participate(time, participant, waits) for participant, waits in pairs))

    assert asyncio.run(run_all()) == [[float(end) for end in itertools.accumulate(waits)] for waits in pauses]
    assert service.moments == sorted(service.moments)
    assert all(moment == now for moment, now in fired)
    assert sorted(moment for moment, _ in fired) == sorted(moment for moment in timers if moment <= clock.now())


@pytest.fixture(scope="module")
def virtual(azure_quantum_emulator: Emulator) -> Emulator:
    return azure_quantum_emulator


def clock_call(emulator: Emulator, method: str, path: str, body: bytes | None = None) -> Reply:
    return raw_call(emulator.endpoint, method, f"/_admin/clock{path}", body, {"x-admin-key": emulator.admin_key})


def join(emulator: Emulator, http_connection: http.client.HTTPConnection) -> str:
    http_connection.request("POST", "/_admin/clock/participants", b"{}", {"x-admin-key": emulator.admin_key})
    return str(json.loads(http_connection.getresponse().readline())["participant"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/wait", b'{"participant": "nobody", "until": 1}', 404),
        ("POST", "/wake", b'{"participant": "nobody"}', 404),
        ("POST", "/wake", b"[]", 400),
        ("POST", "/wait", b"{", 400),
        ("POST", "/participants", b'{"name": 5}', 400),
        ("GET", "/wait", None, 405),
        ("POST", "/nowhere", b"{}", 404),
    ],
)
def test_an_invalid_clock_request_is_refused(
    virtual: Emulator, method: str, path: str, body: bytes | None, status: int
) -> None:
    assert clock_call(virtual, method, path, body).status == status


@pytest.mark.parametrize("until", [b'"soon"', b"true", b"1e300", b"NaN", b"1e999", b"1" * 400, b"-" + b"1" * 400])
def test_a_wait_without_a_valid_number_of_seconds_is_refused(virtual: Emulator, until: bytes) -> None:
    with connection(virtual.endpoint) as opened:
        participant = join(virtual, opened)
        body = b'{"participant": "%s", "until": %s}' % (participant.encode(), until)
        assert clock_call(virtual, "POST", "/wait", body).status == 400


def test_a_wait_for_a_past_moment_returns_at_once(virtual: Emulator) -> None:
    with connection(virtual.endpoint) as opened, connection(virtual.endpoint) as busy:
        participant = join(virtual, opened)
        join(virtual, busy)
        now = virtual.admin("clock")["seconds"]
        body = {"participant": participant, "until": now - 5}
        assert virtual.admin("clock/wait", body) == {"seconds": now}


def test_participants_are_refused_on_the_real_clock(emulator: Emulator) -> None:
    for path in ("/participants", "/wait", "/wake"):
        reply = clock_call(emulator, "POST", path, b"{}")
        assert (reply.status, reply.json()["error"]["code"]) == (409, "ClockIsReal")


def test_the_service_stops_at_once_although_a_participant_is_connected(
    start_emulator: Callable[..., Emulator],
) -> None:
    emulator = start_emulator("--clock", "virtual")
    with connection(emulator.endpoint) as opened:
        join(emulator, opened)
        assert emulator.stop() == 0
        assert opened.sock is None or opened.sock.recv(10) in (b"0\r\n\r\n", b"")
