"""Job pacer and virtual time: an advance waits for the jobs whose simulated times lie on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from hybridloop.emulator.model.latency import LatencyModel
from hybridloop.emulator.model.session import JobFailurePolicy
from hybridloop.emulator.model.targets import Catalogue
from hybridloop.emulator.pacing import JobPacer
from hybridloop.emulator.virtual_time import VirtualTime
from tests.emulator.store_load_helpers import START, USAGE, RecordingQueue, ServiceHarness

QUEUE_S = 30.0
TIMEOUT_S = 5.0  # real time, for steps that take no time


def is_cancelled(harness: ServiceHarness, pacer: JobPacer, key: int) -> None:
    harness.service.cancel(key)


def succeeds(harness: ServiceHarness, pacer: JobPacer, key: int) -> None:
    assert pacer.begin(key) is not None
    pacer.succeed(key, b"{}", USAGE)


def fails_at_its_begin(harness: ServiceHarness, pacer: JobPacer, key: int) -> None:
    harness.service.catalogue = Catalogue((), {}, {})  # its target was removed meanwhile
    assert pacer.begin(key) is None


@pytest.mark.parametrize("ends", [is_cancelled, succeeds, fails_at_its_begin])
def test_an_advance_of_virtual_time_waits_only_for_jobs_with_simulated_latency(
    ends: Callable[[ServiceHarness, JobPacer, int], None],
) -> None:
    async def advance_over_a_job() -> None:
        harness, workers = ServiceHarness(JobFailurePolicy.CONTINUE), RecordingQueue()
        time, latency = VirtualTime(harness.clock, harness.service), LatencyModel({}, 0)
        pacer = JobPacer(harness.service, time, latency)
        pacer.workers, harness.service.queue = workers, pacer
        time.awaits_results = lambda: pacer.awaits_results
        time.is_computing = lambda: True  # a job without simulated times runs, which must not delay the advance
        latency.queue_overrides_s = {"rigetti.sim.qvm": QUEUE_S}
        job = harness.submit()
        forward = asyncio.create_task(time.advance(START + 2 * QUEUE_S))
        while not workers.added:
            await asyncio.sleep(0)
        assert (harness.clock.now(), forward.done()) == (START + QUEUE_S, False)
        ends(harness, pacer, job.key)
        await asyncio.wait_for(forward, TIMEOUT_S)
        assert harness.clock.now() == START + 2 * QUEUE_S

    asyncio.run(asyncio.wait_for(advance_over_a_job(), 2 * TIMEOUT_S))
