"""Between the books and the workers: what a job's end does to time that goes forward by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from hybridloop.emulator.latency import Latency
from hybridloop.emulator.pacing import Pacing
from hybridloop.emulator.session import JobFailurePolicy
from hybridloop.emulator.targets import Catalogue
from hybridloop.emulator.virtual_time import VirtualTime
from tests.emulator.bench import START, USAGE, Bench, NotedQueue

QUEUE_S = 30.0
WAIT_S = 5.0  # for what takes no time at all


def is_cancelled(bench: Bench, pacing: Pacing, key: int) -> None:
    bench.service.cancel(key)


def succeeds(bench: Bench, pacing: Pacing, key: int) -> None:
    assert pacing.begin(key) is not None
    pacing.succeed(key, b"{}", USAGE)


def fails_at_its_begin(bench: Bench, pacing: Pacing, key: int) -> None:
    bench.service.catalogue = Catalogue((), {}, {})  # its target is gone meanwhile
    assert pacing.begin(key) is None


@pytest.mark.parametrize("ends", [is_cancelled, succeeds, fails_at_its_begin])
def test_going_forward_by_hand_waits_for_jobs_on_the_way_and_for_no_other(
    ends: Callable[[Bench, Pacing, int], None],
) -> None:
    async def play() -> None:
        bench, workers = Bench(JobFailurePolicy.CONTINUE), NotedQueue()
        time, latency = VirtualTime(bench.clock, bench.service), Latency({}, 0)
        pacing = Pacing(bench.service, time, latency)
        pacing.workers, bench.service.queue = workers, pacing
        time.awaits_results = lambda: pacing.awaits_results
        time.is_computing = lambda: True  # a job without any moments of its own, for as long as it likes
        latency.queues = {"rigetti.sim.qvm": QUEUE_S}
        job = bench.submit()
        forward = asyncio.create_task(time.advance(START + 2 * QUEUE_S))
        while not workers.added:
            await asyncio.sleep(0)
        assert (bench.clock.now(), forward.done()) == (START + QUEUE_S, False)
        ends(bench, pacing, job.key)
        await asyncio.wait_for(forward, WAIT_S)
        assert bench.clock.now() == START + 2 * QUEUE_S

    asyncio.run(asyncio.wait_for(play(), 2 * WAIT_S))
