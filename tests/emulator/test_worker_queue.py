"""Worker processes: a long job blocks neither HTTP nor other jobs, and killed workers are replaced."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import psutil
import pytest

from hybridloop.emulator.model.billing import Usage
from hybridloop.emulator.model.job import JobError, JobState
from hybridloop.emulator.model.requests import JobRequest
from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.simulation import worker_process
from hybridloop.emulator.simulation.protocol import DONE, SimulationTask
from hybridloop.emulator.simulation.worker_process import MemoryPool, WorkerDied, WorkerProcess
from hybridloop.emulator.store.records import StoredJob
from hybridloop.emulator.worker_queue import WorkQueue
from tests.conftest import Emulator
from tests.emulator.http_helpers import ASYMMETRIC_QIR, ENDLESS_QIR, Caller
from tests.waiting import PATIENCE_S


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core, one worker")
def test_a_job_behind_an_endless_one_runs_in_another_worker(start_emulator: Callable[..., Emulator]) -> None:
    caller = Caller(start_emulator())
    endless = caller.submit(ENDLESS_QIR)
    assert caller.result(caller.submit())  # queued behind it before any result: the first worker may still be loading
    assert caller.call("GET", f"/jobs/{endless}").json()["status"] == "Executing"
    assert caller.call("POST", f"/jobs/{endless}:cancel").status == 204
    assert caller.call("GET", f"/jobs/{endless}").json()["status"] == "Cancelled"


def test_a_killed_worker_is_replaced(
    start_emulator: Callable[..., Emulator],
) -> None:
    emulator = start_emulator()
    caller = Caller(emulator)
    caller.result(caller.submit())
    (worker,) = psutil.Process(emulator.process.pid).children()
    worker.kill()
    worker.wait(10)
    assert caller.result(caller.submit())


@pytest.mark.slow
def test_an_idle_worker_ends_and_the_next_task_starts_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "IDLE_LIMIT_S", 0.0)
    target = load_catalogue().find("rigetti.sim.qvm")
    assert target is not None
    task = SimulationTask(target, "qir.v1", "microsoft.quantum-results.v2", {"shots": 1}, 0, "a").to_json()

    async def scenario() -> None:
        memory = MemoryPool(1 << 30)
        worker = WorkerProcess(PATIENCE_S, memory.limit)
        process = await worker.start()
        assert (await worker.run_task(task, ASYMMETRIC_QIR, memory))[0]["verdict"] == DONE
        await asyncio.wait_for(process.wait(), PATIENCE_S)
        assert not worker.is_ready
        assert (await worker.run_task(task, ASYMMETRIC_QIR, memory))[0]["verdict"] == DONE
        await worker.stop()

    asyncio.run(scenario())


def test_a_job_that_kills_its_worker_twice_fails(start_emulator: Callable[..., Emulator]) -> None:
    emulator = start_emulator()
    caller = Caller(emulator)
    job = caller.submit(ENDLESS_QIR)
    for _ in range(2):
        workers: list[psutil.Process] = []
        while not workers:
            workers = psutil.Process(emulator.process.pid).children()
        workers[0].kill()
        psutil.wait_procs(workers, timeout=PATIENCE_S)
    document = caller.ended(job)
    assert (document["status"], document["errorData"]["code"]) == ("Failed", "InternalError")


def test_a_job_that_runs_too_long_fails_and_the_next_one_runs(start_emulator: Callable[..., Emulator]) -> None:
    emulator = start_emulator("--job-time-limit", "3")
    caller = Caller(emulator)
    endless, job = caller.submit(ENDLESS_QIR), caller.submit()
    document = caller.ended(endless)
    assert (document["status"], document["errorData"]["code"]) == ("Failed", "RuntimeError")
    assert "longer than the limit of 3 s" in document["errorData"]["message"]
    assert caller.result(job)


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_no_worker_outlives_the_service(start_emulator: Callable[..., Emulator], how: str) -> None:
    emulator = start_emulator()
    Caller(emulator).submit(ENDLESS_QIR)
    workers: list[psutil.Process] = []
    while not workers:
        workers = psutil.Process(emulator.process.pid).children()
    getattr(emulator.process, how)()
    gone, alive = psutil.wait_procs(workers, timeout=PATIENCE_S)
    assert (len(gone), alive) == (len(workers), [])


def test_a_worker_that_is_killed_while_it_starts_computes_nothing() -> None:
    target = load_catalogue().find("rigetti.sim.qvm")
    assert target is not None
    task = SimulationTask(target, "qir.v1", "microsoft.quantum-results.v2", {"shots": 1}, 0, "a").to_json()

    async def scenario() -> None:
        worker = WorkerProcess(PATIENCE_S, 1 << 30)
        running = asyncio.create_task(worker.run_task(task, ENDLESS_QIR, MemoryPool(1 << 30)))
        await asyncio.sleep(0)  # the process is being started
        worker.kill()
        with pytest.raises(WorkerDied):
            await asyncio.wait_for(running, PATIENCE_S)
        assert (await worker.run_task(task, ASYMMETRIC_QIR, MemoryPool(1 << 30)))[0]["verdict"] == DONE
        await worker.stop()

    asyncio.run(scenario())


class Jobs:
    """Jobs that end at once, in the order in which a queue begins them."""

    def __init__(self) -> None:
        self.begun: list[int] = []

    def begin(self, key: int) -> None:
        self.begun.append(key)

    def is_pending(self, key: int) -> bool:
        return False

    def succeed(self, key: int, result: bytes, usage: Usage) -> None:
        raise AssertionError

    def fail(self, key: int, error: JobError) -> None:
        raise AssertionError


def test_sessions_take_turns_so_that_a_backlog_delays_no_other() -> None:
    jobs = Jobs()

    async def scenario() -> None:
        queue = WorkQueue(jobs, 1, MemoryPool(1 << 30), lambda: None, time_limit_s=1.0)
        for key, session in enumerate([1, 1, 1, 1, 2, 2, None]):
            queue.add(stored_job(key, session))
        while queue.is_computing:
            await asyncio.sleep(0)
        await queue.stop()

    asyncio.run(scenario())
    assert jobs.begun == [0, 1, 4, 6, 2, 5, 3]


def stored_job(key: int, session: int | None) -> StoredJob:
    request = JobRequest.__new__(JobRequest)  # a queue does not read it
    state = JobState(created=0.0, modified=0.0)
    return StoredJob(key, str(key), session, None, None, None, "", request, state, None)
