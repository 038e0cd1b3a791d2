"""When virtual time jumps, and what its endpoints take; living in it is tested beside the client's clock."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import math
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.emulator.clock import VirtualClock
from hybridloop.emulator.virtual_time import Participant, VirtualTime, jump_to
from tests.conftest import Emulator, running_emulator
from tests.emulator.calls import Reply, connection, raw_call

MOMENTS = st.floats(min_value=0, max_value=1e6)


@given(st.lists(MOMENTS | st.just(math.inf), min_size=1), st.none() | MOMENTS)
def test_time_jumps_to_the_earliest_moment_and_no_further(waits: list[float], own: float | None) -> None:
    moment = jump_to(waits, lambda: own)
    others = [*waits, *([] if own is None else [own])]
    if moment is None:
        assert all(math.isinf(other) for other in others)
    else:
        assert moment in others
        assert all(moment <= other for other in others)


@given(st.lists(MOMENTS | st.just(math.inf) | st.none()), st.none() | MOMENTS)
def test_time_stands_while_anybody_is_busy_or_nobody_is_there(waits: list[float | None], own: float | None) -> None:
    assert jump_to([*waits, None], lambda: own) is None
    assert jump_to([], lambda: own) is None


class NotedBooks:
    """Books in which nothing happens but that time goes by."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def advance(self, clock: VirtualClock, moment: float) -> None:
        clock.advance_to(moment)
        self.moments.append(moment)

    def next_time_out(self) -> float | None:
        return None


@given(st.lists(st.lists(st.integers(0, 50), max_size=6), min_size=1, max_size=5), st.lists(st.integers(0, 100)))
def test_each_participant_wakes_at_its_own_moments_and_each_alarm_rings_at_its_own(
    pauses: list[list[int]], alarms: list[int]
) -> None:
    books, clock, rung = NotedBooks(), VirtualClock(0.0), list[tuple[int, float]]()

    async def live(time: VirtualTime, participant: Participant, own: list[int]) -> list[float]:
        woken = []
        for pause in own:
            await time.wait(participant, clock.now() + pause)
            woken.append(clock.now())
        time.leave(participant)
        return woken

    async def together() -> list[list[float]]:
        time = VirtualTime(clock, books)
        for moment in alarms:
            time.at(moment, lambda moment=moment: rung.append((moment, clock.now())))  # type: ignore[misc]
        joined = [time.join(str(i)) for i in range(len(pauses))]
        return await asyncio.gather(*(live(time, who, own) for who, own in zip(joined, pauses, strict=True)))

    assert asyncio.run(together()) == [[float(end) for end in itertools.accumulate(own)] for own in pauses]
    assert books.moments == sorted(books.moments)
    assert all(moment == now for moment, now in rung)
    assert sorted(moment for moment, _ in rung) == sorted(moment for moment in alarms if moment <= clock.now())


@pytest.fixture(scope="module")
def virtual() -> Iterator[Emulator]:
    with running_emulator("--clock", "virtual") as emulator:
        yield emulator


def clock_call(emulator: Emulator, method: str, path: str, body: bytes | None = None) -> Reply:
    return raw_call(emulator.endpoint, method, f"/_admin/clock{path}", body, {"x-admin-key": emulator.admin_key})


def joined(emulator: Emulator, opened: http.client.HTTPConnection) -> str:
    opened.request("POST", "/_admin/clock/participants", b"{}", {"x-admin-key": emulator.admin_key})
    return str(json.loads(opened.getresponse().readline())["participant"])


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
def test_what_can_not_be_understood_is_refused(
    virtual: Emulator, method: str, path: str, body: bytes | None, status: int
) -> None:
    assert clock_call(virtual, method, path, body).status == status


@pytest.mark.parametrize("until", [b'"soon"', b"true", b"1e300", b"NaN", b"1e999", b"1" * 400, b"-" + b"1" * 400])
def test_a_participant_waits_for_a_number_of_seconds_only(virtual: Emulator, until: bytes) -> None:
    with connection(virtual.endpoint) as opened:
        participant = joined(virtual, opened)
        body = b'{"participant": "%s", "until": %s}' % (participant.encode(), until)
        assert clock_call(virtual, "POST", "/wait", body).status == 400


def test_a_moment_that_has_passed_is_not_waited_for(virtual: Emulator) -> None:
    with connection(virtual.endpoint) as opened, connection(virtual.endpoint) as busy:
        participant = joined(virtual, opened)
        joined(virtual, busy)
        now = virtual.admin("clock")["seconds"]
        body = {"participant": participant, "until": now - 5}
        assert virtual.admin("clock/wait", body) == {"seconds": now}


def test_nobody_can_join_real_time(emulator: Emulator) -> None:
    for path in ("/participants", "/wait", "/wake"):
        reply = clock_call(emulator, "POST", path, b"{}")
        assert (reply.status, reply.json()["error"]["code"]) == (409, "ClockIsReal")


def test_the_service_stops_at_once_though_somebody_lives_in_its_time(
    start_emulator: Callable[..., Emulator],
) -> None:
    emulator = start_emulator("--clock", "virtual")
    with connection(emulator.endpoint) as opened:
        joined(emulator, opened)
        assert emulator.stop() == 0
        assert opened.sock is None or opened.sock.recv(10) in (b"0\r\n\r\n", b"")
